"""Arguments that make every network of MODELS small enough for a test."""

from __future__ import annotations

from typing import Any

ARGUMENTS: dict[str, dict[str, Any]] = {
    "beltcrackdet": {"width": 0.125},
    "beltcrackdet_lite": {"width": 0.25},
    "cgnet": {"blocks": [2, 2]},
    "cssr": {"scale": 2, "sr": {"stages": 2, "width": 4}, "segmenter": {"width": 4}},
    "dbpn": {"scale": 2, "stages": 3, "width": 4},
    "deepcrack_liu": {"width": 4},
    "deepcrack_zou": {"width": 4},
    "pspnet": {"width": 4},
    "unet_resnet34": {"width": 8},
    "unet_resnet101": {"width": 4},
    "unet_vgg16": {"width": 16},
    "yolox_s": {"width": 0.125},
}


def small_arguments(name: str) -> dict[str, Any]:
    """A copy of the arguments of one network."""
    return dict(ARGUMENTS[name])
