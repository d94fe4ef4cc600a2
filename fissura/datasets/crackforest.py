"""CrackForest (Shi et al., 2016) as its authors lay it out: `image/*.jpg`, `groundTruth/*.mat`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from fissura.datasets.layout import Reader
from fissura.types import BoolMask, InputError

CRACK = 2


def read_truth(path: Path) -> BoolMask:
    """Label 2 of `groundTruth.Segmentation`; 1 is background, 3 and 4 mark other things."""
    from scipy.io import loadmat

    try:
        labels = loadmat(path)["groundTruth"]["Segmentation"][0, 0]
    except Exception as error:  # loadmat raises whatever its parsers meet in a damaged file
        raise InputError(f"{path}: no CrackForest truth in this file ({error!r})") from error
    if not isinstance(labels, np.ndarray) or labels.ndim != 2:
        raise InputError(f"{path}: expected an H×W array of labels, found {type(labels).__name__}")
    mask: BoolMask = labels == CRACK
    return mask


class CrackForest(Reader):
    """The 118 pictures of the source; the held-back stems of `cfd` are held back here too."""

    FOLDERS: ClassVar[tuple[tuple[str, str], ...]] = (("image", "groundTruth"),)
    SET: ClassVar[str | None] = "cfd"

    def read_mask(self, path: Path) -> BoolMask:
        """Truth of one picture, bool H×W."""
        return read_truth(path)
