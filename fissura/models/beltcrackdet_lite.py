"""BeltCrackDetLite: cracks of a conveyor belt in the newest of several frames, on two cores.

Ours, in no paper: the three domains of BeltCrackDet (see `beltcrackdet/`) for a few hundredths of
its work. All that one frame tells by itself is computed once for it, and what is asked of several
frames together is asked of half of the channels, by 1×1 and depthwise convolutions. Everything is
normalised, so that it learns from nothing. Backbone and head are those of YOLOX by name and shape,
so that a training can begin with YOLOX's.

Shapes: B batch, T frames (oldest first, the key frame last), C channels (64 at full width), R = C/2
channels that are compared, H×W a frame, h×w = H/8×W/8, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fissura.models.beltcrackdet.frequency import WaveletConv
from fissura.models.yolox import (
    CSP,
    MOST_CLASSES,
    ConvBN,
    DecoupledHead,
    TopDown,
    check_size,
    released_start,
)

BASE = 16
"""Channels of the first layer; the stride-8 map has four times as many."""
MOST_FRAMES = 16
MOST_WIDTH = 2.0
LEAST_SIDE = 64


def separable(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Every channel by itself over its neighbourhood, then all channels at every place."""
    around = ConvBN(c_in, c_in, kernel, stride, groups=c_in)
    return nn.Sequential(around, ConvBN(c_in, c_out, 1))


def _apart(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """count·B×C×h×w → `count` maps B×C×h×w, what `torch.cat` made one batch."""
    return x.reshape(count, -1, *x.shape[1:]).unbind()


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


class Recall(nn.Module):
    """Space: each place of the key frame reads what earlier frames hold where they resemble it.

    A belt moves by several places from frame to frame; what is sought by its looks is found
    wherever it went. At half of the map's resolution, since every place is compared with every
    other.
    """

    def __init__(self, width: int, reduced: int) -> None:
        super().__init__()
        self.sought = self._tokens(width, reduced)
        self.held = self._tokens(width, 2 * reduced)
        self.read = ConvBN(2 * reduced, reduced, 1)

    @staticmethod
    def _tokens(width: int, channels: int) -> nn.Sequential:
        halved = ConvBN(width, width, 3, 2, groups=width)
        return nn.Sequential(halved, ConvBN(width, channels, 1, act=nn.Identity()))

    def per_frame(self, x: Tensor) -> Tensor:
        """B×C×h×w → B×2R×h/2×w/2: what a place is found by, and what is read there."""
        out: Tensor = self.held(x)
        return out

    def forward(self, key: Tensor, earlier: Sequence[Tensor]) -> Tensor:
        """The key frame's map B×C×h×w, T−1 times B×2R×h/2×w/2 → B×R×h×w."""
        query = self.sought(key)
        names, values = torch.cat(list(earlier), dim=3).chunk(2, dim=1)
        # B×1×places×R
        q, k, v = (x.flatten(2).transpose(1, 2).unsqueeze(1) for x in (query, names, values))
        found = functional.scaled_dot_product_attention(q, k, v)
        found = found.squeeze(1).transpose(1, 2).reshape(query.shape)
        return _doubled(self.read(torch.cat([found, query], dim=1)))


class Change(nn.Module):
    """Time: earlier frames weighted by how they differ from the key frame around each place."""

    def __init__(self, reduced: int, frames: int) -> None:
        super().__init__()
        around = ConvBN(reduced, reduced, 7, groups=reduced)
        self.weigh = nn.Sequential(around, nn.Conv2d(reduced, 1, 1))
        self.mix = ConvBN(frames * reduced, reduced, 1)
        self.fine = separable(reduced, reduced, 5)
        self.coarse = nn.Sequential(
            separable(reduced, 2 * reduced, 5, stride=2), separable(2 * reduced, reduced, 7)
        )

    def forward(self, frames: Sequence[Tensor]) -> Tensor:
        """T maps B×R×h×w → B×R×h×w."""
        *earlier, key = frames
        differences = torch.cat([(frame - key).abs() for frame in earlier])
        weights = _apart(self.weigh(differences).sigmoid(), len(earlier))
        weighted = [weight * frame for weight, frame in zip(weights, earlier, strict=True)]
        x = self.mix(torch.cat([*weighted, key], dim=1))
        out: Tensor = self.fine(x) + _doubled(self.coarse(x))
        return out


class Waves(nn.Module):
    """Frequency: wavelet sub-bands of every frame by itself, then the frames beside each other."""

    def __init__(self, reduced: int, frames: int) -> None:
        super().__init__()
        self.bands = nn.Sequential(WaveletConv(reduced), ConvBN(reduced, reduced, 1))
        self.mix = separable((frames + 1) * reduced, reduced, 5)

    def per_frame(self, x: Tensor) -> Tensor:
        """B×R×h×w, the same."""
        out: Tensor = self.bands(x)
        return out

    def forward(self, frames: Sequence[Tensor], changed: Tensor) -> Tensor:
        """T maps B×R×h×w, and what has changed, alike → B×R×h×w."""
        out: Tensor = self.mix(torch.cat([*frames, changed], dim=1))
        return out


class Neck(nn.Module):
    """The three domains, and their answers added to the key frame's map."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        reduced = width // 2
        self.reduce = ConvBN(width, reduced, 1)
        self.recall = Recall(width, reduced)
        self.change = Change(reduced, frames)
        self.waves = Waves(reduced, frames)
        self.join = CSP(width + 3 * reduced, width, blocks=2, add=True)

    def per_frame(self, x: Tensor) -> dict[str, Tensor]:
        """B×C×h×w of a frame → what the domains ask of it alone."""
        brief = self.reduce(x)
        waves = self.waves.per_frame(brief)
        return {"map": x, "brief": brief, "waves": waves, "held": self.recall.per_frame(x)}

    def forward(self, frames: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """What `per_frame` gives of T frames → B×C×h×w."""
        key = frames[-1]["map"]
        recalled = self.recall(key, [frame["held"] for frame in frames[:-1]])
        changed = self.change([frame["brief"] for frame in frames])
        waves = self.waves([frame["waves"] for frame in frames], changed)
        out: Tensor = key + self.join(torch.cat([key, recalled, changed, waves], dim=1))
        return out


class BeltCrackDetLite(nn.Module):
    """Boxes of the cracks in the last of `frames` frames, with what the others tell about it.

    Input: B×3×T×H×W float32 RGB, normalised, oldest first; H and W multiples of 32 from 64 on.
    `width` multiplies all channels, in steps of 1/16.
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = (123.675, 116.28, 103.53)
    STD_RGB: ClassVar[tuple[float, float, float]] = (58.395, 57.12, 57.375)
    CHANNELS: ClassVar[str] = "rgb"
    INPUT_SCALE: ClassVar[float] = 1.0
    THRESHOLD: ClassVar[float] = 0.5
    TILE: ClassVar[int | None] = None
    OVERLAP: ClassVar[int | None] = None
    STRIDES: ClassVar[tuple[int, ...]] = (8,)

    def __init__(self, frames: int = 5, classes: int = 1, width: float = 1.0) -> None:
        super().__init__()
        if not 2 <= frames <= MOST_FRAMES or not 1 <= classes <= MOST_CLASSES:
            raise ValueError(
                f"frames must be 2 to {MOST_FRAMES} and classes 1 to {MOST_CLASSES}, "
                f"got {frames} and {classes}"
            )
        if not 1 / BASE <= width <= MOST_WIDTH or width * BASE % 1:
            raise ValueError(
                f"width must be a multiple of 1/{BASE} up to {MOST_WIDTH:g}, got {width}"
            )
        self.frames = frames
        base = int(width * BASE)
        self.backbone = TopDown(base, 1)
        self.neck = Neck(4 * base, frames)
        self.head = DecoupledHead([4 * base], 4 * base, classes)
        released_start(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """B×3×T×H×W → {"boxes_raw": B×(5+K)×h×w}: x, y, w, h, objectness, classes, all raw."""
        if x.ndim != 5 or x.shape[2] != self.frames:
            raise ValueError(f"input must be B×3×{self.frames}×H×W, got {tuple(x.shape)}")
        together = self.per_frame(torch.cat(x.unbind(2)))
        parts = (_apart(values, self.frames) for values in together.values())
        return self.fuse(
            [dict(zip(together, part, strict=True)) for part in zip(*parts, strict=True)]
        )

    def per_frame(self, image: Tensor) -> dict[str, Tensor]:
        """B×3×H×W → what every clip with this frame needs and no other frame tells.

        `map` B×C×h×w, `brief` and `waves` B×R×h×w, `held` B×C×h/2×w/2.
        """
        check_size(image, LEAST_SIDE)
        return self.neck.per_frame(self.backbone.descend(image)[0])

    def fuse(self, frames: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """What `per_frame` gives of T frames, oldest first → the boxes of the last as `forward`."""
        if len(frames) != self.frames:
            raise ValueError(f"there must be {self.frames} frames, got {len(frames)}")
        return {"boxes_raw": self.head([self.neck(frames)])[0]}
