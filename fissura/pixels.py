"""Pixels of any depth and channel count become 8-bit RGB, upright."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import InputError, UInt8Image

Pixels = NDArray[Any]

BAND_ROWS = 256
OWN_STATISTICS = np.array([[[0, 0, 0], [-1, -1, -1]]], np.float32)
"""N×2×3: a variance below 0 has a network standardise what it sees by its own statistics."""


def to_rgb(pixels: Pixels) -> tuple[UInt8Image, list[str]]:
    """8-bit RGB from 1, 3 or 4 channels of any depth, and notes on what was lost."""
    pixels, notes = _to_uint8(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] == 4:
        notes.append(alpha_note(bool((pixels[..., 3] == 255).all())))
        return on_white(pixels), notes
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels), notes


def _to_uint8(pixels: Pixels) -> tuple[UInt8Image, list[str]]:
    """Values to 0..255: 16 bits over 257, 12 bits in 16 over 4095/255, floats by their range."""
    if pixels.dtype == np.uint8:
        return pixels, []
    if pixels.dtype == np.bool_:
        return pixels * np.uint8(255), []
    if pixels.dtype.kind not in "uif":
        raise InputError(f"values of type {pixels.dtype} are no picture; convert them to 8 bits")
    low, high = (
        float(pixels.min()),
        float(pixels[..., :3].max() if pixels.ndim == 3 else pixels.max()),
    )
    if not -1e-6 <= low <= high <= 65535:
        raise InputError(f"{value_range(pixels)} are neither 8 nor 16 bits; convert them to 8 bits")
    if pixels.dtype.kind == "f":
        top = next(top for top in (1 + 1e-6, 255, 65535) if high <= top)
        note = f"floats from {low:g} to {high:g} taken as 0..{top:.0f}"
        return _scaled(pixels.astype(np.float32, copy=False), round(top)), [note]
    if 0 < high <= 4095:
        return _scaled(pixels.astype(np.uint16, copy=False), 4095), [
            "16-bit values use 12 bits only (0..4095) and are scaled from those"
        ]
    return _scaled(pixels.astype(np.uint16, copy=False), 65535), ["16 bits reduced to 8"]


def value_range(pixels: Pixels) -> str:
    """The extent of the values, for a message."""
    return f"values from {pixels.min():g} to {pixels.max():g}"


def _scaled(pixels: Pixels, top: int) -> UInt8Image:
    """Round `pixels` × 255 / top, saturated."""
    scaled = np.asarray(cv2.convertScaleAbs(pixels, alpha=255 / top), np.uint8)
    return scaled.reshape(pixels.shape)


def on_white(rgba: UInt8Image) -> UInt8Image:
    """Lay a picture with alpha on white, in bands of rows."""
    out = np.empty((*rgba.shape[:2], 3), np.uint8)
    for top in range(0, len(rgba), BAND_ROWS):
        band = rgba[top : top + BAND_ROWS]
        alpha = band[..., 3:].astype(np.uint16)
        blended = band[..., :3] * alpha + 255 * (255 - alpha)
        out[top : top + BAND_ROWS] = (blended + 127) // 255
    return out


def alpha_note(opaque: bool) -> str:
    """What became of an alpha channel."""
    return "opaque alpha channel dropped" if opaque else "transparent parts laid on white"


def upright(rgb: UInt8Image, orientation: int) -> UInt8Image:
    """Undo the camera's turn (EXIF orientation 1 to 8)."""
    if orientation in (5, 6, 7, 8):
        rgb = np.asarray(cv2.transpose(rgb), np.uint8)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return rgb if flip is None else np.asarray(cv2.flip(rgb, flip), np.uint8)


def to_planes(image: UInt8Image) -> NDArray[np.float32]:
    """H×W×3 uint8 → 1×3×H×W float32, as networks take pictures; T×H×W×3 → 1×3×T×H×W."""
    return np.ascontiguousarray(np.moveaxis(image, -1, 0), np.float32)[None]
