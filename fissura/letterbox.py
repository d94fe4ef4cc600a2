"""Pictures and boxes to a network's fixed size and back: letterbox with a grey border, or stretch.

Boxes are xyxy edges in pixels, of the original picture or of the network's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fissura.types import BoolMask, UInt8Image

BORDER = 128
WHOLE = 1e-3
"""How far below an integer a width in 32 bits still counts as that integer."""

Mode = Literal["letterbox", "stretch"]
Boxes = NDArray[np.floating]


@dataclass(frozen=True)
class Letterbox:
    """How a picture of `image_hw` lies in a network input of `network_hw`.

    `letterbox` keeps the aspect ratio and centres the picture on grey; `stretch` fills the input.
    """

    image_hw: tuple[int, int]
    network_hw: tuple[int, int]
    mode: Mode = "letterbox"

    @property
    def inner_hw(self) -> tuple[int, int]:
        """Height and width of the picture inside the input, at least one pixel each."""
        if self.mode == "stretch":
            return self.network_hw
        (ih, iw), (h, w) = self.image_hw, self.network_hw
        scale = min(w / iw, h / ih)
        return max(int(ih * scale), 1), max(int(iw * scale), 1)

    @property
    def corner_yx(self) -> tuple[int, int]:
        """Row and column of the picture's first pixel inside the input."""
        (h, w), (nh, nw) = self.network_hw, self.inner_hw
        return (h - nh) // 2, (w - nw) // 2

    def apply(self, image: UInt8Image) -> UInt8Image:
        """H×W×3 uint8 of the network's size from a picture of the original's."""
        (nh, nw), (top, left) = self.inner_hw, self.corner_yx
        small = Image.fromarray(image).resize((nw, nh), Image.Resampling.BICUBIC)
        canvas = np.full((*self.network_hw, 3), BORDER, np.uint8)
        canvas[top : top + nh, left : left + nw] = np.asarray(small)
        return canvas

    def to_network(self, xyxy: Boxes) -> Boxes:
        """N×4 boxes of the picture as boxes of the input, in floating point."""
        image, inner, shift = self._sides()
        return (xyxy * inner / image + shift).astype(xyxy.dtype)

    def to_image(self, xyxy: Boxes) -> Boxes:
        """The inverse of `to_network`; nothing is clipped."""
        image, inner, shift = self._sides()
        return ((xyxy - shift) * image / inner).astype(xyxy.dtype)

    def _sides(self) -> tuple[NDArray[np.float64], ...]:
        """Sides of the picture and of its place in the input, and that place's corner, as xyxy."""
        pairs = (self.image_hw, self.inner_hw, self.corner_yx)
        return tuple(np.array(pair[::-1] * 2, np.float64) for pair in pairs)

    def released_to_image(self, xyxy: Boxes) -> Boxes:
        """The original's inverse, whose rounding and half pixels disagree with its forward way."""
        image, network = np.array(self.image_hw[::-1]), np.array(self.network_hw[::-1])
        inner = np.round(image * (network / image).min()) if self.mode == "letterbox" else network
        centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2 / network
        half = (xyxy[:, 2:] - xyxy[:, :2]) / 2 / network
        scale = network / inner
        centre = (centre - (network - inner) / 2 / network) * scale * image
        half = half * scale * image
        return np.concatenate([centre - half, centre + half], 1).astype(xyxy.dtype)

    def targets(self, xyxy: Boxes, released: bool = False) -> tuple[Boxes, BoolMask]:
        """Boxes to train on, xyxy in network pixels clipped to the picture, and which were kept.

        Boxes that nothing is left of are dropped. `released` clips to the whole input, cuts to
        integers before and after, as the original does, and drops what is not wider and higher than
        one pixel.
        """
        boxes = self.to_network(_whole(xyxy) if released else xyxy.astype(np.float64))
        boxes = np.trunc(boxes) if released else boxes
        _, inner, corner = self._sides()
        low, high = corner, corner + inner
        if released:
            low, high = np.zeros(4), np.array(self.network_hw[::-1] * 2, np.float64)
        boxes = np.clip(boxes, low, high)
        kept: BoolMask = np.all(boxes[:, 2:] - boxes[:, :2] > float(released), axis=1)
        return boxes[kept].astype(np.float32), kept


def _whole(xyxy: Boxes) -> NDArray[np.float64]:
    """Left, top, width and height cut to integers."""
    first = np.trunc(xyxy[:, :2].astype(np.float64))
    size = np.trunc(xyxy[:, 2:].astype(np.float64) - xyxy[:, :2] + WHOLE)
    return np.concatenate([first, first + size], 1)


def fit_clip(
    images: Sequence[UInt8Image], network_hw: tuple[int, int], mode: Mode = "letterbox"
) -> NDArray[np.uint8]:
    """T×H×W×3 uint8 of the network's size; pictures of several sizes are each fitted by theirs."""
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    fitted = [
        Letterbox(size_hw, network_hw, mode).apply(image)
        for size_hw, image in zip(sizes, images, strict=True)
    ]
    return np.stack(fitted)
