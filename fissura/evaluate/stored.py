"""Reads a stored crack map; what its header says is checked before anything is decoded."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fissura.types import InputError

NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L"})
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, OverflowError)


def read_map(path: Path, size_hw: tuple[int, int]) -> NDArray[Any]:
    """A stored crack map, H×W, of the picture's size: float in [0, 1], uint8 or uint16."""
    read = _read_npy if path.suffix == ".npy" else _read_png
    values = read(path, size_hw)
    return values.astype(np.uint8) * np.uint8(255) if values.dtype == np.bool_ else values


@dataclass
class Brightness:
    """Notices a folder of masks saved as 0 and 1, which would count as black maps.

    One such file beside brighter ones is the map of a picture in which hardly anything was found.
    """

    only_ones: Path | None = None
    brighter: bool = False

    def see(self, path: Path, values: NDArray[Any]) -> None:
        """Take note of one map."""
        brightest = values.max(initial=0)
        if values.dtype.kind == "u" and brightest == 1:
            self.only_ones = self.only_ones or path
        elif brightest > 0:
            self.brighter = True

    def finish(self) -> None:
        """Raise InputError if no map holds more than 0 and 1."""
        if self.only_ones is not None and not self.brighter:
            raise InputError(
                f"{self.only_ones}: holds only 0 and 1, as do all maps in this folder that are not"
                " black; save masks as 0 and 255"
            )


def _check_size(path: Path, shape: tuple[int, ...], size_hw: tuple[int, int]) -> None:
    if shape != size_hw:
        raise InputError(
            f"{path}: prediction is {' × '.join(map(str, shape))}, its picture"
            f" {size_hw[0]} × {size_hw[1]} pixels (height × width); save it at the picture's size"
        )


def _read_png(path: Path, size_hw: tuple[int, int]) -> NDArray[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path, formats=("PNG",))
        with opened as image:
            _check_size(path, (image.height, image.width), size_hw)
            mode = image.mode
            if mode not in DEEP_MODES | {"1", "L", "RGB"}:
                raise InputError(_not_grey(path, mode))
            values = np.asarray(image)
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{path}: has more pixels than a PNG may have here, its picture {size_hw[0]} ×"
            f" {size_hw[1]} (height × width); save it at the picture's size, or as .npy"
        ) from error
    except DAMAGE as error:
        raise InputError(f"{path}: cannot be read as PNG ({error}); save it again") from error
    if mode == "RGB":
        if (values != values[..., :1]).any():
            raise InputError(_not_grey(path, mode))
        return values[..., 0]
    return values.astype(np.uint16) if mode in DEEP_MODES else values


def _not_grey(path: Path, mode: str) -> str:
    return f"{path}: {mode} PNG; a crack map has one grey channel of 8 or 16 bits"


def _read_npy(path: Path, size_hw: tuple[int, int]) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            header = NPY_HEADERS[np.lib.format.read_magic(file)]
            shape, _, dtype = header(file)
            _check_kind(path, dtype)
            _check_size(path, shape, size_hw)
        values: NDArray[Any] = np.load(path, allow_pickle=False)
    except (*DAMAGE, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as .npy ({error}); save it again") from error
    if dtype.kind == "f" and not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"{path}: expected probabilities, float in [0, 1]; apply the sigmoid")
    return values


def _check_kind(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if dtype.kind != "f" and dtype not in (np.bool_, np.uint8, np.uint16):
        raise InputError(
            f"{path}: holds {dtype}; save probabilities as float in [0, 1], masks as bool or as"
            " uint8 of 0 and 255"
        )
