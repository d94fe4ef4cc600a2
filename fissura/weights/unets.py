"""Files of CSSR and of khanhha's U-Nets: entries with two names, and variants told by shapes.

Both projects register a U-Net's encoder twice, so that their files hold its tensors under two
names, of which torch reads `convK` last. Neither says in a file which variant it is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fissura.models.cssr import SEGMENTERS
from fissura.models.dbpn import KERNELS
from fissura.types import InputError
from fissura.weights.imagenet import encoder_name
from fissura.weights.pickles import told

SR, SEGMENTER = "sr_model.", "segmentation_model."
TWICE_NAMED = ("cssr", "unet_vgg16", "unet_resnet34", "unet_resnet101")
KHANHHAS_THRESHOLD = 0.2
PARTS = {"dbpn": SR, **dict.fromkeys(SEGMENTERS, SEGMENTER)}
"""Networks that are part of CSSR, and what their entries begin with there."""

_SCALES = {kernel: scale for scale, kernel in KERNELS.items()}


def without_second_names(model: str, given: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The entries without a U-Net's second names, which must agree, and its unused classifier."""
    kept = dict(given)
    if model not in TWICE_NAMED:
        return kept
    prefix = SEGMENTER if model == "cssr" else ""
    for name in given:
        if not name.startswith(f"{prefix}encoder."):
            continue
        bare = name.removeprefix(f"{prefix}encoder.")
        first = encoder_name(bare)
        if model.startswith("unet_resnet") and bare in ("fc.weight", "fc.bias"):
            del kept[name]
        elif first is not None and prefix + first in given:
            if not _same(given[name], given[prefix + first]):
                raise InputError(
                    f"{source}: entry {told(name)} is not the same as {told(prefix + first)}, "
                    "whose second name it is; fetch the file again"
                )
            del kept[name]
    return kept


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(((a == b) | (a.isnan() & b.isnan())).all())


def complete_arguments(
    model: str, given: Mapping[str, Tensor], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """`arguments` and, where they say nothing, what names and shapes of a file tell.

    A file of CSSR without a network that enlarges is of the baseline of full resolution, or, if a
    scale is given, of the bicubic one, whose entries are the same.
    """
    complete = _told(model, given) | dict(arguments)
    if model == "cssr" and "sr" not in complete and complete["scale"] != 1:
        complete["sr"] = {"name": "bicubic"}
    return complete


def _told(model: str, given: Mapping[str, Tensor]) -> dict[str, Any]:
    if model == "dbpn":
        return _dbpn(given, "")
    if model == "unet_vgg16":
        return _unet_vgg16(given)
    if model.startswith("unet_resnet"):
        return {"decoder": _decoder(given, "")}
    return _cssr(given) if model == "cssr" else {}


def _dbpn(given: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    kernel = _side(given, f"{prefix}up1.up_conv1.deconv.weight", 2)
    width = _side(given, f"{prefix}feat1.conv.weight", 0)
    joined = _side(given, f"{prefix}output_conv.conv.weight", 1)
    return {
        "scale": _SCALES.get(kernel, 4),
        "stages": joined // width if width else 6,
        "channels": 1 if _side(given, f"{prefix}feat0.conv.weight", 1) == 1 else 3,
    }


def _unet_vgg16(given: Mapping[str, Tensor]) -> dict[str, Any]:
    khanhhas = any(name.startswith("dec5.") for name in given)
    return {"decoder": _decoder(given, ""), "variant": "khanhha" if khanhhas else "cssr"}


def _decoder(given: Mapping[str, Tensor], prefix: str) -> str:
    if f"{prefix}center.block.1.weight" in given:
        return "deconv"
    bilinear = f"{prefix}center.block.2.conv.weight" in given
    return "bilinear" if bilinear else "pixel_shuffle"


def _cssr(given: Mapping[str, Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = {"scale": 1, "clamp": "released"}
    if any(name.startswith(SR) for name in given):
        sr = _dbpn(given, SR)
        order = "segmentation_first" if sr["channels"] == 1 else "sr_first"
        found |= {"scale": sr["scale"], "order": order}
        found["sr"] = {"name": "dbpn", "stages": sr["stages"]}
    pyramid = f"{SEGMENTER}psp.bottleneck.weight" in given
    unet = {"name": "unet_vgg16", "decoder": _decoder(given, SEGMENTER)}
    return found | {"segmenter": {"name": "pspnet"} if pyramid else unet}


def _side(given: Mapping[str, Tensor], name: str, axis: int) -> int:
    """The length of one axis of an entry, 0 where there is none."""
    shape = given[name].shape if name in given else torch.Size()
    return shape[axis] if axis < len(shape) else 0


def card_notes(model: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What the card of an imported network says otherwise than its class."""
    khanhhas = model == "unet_vgg16" and arguments.get("variant") == "khanhha"
    return {"threshold": KHANHHAS_THRESHOLD} if khanhhas else {}


def part_of_cssr(
    name: str, origin: str | None, given: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    """A start of CSSR with one of its networks, or of one of them with its part of CSSR's file.

    A file of CSSR may lack one of the two, as a baseline's does.

    None where it is neither. What the file has nothing for stays as it is in `own`.
    """
    if name == "cssr" and origin in PARTS:
        prefix = PARTS[origin]
        others = {key: values for key, values in own.items() if not key.startswith(prefix)}
        return others | {prefix + key: values for key, values in given.items()}
    if name == "cssr" and origin == "cssr":
        absent = [p for p in (SR, SEGMENTER) if not any(key.startswith(p) for key in given)]
        return {k: v for k, v in own.items() if k.startswith(tuple(absent))} | dict(given)
    if origin == "cssr" and name in PARTS:
        prefix = PARTS[name]
        return {
            key.removeprefix(prefix): values
            for key, values in given.items()
            if key.startswith(prefix)
        }
    return None
