"""PSPNet on a dilated ResNet-34, as CSSR segments with it.

Zhao, Shi, Qi, Wang, Jia: "Pyramid Scene Parsing Network", CVPR 2017. CSSR's differs from it:
no batch norm in the pyramid, and the first block of a dilated stage is not dilated. Parameter names
are those of CSSR's release, so that its checkpoints load by name.

Shapes: N batch, H×W network input, h×w the same rounded up to multiples of 8.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fissura.models.backbones import BasicBlock, resnet_stages
from fissura.models.layers import he_start, mirror_to_stride

DEPTHS = (3, 4, 6, 3)
STRIDES = (1, 2, 1, 1)
DILATIONS = (1, 1, 2, 4)
GRIDS = (1, 2, 3, 6)
STRIDE = 8
MOST_WIDTH = 128
"""Twice the published width, at which a network takes four times its memory."""


class Features(nn.Module):
    """Dilated ResNet-34: the results of stages 3 and 4, both at 1/8."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        stages = resnet_stages(BasicBlock, DEPTHS, width, STRIDES, DILATIONS)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """N×3×h×w → N×4·width×h/8×w/8, N×8·width×h/8×w/8."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, stride=2, padding=1)
        middle = self.layer3(self.layer2(self.layer1(x)))
        return middle, self.layer4(middle)


class GridMean(nn.Module):
    """Means over a k×k grid of the picture: adaptive pooling, as products with two matrices.

    The exporter knows adaptive pooling for fixed sizes only.
    """

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        """N×C×h×w → N×C×k×k."""
        rows, columns = (_means(self.cells, side, x) for side in x.shape[-2:])
        return rows @ x @ columns.T


def _means(cells: int, side: int, like: Tensor) -> Tensor:
    """k×side: row i averages places ⌊i·side/k⌋ … ⌈(i+1)·side/k⌉ − 1."""
    cell = torch.arange(cells, device=like.device)[:, None]
    place = torch.arange(side, device=like.device)
    # Compared after multiplying by k, so that no symbolic number is divided.
    inside = (place * cells > cell * side - cells) & (place * cells < (cell + 1) * side)
    weights = inside.to(like.dtype)
    return weights / weights.sum(dim=1, keepdim=True)


class Pyramid(nn.Module):
    """Means over four grids, each mixed, enlarged again, and joined with the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(GridMean(cells), nn.Conv2d(channels, channels, 1, bias=False))
            for cells in GRIDS
        )
        self.bottleneck = nn.Conv2d((len(GRIDS) + 1) * channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×h/8×w/8 → N×2C×h/8×w/8."""
        priors = [_enlarged(stage(x), x.shape[-2:]) for stage in self.stages]
        return functional.relu(self.bottleneck(torch.cat([*priors, x], dim=1)))


def _enlarged(x: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class Doubling(nn.Module):
    """Bilinear enlargement to twice the size, 3×3 convolution, batch norm, PReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv = nn.Sequential(convolution, nn.BatchNorm2d(c_out), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        """N×c_in×h×w → N×c_out×2h×2w."""
        double = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        out: Tensor = self.conv(double)
        return out


class PSPNet(nn.Module):
    """Logits of crack at full size, and the auxiliary head's probabilities, which help training.

    Input: N×3×H×W float32 RGB, standardised as for ImageNet. Sides that are no multiple of 8 are
    continued by mirroring at the right and the bottom and cut off again. The released head takes
    the sigmoid before it enlarges its map, so that `aux` holds probabilities and no logits. `width`
    is the channels of the first stage.
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = (123.675, 116.28, 103.53)
    STD_RGB: ClassVar[tuple[float, float, float]] = (58.395, 57.12, 57.375)
    CHANNELS: ClassVar[str] = "rgb"
    INPUT_SCALE: ClassVar[float] = 1.0
    THRESHOLD: ClassVar[float] = 0.5
    TILE: ClassVar[int | None] = 512
    OVERLAP: ClassVar[int | None] = 128

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        if not 1 <= width <= MOST_WIDTH:
            raise ValueError(f"width must be 1 to {MOST_WIDTH}, got {width}")
        self.feats = Features(width)
        self.psp = Pyramid(8 * width)
        self.drop_1, self.drop_2 = nn.Dropout2d(0.3), nn.Dropout2d(0.15)
        self.up_1 = Doubling(16 * width, 4 * width)
        self.up_2 = Doubling(4 * width, width)
        self.up_3 = Doubling(width, width)
        self.final = nn.Sequential(nn.Conv2d(width, 1, 1))
        self.aux = nn.Sequential(
            nn.Conv2d(4 * width, 4 * width, 3, padding=1, bias=False),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.1),
            nn.Conv2d(4 * width, 1, 1),
        )
        he_start(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """N×3×H×W → {"logits": N×1×H×W, "aux": N×1×H×W in 0…1}."""
        height, width = x.shape[-2:]
        x = mirror_to_stride(x, STRIDE)
        middle, last = self.feats(x)
        decoded = self.drop_1(self.psp(last))
        for up in (self.up_1, self.up_2, self.up_3):
            decoded = self.drop_2(up(decoded))
        aux = functional.interpolate(
            self.aux(middle).sigmoid(), size=x.shape[-2:], mode="bilinear", align_corners=True
        )
        named = {"logits": self.final(decoded), "aux": aux}
        return {name: values[..., :height, :width] for name, values in named.items()}
