"""Everything that a check wants to know of one file, from one reading of it."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from fissura.datasets.check.duplicates import THUMB
from fissura.datasets.truth import grey_values, read_mat
from fissura.frames import SUFFIX_FORMATS
from fissura.types import InputError, UInt8Image

ORIENTATION = 274
TIFF_BITS = 258
UPRIGHT = (None, 0, 1)
DAMAGE = (OSError, SyntaxError, ValueError, struct.error, UnidentifiedImageError, MemoryError)
SHOWN_VALUES = 9


@dataclass(frozen=True)
class Facts:
    """One file: `error` says why it cannot be read (then the rest is empty).

    `size_wh` is upright, `values` the first few grey levels of a mask, `thumb` 64×64 of a picture.
    """

    path: Path
    size_bytes: int
    digest: str = ""
    error: str = ""
    format: str = ""
    size_wh: tuple[int, int] = (0, 0)
    orientation: int | None = None
    bits: int = 8
    alpha: bool = False
    palette: bool = False
    values: tuple[int, ...] = ()
    thumb: UInt8Image | None = None


def gather(path: Path, role: Literal["picture", "mask"]) -> Facts:
    """Read a file once; whatever is wrong with its bytes ends in `error`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Facts(path, 0, error=str(error.strerror or error))
    known = Facts(path, len(data), digest=hashlib.blake2b(data, digest_size=16).hexdigest())
    if not data:
        return replace(known, error="zero bytes")
    if path.suffix.lower() == ".mat":
        return _of_mat(known)
    try:
        with Image.open(BytesIO(data)) as opened:
            header = _header(known, opened, data)
            if role == "mask":
                return replace(header, values=_levels(opened))
            return replace(header, thumb=_thumb(opened))
    except (*DAMAGE, Image.DecompressionBombError) as error:
        return replace(known, error=str(error).replace(str(path), "").strip() or repr(error))


def _header(known: Facts, opened: Image.Image, data: bytes) -> Facts:
    orientation = opened.getexif().get(ORIENTATION)
    lying = orientation in (5, 6, 7, 8)
    return replace(
        known,
        format=opened.format or "",
        size_wh=opened.size[::-1] if lying else opened.size,
        orientation=orientation,
        bits=_bits(opened, data),
        alpha=opened.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in opened.info,
        palette=opened.mode in {"P", "PA"},
    )


def _bits(opened: Image.Image, data: bytes) -> int:
    """Bits per channel as stored: Pillow hides those of 16-bit colour."""
    if opened.format == "PNG":
        return data[24]
    if opened.format == "TIFF":
        bits = opened.tag_v2.get(TIFF_BITS, 8)  # type: ignore[attr-defined]
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    return 8


def _levels(opened: Image.Image) -> tuple[int, ...]:
    """The distinct grey levels of a mask, the smallest few."""
    if opened.mode == "L":
        return tuple(np.flatnonzero(opened.histogram()).tolist())
    if opened.mode == "1":
        return tuple(255 * np.unique(np.asarray(opened)).astype(int))
    return tuple(np.unique(grey_values(opened)).astype(int).tolist())


def _thumb(opened: Image.Image) -> UInt8Image:
    """Decode just enough (JPEG at a fraction of its size); raises where the data end early."""
    opened.draft("L", (2 * THUMB, 2 * THUMB))
    opened.load()
    wide = opened.mode in {"I", "I;16", "I;16B", "F"}
    grey = Image.fromarray(_to_8_bits(opened)) if wide else opened.convert("L")
    return np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX))


def _to_8_bits(opened: Image.Image) -> UInt8Image:
    values = np.asarray(opened).astype(np.float32)
    return (values * (255 / max(float(values.max()), 1.0))).astype(np.uint8)


def _of_mat(known: Facts) -> Facts:
    try:
        mask = read_mat(known.path)
    except InputError as error:
        return replace(known, error=str(error).replace(f"{known.path}: ", ""))
    values = tuple((255 * np.unique(mask)).tolist())
    return replace(known, format="MAT", size_wh=(mask.shape[1], mask.shape[0]), values=values)


def expected_format(path: Path) -> str | None:
    """The format that a file's suffix promises."""
    return SUFFIX_FORMATS.get(path.suffix.lower())
