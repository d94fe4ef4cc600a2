"""From a picture to the one that a camera further away would have taken, by named operators.

Pictures are float32 in 0…1, H×W or H×W×C; the small ones have ⌊H/s⌋×⌊W/s⌋ pixels. `bilinear` is
what CSSR's code does (it looks at 2×2 pixels only and so aliases), `bicubic` what its successor
does, `bicubic-antialias` what the literature calls bicubic, and `realistic` adds what a camera
does. None but the last draws anything from the generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from fissura.types import InputError

FloatImage: TypeAlias = NDArray[np.float32]
Operator: TypeAlias = Callable[[FloatImage, int, Generator], FloatImage]


@dataclass(frozen=True)
class Camera:
    """Ranges that the realistic operator draws from, evenly.

    `blur` is the Gaussian's standard deviation along either axis in pixels of the small picture
    (the successor's 0.2…4.0 pixels before reduction by 4), `noise` that of the sensor as a share of
    white, `quality` JPEG's.
    """

    blur: tuple[float, float] = (0.05, 1.0)
    noise: tuple[float, float] = (0.0, 0.02)
    quality: tuple[int, int] = (60, 95)


CAMERA = Camera()


def bilinear(image: FloatImage, scale: int) -> FloatImage:
    """Between the nearest 2×2 pixels, without antialiasing."""
    return _resize(image, _small_wh(image, scale), cv2.INTER_LINEAR)


def bicubic(image: FloatImage, scale: int) -> FloatImage:
    """Over the nearest 4×4 pixels (a = −0.75), without antialiasing; overshoot is not clipped."""
    return _resize(image, _small_wh(image, scale), cv2.INTER_CUBIC)


def bicubic_antialias(image: FloatImage, scale: int) -> FloatImage:
    """Over as many pixels as the reduction asks for (a = −0.5); overshoot is not clipped."""
    return resample(image, _small_wh(image, scale), Image.Resampling.BICUBIC)


def realistic(image: FloatImage, scale: int, rng: Generator, camera: Camera = CAMERA) -> FloatImage:
    """Optical blur, then `bicubic_antialias`, noise and JPEG."""
    sigmas = scale * rng.uniform(*camera.blur, 2)
    blurred = blur(image, (float(sigmas[0]), float(sigmas[1])), float(rng.uniform(0, np.pi)))
    small = bicubic_antialias(blurred, scale)
    sigma = np.float32(rng.uniform(*camera.noise))
    noisy = small + sigma * rng.standard_normal(small.shape, dtype=np.float32)
    return compress(noisy, int(rng.integers(camera.quality[0], camera.quality[1] + 1)))


OPERATORS: dict[str, Operator] = {
    "bilinear": lambda image, scale, _rng: bilinear(image, scale),
    "bicubic": lambda image, scale, _rng: bicubic(image, scale),
    "bicubic-antialias": lambda image, scale, _rng: bicubic_antialias(image, scale),
    "realistic": realistic,
}
"""Ways to reduce a picture, by the name that settings and checkpoints keep."""


def enlarge(image: FloatImage, scale: int) -> FloatImage:
    """Bicubic (a = −0.75), as networks are compared with; overshoot is not clipped."""
    height, width = image.shape[:2]
    return _resize(image, (width * scale, height * scale), cv2.INTER_CUBIC)


def resample(image: FloatImage, size_wh: tuple[int, int], filter_: Image.Resampling) -> FloatImage:
    """Pillow's filters, which widen where they reduce, in float32."""
    planes = image.reshape(*image.shape[:2], -1)
    small = [
        np.asarray(Image.fromarray(np.ascontiguousarray(planes[..., k])).resize(size_wh, filter_))
        for k in range(planes.shape[2])
    ]
    return np.stack(small, axis=-1).reshape(*size_wh[::-1], *image.shape[2:])


def blur(image: FloatImage, sigmas: tuple[float, float], angle: float) -> FloatImage:
    """A Gaussian with two standard deviations in pixels, turned by `angle` (radians)."""
    reach = int(np.ceil(3 * max(sigmas)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = (x * np.cos(angle) + y * np.sin(angle)) / sigmas[0]
    across = (y * np.cos(angle) - x * np.sin(angle)) / sigmas[1]
    kernel = np.exp(-0.5 * (along**2 + across**2))
    blurred = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32).reshape(image.shape)


def compress(image: FloatImage, quality: int) -> FloatImage:
    """Through an 8-bit JPEG, RGB or grey."""
    levels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    grey = levels.ndim == 2 or levels.shape[2] == 1
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    encoded = cv2.imencode(".jpg", levels if grey else levels[..., ::-1], settings)[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    ordered = np.asarray(decoded) if grey else np.asarray(decoded)[..., ::-1]
    return np.asarray(ordered / np.float32(255), np.float32).reshape(image.shape)


def _small_wh(image: FloatImage, scale: int) -> tuple[int, int]:
    height, width = image.shape[:2]
    if scale < 1 or min(height, width) < scale:
        raise InputError(
            f"a picture of {width}×{height} pixels cannot be reduced by {scale}; take a scale from"
            f" 1 to {min(height, width)}"
        )
    return width // scale, height // scale


def _resize(image: FloatImage, size_wh: tuple[int, int], interpolation: int) -> FloatImage:
    resized = np.asarray(cv2.resize(image, size_wh, interpolation=interpolation), np.float32)
    return resized.reshape(*size_wh[::-1], *image.shape[2:])
