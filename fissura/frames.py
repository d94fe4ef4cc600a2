"""Photographs and arrays become Frames: colour, orientation and bit depth are settled here, once.

Pillow reads headers, EXIF and everything of 8 bits; OpenCV reads colour of more than 8 bits. Every
header is checked before its pixels are decoded, and every fault becomes one InputError.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from fissura import netpbm
from fissura.pixels import BAND_ROWS, Pixels, alpha_note, on_white, to_rgb, upright, value_range
from fissura.sources import (
    FOREIGN_SIGNATURES,
    IMAGE_SUFFIXES,
    SIGNATURES,
    STANDARD_ERROR,
    SUFFIX_FORMATS,
    find_images,
    read_head,
    shown,
)
from fissura.types import Frame, InputError, UInt8Image

MAX_PIXELS = 200_000_000
TAG_WIDTH, TAG_HEIGHT, TAG_BITS, TAG_PHOTOMETRIC = 256, 257, 258, 262
TAG_ORIENTATION, TAG_GPS = 274, 0x8825
WHITE_IS_ZERO = 0

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "SUFFIX_FORMATS",
    "find_images",
    "from_array",
    "read_image",
]

_pillow_lock = threading.Lock()
_pillow_log = logging.getLogger("PIL")

SizeCheck = Callable[[tuple[int, int]], None]


# ---- reading -------------------------------------------------------------------------------


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read one picture upright as 8-bit RGB; `notes` of the Frame say what had to be mended.

    Raises InputError, one sentence with the file and the mend, for whatever is not a whole JPEG,
    PNG, TIFF, BMP, WebP, PPM or PGM picture of at most `max_pixels`.
    """
    path = Path(path)
    name = shown(path)
    head = read_head(path, name)
    form = _sniff(head, name)
    notes = _suffix_note(path, form)

    def check(size_wh: tuple[int, int]) -> None:
        width, height = size_wh
        if width * height > max_pixels:
            raise InputError(
                f"{name}: {width}×{height} pixels are over the limit of {max_pixels}; "
                "cut the picture up or raise max_pixels"
            )

    try:
        with path.open("rb") as file, _quiet_libraries():
            with _muted() if form == "TIFF" or _is_deep_png(head) else nullcontext():
                stored = _decode(file, form, head, check)
            gps = _gps(stored.exif)
            rgb, settled = to_rgb(stored.pixels)
            rgb = upright(rgb, stored.orientation)
    except InputError as error:
        raise error if str(error).startswith(name) else InputError(f"{name}: {error}") from error
    except MemoryError as error:
        raise InputError(f"{name}: too large for this machine's memory; cut it up") from error
    except Exception as error:  # decoders raise nearly everything on damaged files
        raise InputError(f"{name}: damaged {form} file{_reason(error)}; copy it anew") from error
    return Frame(rgb, str(path), gps=gps, notes=(*notes, *stored.notes, *settled))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError | KeyError | TypeError):
        return " (its header makes no sense)"
    text = " ".join(str(error).split())[:120]
    return f" ({text})" if text and not isinstance(error, cv2.error) else ""


def _sniff(head: bytes, name: str) -> str:
    for form, signature in SIGNATURES:
        if re.match(signature, head, re.DOTALL):
            return form
    for kind, signature in FOREIGN_SIGNATURES:
        if re.match(signature, head, re.DOTALL):
            raise InputError(f"{name}: is {kind}; convert it to JPEG, PNG or TIFF")
    raise InputError(
        f"{name}: is not a JPEG, PNG, TIFF, BMP, WebP or PPM picture, whatever its name says; "
        "convert it or leave it out"
    )


def _suffix_note(path: Path, form: str) -> tuple[str, ...]:
    suffix = path.suffix.lower()
    if SUFFIX_FORMATS.get(suffix) == form:
        return ()
    return (f"a {form} file although named '{shown(suffix)}'",)


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Pillow without its own pixel limit (ours is checked first) and nothing on standard error.

    These switches are global to the process, hence the lock.
    """
    log = cv2.utils.logging
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, level, logged = Image.MAX_IMAGE_PIXELS, log.getLogLevel(), _pillow_log.level
        Image.MAX_IMAGE_PIXELS = None
        log.setLogLevel(log.LOG_LEVEL_SILENT)
        _pillow_log.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            log.setLogLevel(level)
            _pillow_log.setLevel(logged)


@contextmanager
def _muted() -> Iterator[None]:
    """Keep the lines of libtiff and libpng off standard error; they know no other way."""
    with STANDARD_ERROR:
        try:
            kept = os.dup(2)
        except OSError:  # closed already
            yield
            return
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@dataclass(frozen=True)
class _Stored:
    """Pixels as the file has them, and the EXIF orientation that they still have to be given."""

    pixels: Pixels
    orientation: int
    exif: Image.Exif | None
    notes: tuple[str, ...]


def _decode(file: BinaryIO, form: str, head: bytes, check: SizeCheck) -> _Stored:
    tags = _tiff_tags(file, head, check) if form == "TIFF" else None
    file.seek(0)
    try:
        image = Image.open(file, formats=[form])
    except UnidentifiedImageError:
        if tags is None:
            raise
        turn = _turn(tags.get(TAG_ORIENTATION))
        return _Stored(_decode_deep(file), 1, None, _pages(tags) + _turn_note(turn))
    check(image.size)
    if form == "PPM":
        return _Stored(netpbm.decode(image, file), 1, None, ())
    if form == "JPEG":
        _check_jpeg_length(image, file)
    image.load()
    exif = _exif(image)
    left = _turn(exif.get(TAG_ORIENTATION) if exif else 1)
    stored = _turn(tags.get(TAG_ORIENTATION)) if tags is not None else left
    notes = _pages(image if tags is None else tags) + _turn_note(stored)
    if _is_deep_colour(image, head, tags):
        return _Stored(_decode_deep(file), left, exif, notes)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _Stored(_deep_grey(image, tags), left, exif, notes)
    pixels, more = _banded(image)
    if form == "JPEG":
        _check_jpeg_end(pixels, file)
    return _Stored(pixels, left, exif, notes + more)


def _tiff_tags(file: BinaryIO, head: bytes, check: SizeCheck) -> ImageFileDirectory_v2:
    """Tags of the first page, which Pillow may not be able to open as a picture."""
    tags = ImageFileDirectory_v2(head[: 16 if 43 in head[2:4] else 8])
    file.seek(tags.next)
    tags.load(file)
    check((int(tags[TAG_WIDTH]), int(tags[TAG_HEIGHT])))
    return tags


def _pages(header: ImageFileDirectory_v2 | Image.Image) -> tuple[str, ...]:
    if isinstance(header, ImageFileDirectory_v2):
        several = header.next != 0
    else:
        several = getattr(header, "n_frames", 1) > 1
    return ("the first of several pages or frames",) if several else ()


def _is_deep_colour(image: Image.Image, head: bytes, tags: ImageFileDirectory_v2 | None) -> bool:
    """Whether Pillow kept only 8 of the bits of a colour picture."""
    if image.mode not in ("RGB", "RGBA", "RGBX", "LA"):
        return False
    if tags is not None:
        return int(max(tags.get(TAG_BITS, (1,)))) > 8
    return _is_deep_png(head)


def _is_deep_png(head: bytes) -> bool:
    return head[12:16] == b"IHDR" and head[24] == 16


def _decode_deep(file: BinaryIO) -> Pixels:
    """More than 8 bits per channel through OpenCV, as stored but RGB."""
    file.seek(0)
    data = file.read()
    if _is_deep_png(data[:32]):
        _check_png_chunks(data)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise InputError("a damaged or unsupported kind of picture; convert it to an 8-bit PNG")
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        pixels[..., :3] = pixels[..., 2::-1].copy()
    return pixels


def _deep_grey(image: Image.Image, tags: ImageFileDirectory_v2 | None) -> Pixels:
    pixels = np.asarray(image)
    inverted = tags is not None and tags.get(TAG_PHOTOMETRIC) == WHITE_IS_ZERO
    return 65535 - pixels if inverted and pixels.dtype.kind != "f" else pixels


def _banded(image: Image.Image) -> tuple[UInt8Image, tuple[str, ...]]:
    """8-bit RGB in bands of rows, so that no second full-size copy is held."""
    width, height = image.size
    see_through = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    out = np.empty((height, width, 3), np.uint8)
    opaque = True
    for top in range(0, height, BAND_ROWS):
        band = image.crop((0, top, width, min(height, top + BAND_ROWS)))
        rows = out[top : top + BAND_ROWS]
        if see_through:
            band.info = dict(image.info)
            rgba = np.asarray(band.convert("RGBA"))
            opaque &= bool((rgba[..., 3] == 255).all())
            rows[:] = on_white(rgba)
        elif image.mode == "L":
            rows[:] = np.asarray(band)[..., None]
        else:
            rows[:] = np.asarray(band if image.mode == "RGB" else band.convert("RGB"))
    notes = [alpha_note(opaque)] if see_through else []
    if image.mode in ("CMYK", "LAB", "HSV"):
        notes.append(f"{image.mode} turned into RGB without its colour profile")
    return out, tuple(notes)


# ---- bit depth and channels ----------------------------------------------------------------


def from_array(array: NDArray[Any], source: str = "array") -> Frame:
    """A Frame from H×W, H×W×1, H×W×3 (RGB) or H×W×4 (RGBA): bool, 8 or 16 bits, float in [0, 1].

    An H×W×3 uint8 array is not copied.
    """
    pixels = np.asarray(array)
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4))
    if not fits or pixels.size == 0:
        raise InputError(
            f"{shown(source)}: expected a picture as H×W, H×W×1, H×W×3 or H×W×4, "
            f"got shape {pixels.shape}; reorder its axes"
        )
    if pixels.dtype.kind in "iu" and pixels.dtype.name not in ("uint8", "uint16"):
        raise InputError(f"{shown(source)}: {pixels.dtype} may mean any range; convert it to uint8")
    if pixels.dtype.kind == "f" and not -1e-6 <= pixels.min() <= pixels.max() <= 1 + 1e-6:
        raise InputError(f"{shown(source)}: {value_range(pixels)}; scale floats to [0, 1]")
    try:
        rgb, notes = to_rgb(pixels)
    except InputError as error:
        raise InputError(f"{shown(source)}: {error}") from error
    return Frame(rgb, source, notes=tuple(notes))


# ---- truncated files -----------------------------------------------------------------------


def _check_png_chunks(data: bytes) -> None:
    """OpenCV reserves what a chunk claims, up to 4 GB: the chunks must fit the file."""
    place, kind = 8, b""
    while kind != b"IEND":
        length = int.from_bytes(data[place : place + 4])
        kind = data[place + 4 : place + 8]
        if len(kind) < 4 or place + 12 + length > len(data):
            raise ValueError("truncated: a PNG chunk ends beyond the file")
        place += 12 + length


def _check_jpeg_length(image: Image.Image, file: BinaryIO) -> None:
    """Each block of 8×8 takes one bit at least: a tiny file cannot hold a huge picture."""
    bits = 8 * os.fstat(file.fileno()).st_size
    if bits < image.width * image.height // 64:
        raise ValueError("far too short for its pixels")


def _check_jpeg_end(pixels: UInt8Image, file: BinaryIO) -> None:
    """Refuse a picture whose data end early although the end marker is there.

    The decoder then fills the rest with grey 128 and says nothing. Where the last corner is that
    grey, bytes inserted before the end marker tell: they change pixels only if data are missing.
    """
    if (pixels[-4:, -4:] != 128).any():
        return
    file.seek(0)
    data = file.read()
    end = data.rfind(b"\xff\xd9")
    filler = b"\0" + bytes(np.random.default_rng(0).integers(1, 255, 4096, np.uint8))
    with Image.open(BytesIO(data[:end] + filler + data[end:]), formats=["JPEG"]) as image:
        if not np.array_equal(_banded(image)[0], pixels):
            raise ValueError("truncated: its data end before the last row")


# ---- orientation and place -----------------------------------------------------------------


def _exif(image: Image.Image) -> Image.Exif | None:
    try:
        exif = image.getexif()
        exif.get_ifd(TAG_GPS)
    except Exception:  # damaged metadata are no reason to lose the picture
        return None
    return exif


def _turn(orientation: object) -> int:
    return orientation if isinstance(orientation, int) and 2 <= orientation <= 8 else 1


def _turn_note(orientation: int) -> tuple[str, ...]:
    return (f"turned upright (EXIF orientation {orientation})",) if orientation != 1 else ()


def _gps(exif: Image.Exif | None) -> tuple[float, float] | None:
    """Latitude and longitude in degrees, or None where EXIF has none that make sense."""
    if exif is None:
        return None
    block = exif.get_ifd(TAG_GPS)
    try:
        latitude = _degrees(block[2], block.get(1), "S")
        longitude = _degrees(block[4], block.get(3), "W")
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    sensible = abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude, longitude) != (0, 0)
    return (latitude, longitude) if sensible else None


def _degrees(parts: Any, reference: object, negative: str) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    return -value if str(reference).strip("\0 ").upper() == negative else value
