"""What the releases of both DeepCracks do to a picture before the network sees it."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from fissura.augment import (
    Affine,
    shift_brightness,
    shift_hue,
    squeeze,
    stretch_contrast,
    stretch_saturation,
    warp_twice,
)
from fissura.datasets.truth import grey_values, read_mask
from fissura.frames import read_image
from fissura.models import DeepCrackLiu, DeepCrackZou
from fissura.train.config import LossSettings
from fissura.train.tasks import SegmentationTask
from fissura.types import BoolMask, UInt8Image

from .fixtures import Fixture, image_in

AUG = re.compile(r"aug_([a-z]+)_([pm])([\d.]+)(_bgr|_rgb)?")
SQUEEZED = re.compile(r"ds_image_(\d+)x(\d+)")
AFFINE = re.compile(r"angle ([+-]\d+) deg, scale ([\d.]+), shift \(x([+-]\d+), y([+-]\d+)\)")
GREY_LEVEL = 0.0079
"""One of 255 after Liu's normalisation: what bicubic resizing differs by between OpenCV's."""


def check_zou(fixture: Fixture) -> None:
    """Arrays preproc_* and aug_*."""
    inputs = fixture.golden["preproc_inputs"]
    bgr, label = (
        np.floor(256 * image_in(inputs[name])).astype(np.uint8) for name in ("image_bgr", "label")
    )
    image, mask, grey = stored(bgr, label)
    fixture.close("preproc_image", network_input(DeepCrackZou, image))
    fixture.close("preproc_label", grey / np.float32(255))
    assert (mask == (grey > 127)).all()  # training sees no more of the label than this
    for name in (name for name in fixture.arrays if name.startswith("aug_")):
        fixture.close(name, changed(image, name)[..., ::-1])


def changed(image: UInt8Image, name: str) -> UInt8Image:
    """The change that an array's name tells: `aug_contrast_m0.35` is a factor of 1 − 0.35."""
    kind, sign, amount, order = AUG.fullmatch(name).groups()
    value = float(amount) * (1 if sign == "p" else -1)
    if kind == "brightness":
        return shift_brightness(image, value)
    if kind == "hue":
        return shift_hue(image, value, red_as_blue=order == "_rgb")
    return {"contrast": stretch_contrast, "saturation": stretch_saturation}[kind](image, 1 + value)


def check_liu(fixture: Fixture) -> None:
    """Arrays ds_* and affine_*."""
    bgr, label = fixture.arrays["ds_image_bgr_uint8"], fixture.arrays["ds_label_uint8"]
    fixture.leave("ds_image_bgr_uint8", "an input")
    fixture.leave("ds_label_uint8", "an input")
    image, mask, grey = stored(bgr, label)
    fixture.close("ds_image", network_input(DeepCrackLiu, image), atol=1e-6)
    fixture.close("ds_label", mask[None])
    for name, found in ((name, SQUEEZED.fullmatch(name)) for name in fixture.arrays):
        if found:
            small, small_mask = squeeze(image, mask, (int(found[1]), int(found[2])))
            fixture.close(name, network_input(DeepCrackLiu, small), atol=GREY_LEVEL)
            fixture.close(name.replace("image", "label"), small_mask[None])
    if fixture.holds("affine_"):
        angle, scale, x, y = AFFINE.search(fixture.describe("affine_image")).groups()
        affine = Affine(float(angle), float(scale), (int(x), int(y)))
        fixture.close("affine_image", warp_twice(image, affine)[..., ::-1])
        fixture.close("affine_label", warp_twice(grey, affine))


def stored(bgr: UInt8Image, label: UInt8Image) -> tuple[UInt8Image, BoolMask, NDArray[Any]]:
    """Picture, mask and grey values of the label as our readers give them, from PNG files."""
    with TemporaryDirectory() as folder:
        paths = Path(folder) / "picture.png", Path(folder) / "label.png"
        cv2.imwrite(str(paths[0]), bgr)
        cv2.imwrite(str(paths[1]), label)
        with Image.open(paths[1]) as opened:
            grey = grey_values(opened)
        return read_image(paths[0]).image, read_mask(paths[1]), grey


def network_input(kind: type[nn.Module], image: UInt8Image) -> NDArray[np.float32]:
    """3×H×W as training feeds it."""
    with torch.device("meta"):
        network = kind()
    rgb = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    normalised: NDArray[np.float32] = (
        SegmentationTask(network, LossSettings(), 1.0).normalise(rgb)[0].numpy()
    )
    return normalised
