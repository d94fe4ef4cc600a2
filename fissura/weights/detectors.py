"""Files of BeltCrackDet's and YOLOX's training scripts: what they hold beside our entries.

BeltCrackDet's hold layers that its network never uses, and constants that ours computes. A file of
YOLOX-s is a start for its backbone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fissura.models.beltcrackdet.frequency import HALF
from fissura.models.beltcrackdet.network import CHANNELS
from fissura.models.beltcrackdet.swin import relative_positions
from fissura.models.yolox import MOST_CLASSES
from fissura.types import InputError
from fissura.weights.imagenet import COUNTER
from fissura.weights.pickles import told

DETECTORS = ("beltcrackdet", "beltcrackdet_lite", "yolox_s")
WIDTH_OF_YOLOX = {"beltcrackdet": "half", "beltcrackdet_lite": "a quarter of"}
"""How wide a YOLOX with the same backbone is, beside the network's own `width`."""
CLASS_LAYERS = "head.cls_preds."
"""Beginning of the layers that have one channel for each class."""

_FRAMES = 5
_WAVELET_TOLERANCE = 1e-5
"""Averaging lets the constants of a file drift by a quarter of that."""


_UNUSED_CONVOLUTIONS = {
    "conv_fre.0": (256, 640),
    "conv_fre.1": (128, 256),
    "conv_fre_mix.0": (256, 256),
    "conv_fre_mix.1": (128, 256),
}
"""Channels out and in of 3×3 convolutions with batch norm."""
_UNUSED_REST: dict[str, tuple[int, ...]] = {
    "fuse.conv_h.weight": (1, 128, 1, 1),
    "fuse.conv_h.bias": (1,),
    "fuse.conv_l.weight": (128, 128, 3, 3),
    "fuse.conv_l.bias": (128,),
    "fuse.fc.weight": (128, 128),
    "fuse.fc.bias": (128,),
}


def without_unused(model: str, given: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The entries without those that ours has no place for, once they are what they should be."""
    kept = dict(given)
    if model != "beltcrackdet" or "neck.tar.feat_fusion.weight" not in given:
        return kept
    for name, shape in _unused().items():
        values = kept.pop(name, None)
        if values is not None and values.shape != shape:
            found, wanted = ("×".join(map(str, s)) or "one number" for s in (values.shape, shape))
            raise InputError(
                f"{source}: does not fit {model}: {told(name)} is {found} instead of {wanted}; "
                "give weights of just that network"
            )
    for name, constant in _constants().items():
        values = kept.pop(name, None)
        if values is not None and not _same(values, constant):
            raise InputError(
                f"{source}: {told(name)} does not hold the constants of {model}; give weights of "
                "just that network"
            )
    return kept


def _unused() -> dict[str, tuple[int, ...]]:
    """Shapes of what the release's forward pass leaves aside, by the names in a file."""
    shapes = dict(_UNUSED_REST)
    for name, (c_out, c_in) in _UNUSED_CONVOLUTIONS.items():
        shapes[f"{name}.conv.weight"] = (c_out, c_in, 3, 3)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{leaf}"] = (c_out,)
        shapes[f"{name}.bn.{COUNTER}"] = ()
    return {f"neck.{name}": shape for name, shape in shapes.items()}


def _constants() -> dict[str, Tensor]:
    """The wavelet's filters and the windows' relative positions, by their names in a file."""
    haar = torch.tensor([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    filters = HALF * haar.view(4, 1, 2, 2).repeat(CHANNELS, 1, 1, 1)
    index = relative_positions(_FRAMES + 1)
    layers = (f"neck.swin.tr.{k}.attn.relative_position_index" for k in range(2))
    wavelets = (f"neck.conv_dw.{name}" for name in ("wt_filter", "iwt_filter"))
    return dict.fromkeys(wavelets, filters) | dict.fromkeys(layers, index)


def _same(values: Tensor, constant: Tensor) -> bool:
    if values.shape != constant.shape:
        return False
    return bool(((values.double() - constant.double()).abs() <= _WAVELET_TOLERANCE).all())


def classes_told(model: str, given: Mapping[str, Tensor]) -> dict[str, Any]:
    """How many classes a detector's file is of, where its last layers agree on that."""
    if model not in DETECTORS:
        return {}
    counts = {values.shape[:1] for name, values in given.items() if name.startswith(CLASS_LAYERS)}
    (count,) = counts.pop() if len(counts) == 1 and counts != {torch.Size()} else (0,)
    return {"classes": count} if 1 <= count <= MOST_CLASSES else {}


def backbone_of_yolox(
    name: str,
    origin: str | None,
    given: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    source: str,
) -> dict[str, Tensor] | None:
    """A start of a BeltCrackDet with YOLOX's file: all of the backbone, of the head what fits.

    None where it is another network or another file.
    """
    if name not in WIDTH_OF_YOLOX or origin != "yolox_s":
        return None
    fits = {k: v for k, v in given.items() if k in own and v.shape == own[k].shape}
    lacking = [
        key
        for key in own
        if key.startswith("backbone.") and key not in fits and not key.endswith(COUNTER)
    ]
    if lacking:
        raise InputError(
            f"{source}: has other widths than the backbone of {name} ({told(lacking[0])}); give "
            f"YOLOX of {WIDTH_OF_YOLOX[name]} its width"
        )
    return dict(own) | fits
