"""DBPN: super-resolution by up- and down-projections that correct each other's errors.

Haris, Shakhnarovich, Ukita: "Deep Back-Projection Networks for Super-Resolution", CVPR 2018, as
CSSR uses it. Parameter names are those of CSSR's release, so that its checkpoints load by name.

Shapes: N batch, C channels of the picture, H×W the small picture, s the scale.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fissura.models.layers import he_start

KERNELS = {2: 6, 4: 8, 8: 12}
"""Kernel of a projection by its stride, which is the scale; the padding is 2 in all."""
PADDING = 2
FEWEST_STAGES, MOST_STAGES = 2, 10
MOST_WIDTH = 128
"""Twice the published width, at which a network takes four times its memory."""


class ConvPReLU(nn.Module):
    """Convolution with bias, PReLU with one slope for all channels (none in the last layer)."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding)
        self.act = nn.PReLU() if activate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """N×c_in×h×w → N×c_out×(h/stride)×(w/stride)."""
        out: Tensor = self.act(self.conv(x))
        return out


class DeconvPReLU(nn.Module):
    """Transposed convolution with bias, PReLU with one slope for all channels."""

    def __init__(self, width: int, scale: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(width, width, KERNELS[scale], scale, PADDING)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """N×width×h×w → N×width×s·h×s·w."""
        out: Tensor = self.act(self.deconv(x))
        return out


def _shrink(width: int, scale: int) -> ConvPReLU:
    return ConvPReLU(width, width, KERNELS[scale], scale, PADDING)


def _entry(width: int, inputs: int) -> nn.Module:
    """Back to `width` channels, where a unit takes the results of several."""
    return ConvPReLU(inputs * width, width, 1) if inputs > 1 else nn.Identity()


class UpProjection(nn.Module):
    """Enlarges, reduces again, and adds the enlarged error of that."""

    def __init__(self, width: int, scale: int, inputs: int) -> None:
        super().__init__()
        self.conv = _entry(width, inputs)
        self.up_conv1 = DeconvPReLU(width, scale)
        self.up_conv2 = _shrink(width, scale)
        self.up_conv3 = DeconvPReLU(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        """N×(inputs·width)×h×w → N×width×s·h×s·w."""
        x = self.conv(x)
        large = self.up_conv1(x)
        out: Tensor = large + self.up_conv3(self.up_conv2(large) - x)
        return out


class DownProjection(nn.Module):
    """Reduces, enlarges again, and adds the reduced error of that."""

    def __init__(self, width: int, scale: int, inputs: int) -> None:
        super().__init__()
        self.conv = _entry(width, inputs)
        self.down_conv1 = _shrink(width, scale)
        self.down_conv2 = DeconvPReLU(width, scale)
        self.down_conv3 = _shrink(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        """N×(inputs·width)×s·h×s·w → N×width×h×w."""
        x = self.conv(x)
        small = self.down_conv1(x)
        out: Tensor = small + self.down_conv3(self.down_conv2(small) - x)
        return out


class DBPN(nn.Module):
    """The picture `scale` times as large; any size, values not bounded.

    Input: N×C×H×W float32 in 0…1, C = `channels`. `width` is the channels of every projection. With
    `skip`, which the release lacks, the network adds to the bicubic enlargement instead of drawing
    the whole picture, and starts as just that.
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 0.0)
    STD_RGB: ClassVar[tuple[float, float, float]] = (255.0, 255.0, 255.0)
    CHANNELS: ClassVar[str] = "rgb"
    INPUT_SCALE: ClassVar[float] = 1.0
    THRESHOLD: ClassVar[float] = 0.5
    TILE: ClassVar[int | None] = 256
    OVERLAP: ClassVar[int | None] = 32

    def __init__(
        self,
        scale: int = 4,
        stages: int = 6,
        channels: int = 3,
        width: int = 64,
        skip: bool = False,
    ) -> None:
        super().__init__()
        if scale not in KERNELS or channels not in (1, 3):
            raise ValueError(
                f"scale must be 2, 4 or 8 and channels 3 or 1, got {scale} and {channels}"
            )
        if not FEWEST_STAGES <= stages <= MOST_STAGES or not 1 <= width <= MOST_WIDTH:
            raise ValueError(
                f"stages must be {FEWEST_STAGES} to {MOST_STAGES} and width 1 to {MOST_WIDTH}, "
                f"got {stages} and {width}"
            )
        self.scale, self.stages, self.skip = scale, stages, skip
        self.feat0 = ConvPReLU(channels, 4 * width, 3, padding=1)
        self.feat1 = ConvPReLU(4 * width, width, 1)
        for t in range(1, stages + 1):
            self.add_module(f"up{t}", UpProjection(width, scale, max(t - 1, 1)))
        for t in range(1, stages):
            self.add_module(f"down{t}", DownProjection(width, scale, t))
        self.output_conv = ConvPReLU(stages * width, channels, 3, padding=1, activate=False)
        he_start(self)
        if skip:
            nn.init.zeros_(self.output_conv.conv.weight)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """N×C×H×W → {"image": N×C×s·H×s·W}."""
        large, _ = self.features(x)
        image = self.output_conv(torch.cat(large, dim=1))
        return {"image": image + bicubic(x, self.scale) if self.skip else image}

    def features(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """N×C×H×W → what the up- and the down-projections give, the newest first."""
        large = [self.get_submodule("up1")(self.feat1(self.feat0(x)))]
        small: list[Tensor] = []
        for t in range(1, self.stages):
            small.insert(0, self.get_submodule(f"down{t}")(torch.cat(large, dim=1)))
            large.insert(0, self.get_submodule(f"up{t + 1}")(torch.cat(small, dim=1)))
        return large, small


def bicubic(x: Tensor, scale: int) -> Tensor:
    """N×C×H×W → N×C×s·H×s·W by cubic convolution with a = −0.75, not clamped."""
    return functional.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False)
