"""State dicts as the originals have them, and some that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from conftest import ROOT
from parity.fill import filled
from torch import Tensor

KEYS = ROOT / "tests" / "parity" / "fixtures"
CGNET_HEAD = "decode_head.conv_seg.weight"

State = dict[str, Tensor]


@cache
def official(name: str) -> State:
    """The state dict of a published network, filled by its entries' names."""
    arrays = filled(KEYS / name / "keys.json")
    return {key: torch.tensor(values) for key, values in arrays.items()}


def cityscapes() -> State:
    """A CGNet whose last layer knows nineteen classes."""
    head = {CGNET_HEAD: torch.rand(19, 256, 1, 1), "decode_head.conv_seg.bias": torch.rand(19)}
    return official("cgnet") | head


def changed(name: str, **changes: Tensor | None) -> State:
    """The official state with entries replaced, added, or taken out (None)."""
    state = official(name) | {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in state.items() if value is not None}


def vgg(normed: bool) -> State:
    """Entries as torchvision's VGG16 has them, random, with a classifier."""
    state: State = {"classifier.0.weight": torch.rand(4, 4)}
    place, c_in = 0, 3
    generator = torch.Generator().manual_seed(1)
    for width, depth in zip((64, 128, 256, 512, 512), (2, 2, 3, 3, 3), strict=True):
        for _ in range(depth):
            weight = torch.randn(width, c_in, 3, 3, generator=generator) / (3 * c_in**0.5)
            state |= {f"features.{place}.weight": weight}
            state |= {f"features.{place}.bias": torch.randn(width, generator=generator)}
            for leaf in ("weight", "bias", "running_mean", "running_var") if normed else ():
                values = torch.rand(width, generator=generator) + 0.5
                state[f"features.{place + 1}.{leaf}"] = values
            place, c_in = place + (3 if normed else 2), width
        place += 1
    return state


NAN = torch.full((64, 3, 3, 3), torch.nan)
WRONG: dict[str, tuple[str, Callable[[], State], str]] = {
    "missing": (
        "deepcrack_liu",
        lambda: changed("deepcrack_liu", fuse_conv__weight=None),
        r"does not fit deepcrack_liu: missing 'fuse_conv\.weight'; give",
    ),
    "unknown": (
        "cgnet",
        lambda: changed("cgnet", auxiliary_head__weight=torch.ones(1)),
        r"unknown 'auxiliary_head\.weight'; give",
    ),
    "misshapen": (
        "deepcrack_liu",
        lambda: changed("deepcrack_liu", conv1__0__weight=torch.ones(64, 1, 3, 3)),
        r"'conv1\.0\.weight' is 64×1×3×3 instead of 64×3×3×3",
    ),
    "many": (
        "cgnet",
        lambda: {k: v for k, v in official("cgnet").items() if "level2.2." not in k},
        r"missing 'backbone\.level2\.2\.conv1x1\.conv\.weight', .* and \d+ more",
    ),
    "not finite": (
        "deepcrack_liu",
        lambda: changed("deepcrack_liu", conv1__0__weight=NAN),
        r"entry 'conv1\.0\.weight' has values that are not finite",
    ),
    "too large for float32": (
        "deepcrack_liu",
        lambda: changed("deepcrack_liu", conv1__0__weight=NAN.double().nan_to_num(1e300)),
        r"entry 'conv1\.0\.weight' has values that are not finite",
    ),
    "negative variance": (
        "cgnet",
        lambda: changed("cgnet", backbone__stem__0__bn__running_var=-torch.ones(32)),
        r"entry 'backbone\.stem\.0\.bn\.running_var' is a variance below 0",
    ),
    "whole numbers": (
        "deepcrack_liu",
        lambda: changed("deepcrack_liu", conv1__1__bias=torch.arange(64)),
        r"entry 'conv1\.1\.bias' has numbers of kind int64",
    ),
    "head": ("cgnet", cityscapes, "last layer is of 19 classes.*--allow-head"),
    "Liu for Zou": (
        "deepcrack_zou",
        lambda: official("deepcrack_liu"),
        "looks like deepcrack_liu, not deepcrack_zou",
    ),
    "CGNet for Liu": (
        "deepcrack_liu",
        lambda: official("cgnet"),
        "looks like cgnet, not deepcrack_liu",
    ),
    "instance norm": (
        "deepcrack_liu",
        lambda: {k: v for k, v in official("deepcrack_liu").items() if v.ndim == 4},
        r"trained with instance norm \(entry 'conv1\.1\.weight' is missing\)",
    ),
    "VGG16": ("deepcrack_zou", lambda: vgg(False), "looks like VGG16 of torchvision.*warm_start"),
    "unknown model": ("segnet", lambda: official("cgnet"), "segnet: is unknown; choose one of"),
}
