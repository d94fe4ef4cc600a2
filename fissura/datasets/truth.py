"""Truth files become masks: picture files by their value, CrackForest's `.mat` by its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fissura.types import BoolMask, InputError

GREY_MODES = frozenset({"1", "L", "I", "I;16", "I;16B", "F"})
MAT_CRACK = 2
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    UnidentifiedImageError,
    Image.DecompressionBombError,
)


def read_mask(path: Path) -> BoolMask:
    """Truth as H×W, from a picture file or a CrackForest `.mat` file."""
    return read_mat(path) if path.suffix.lower() == ".mat" else read_picture(path)


def read_picture(path: Path) -> BoolMask:
    """Above 127 is crack (above 0 in a file of 0 and 1); palettes are looked up."""
    try:
        with Image.open(path) as opened:
            values = grey_values(opened)
    except DAMAGE as error:
        raise InputError(f"{path}: the mask cannot be read ({error}); replace the file") from error
    top = values.max(initial=0)
    if top <= 1:
        return values > 0
    return values > (127 if top <= 255 else 127 * 257)


def grey_values(opened: Image.Image) -> NDArray[Any]:
    """Stored values of a grey picture; the brightest channel of a coloured or palette one."""
    if opened.mode in GREY_MODES:
        return np.asarray(opened)
    brightest: NDArray[Any] = np.asarray(opened.convert("RGB")).max(axis=2)
    return brightest


def read_mat(path: Path) -> BoolMask:
    """Label 2 of `groundTruth.Segmentation`; 1 is background, 3 and 4 mark other things."""
    from scipy.io import loadmat

    try:
        labels = loadmat(path)["groundTruth"]["Segmentation"][0, 0]
    except Exception as error:  # loadmat raises whatever its parsers meet in a damaged file
        raise InputError(f"{path}: no CrackForest truth in this file ({error!r})") from error
    if not isinstance(labels, np.ndarray) or labels.ndim != 2:
        raise InputError(f"{path}: expected an H×W array of labels, found {type(labels).__name__}")
    mask: BoolMask = labels == MAT_CRACK
    return mask
