"""YOLOX: an anchor-free detector with three strides, and the blocks that BeltCrackDet shares.

Ge, Liu, Wang, Li, Sun: "YOLOX: Exceeding YOLO Series in 2021", 2021. Parameter names are those of
its PyTorch releases, so that their checkpoints load by name.

Shapes: N batch, C channels, H×W the picture, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
COARSEST = STRIDES[-1]
MOST_CLASSES = 1000
MOST_WIDTH, MOST_DEPTH = 1.25, 1.33
"""Those of the largest published one."""
BN_EPS, BN_MOMENTUM = 1e-3, 0.03
START_STD = 0.02


class ConvBN(nn.Module):
    """Convolution without bias that keeps the size at a stride of 1, batch norm, SiLU or `act`."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        act: nn.Module | None = None,
        groups: int = 1,
    ) -> None:
        super().__init__()
        padding = (kernel - 1) // 2
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(c_out, BN_EPS, BN_MOMENTUM)
        self.act = act or nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """N×c_in×h×w → N×c_out×(h/stride)×(w/stride)."""
        out: Tensor = self.act(self.bn(self.conv(x)))
        return out


class Bottleneck(nn.Module):
    """1×1, then 3×3, added to the input if `add`."""

    def __init__(self, width: int, add: bool) -> None:
        super().__init__()
        self.conv1 = ConvBN(width, width, 1)
        self.conv2 = ConvBN(width, width, 3)
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        """N×width×h×w, the same."""
        out: Tensor = self.conv2(self.conv1(x))
        return out + x if self.add else out


class CSP(nn.Module):
    """Half of the channels pass `blocks` bottlenecks, the other half goes around them."""

    def __init__(self, c_in: int, c_out: int, blocks: int, add: bool = False) -> None:
        super().__init__()
        half = c_out // 2
        self.conv1 = ConvBN(c_in, half, 1)
        self.conv2 = ConvBN(c_in, half, 1)
        self.conv3 = ConvBN(2 * half, c_out, 1)
        self.m = nn.Sequential(*(Bottleneck(half, add) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """N×c_in×h×w → N×c_out×h×w."""
        out: Tensor = self.conv3(torch.cat([self.m(self.conv1(x)), self.conv2(x)], dim=1))
        return out


class SPP(nn.Module):
    """The strongest answer within 5, 9 and 13 pixels beside the map itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(width, width // 2, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(k, stride=1, padding=k // 2) for k in (5, 9, 13))
        self.conv2 = ConvBN(width // 2 * 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×width×h×w, the same."""
        x = self.conv1(x)
        out: Tensor = self.conv2(torch.cat([x, *(pool(x) for pool in self.m)], dim=1))
        return out


class Focus(nn.Module):
    """2×2 pixels become channels: (row, column) even-even, odd-even, even-odd, odd-odd."""

    def __init__(self, c_out: int) -> None:
        super().__init__()
        self.conv = ConvBN(12, c_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×c_out×H/2×W/2."""
        even, odd = x[:, :, ::2], x[:, :, 1::2]
        parts = [even[..., ::2], odd[..., ::2], even[..., 1::2], odd[..., 1::2]]
        out: Tensor = self.conv(torch.cat(parts, dim=1))
        return out


class Body(nn.Module):
    """CSPDarknet: maps of the strides 8, 16 and 32 with 4, 8 and 16 times `width` channels."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        c2, c3, c4, c5 = (width * factor for factor in (2, 4, 8, 16))
        self.stem = Focus(width)
        self.dark2 = nn.Sequential(ConvBN(width, c2, 3, 2), CSP(c2, c2, blocks, add=True))
        self.dark3 = nn.Sequential(ConvBN(c2, c3, 3, 2), CSP(c3, c3, 3 * blocks, add=True))
        self.dark4 = nn.Sequential(ConvBN(c3, c4, 3, 2), CSP(c4, c4, 3 * blocks, add=True))
        self.dark5 = nn.Sequential(ConvBN(c4, c5, 3, 2), SPP(c5), CSP(c5, c5, blocks))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """N×3×H×W → N×4w×H/8×W/8, N×8w×H/16×W/16, N×16w×H/32×W/32."""
        third = self.dark3(self.dark2(self.stem(x)))
        fourth = self.dark4(third)
        return third, fourth, self.dark5(fourth)


class TopDown(nn.Module):
    """The body, and the way from its coarsest map down to the finest: half of a PAFPN."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        c3, c4, c5 = (width * factor for factor in (4, 8, 16))
        self.backbone = Body(width, blocks)
        self.lateral_conv0 = ConvBN(c5, c4, 1)
        self.C3_p4 = CSP(2 * c4, c4, blocks)
        self.reduce_conv1 = ConvBN(c4, c3, 1)
        self.C3_p3 = CSP(2 * c3, c3, blocks)

    def descend(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """N×3×H×W → N×4w×H/8×W/8 (P3), N×4w×H/16×W/16, N×8w×H/32×W/32."""
        third, fourth, fifth = self.backbone(x)
        coarse = self.lateral_conv0(fifth)
        middle = self.reduce_conv1(self.C3_p4(torch.cat([_doubled(coarse), fourth], dim=1)))
        fine = self.C3_p3(torch.cat([_doubled(middle), third], dim=1))
        return fine, middle, coarse


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


class PAFPN(TopDown):
    """Both ways: down to the finest map, and from it up again."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__(width, blocks)
        c3, c4, c5 = (width * factor for factor in (4, 8, 16))
        self.bu_conv2 = ConvBN(c3, c3, 3, 2)
        self.C3_n3 = CSP(2 * c3, c4, blocks)
        self.bu_conv1 = ConvBN(c4, c4, 3, 2)
        self.C3_n4 = CSP(2 * c4, c5, blocks)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """N×3×H×W → N×4w×H/8×W/8, N×8w×H/16×W/16, N×16w×H/32×W/32."""
        fine, middle, coarse = self.descend(x)
        middle = self.C3_n3(torch.cat([self.bu_conv2(fine), middle], dim=1))
        coarse = self.C3_n4(torch.cat([self.bu_conv1(middle), coarse], dim=1))
        return fine, middle, coarse


class DecoupledHead(nn.Module):
    """Classes and boxes from two branches of `width` channels, for every map by itself."""

    def __init__(self, inputs: Sequence[int], width: int, classes: int) -> None:
        super().__init__()
        levels = range(len(inputs))
        self.stems = nn.ModuleList(ConvBN(c_in, width, 1) for c_in in inputs)
        self.cls_convs = nn.ModuleList(_pair(width) for _ in levels)
        self.reg_convs = nn.ModuleList(_pair(width) for _ in levels)
        self.cls_preds = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in levels)
        self.reg_preds = nn.ModuleList(nn.Conv2d(width, 4, 1) for _ in levels)
        self.obj_preds = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in levels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """N×C×h×w each → N×(5+K)×h×w: x, y, w, h, objectness, classes, all raw."""
        return [self._level(k, x) for k, x in enumerate(maps)]

    def _level(self, k: int, x: Tensor) -> Tensor:
        x = self.stems[k](x)
        boxes, classes = self.reg_convs[k](x), self.cls_convs[k](x)
        parts = [self.reg_preds[k](boxes), self.obj_preds[k](boxes), self.cls_preds[k](classes)]
        return torch.cat(parts, dim=1)


def _pair(width: int) -> nn.Sequential:
    return nn.Sequential(ConvBN(width, width, 3), ConvBN(width, width, 3))


class YoloxS(nn.Module):
    """YOLOX, by default its small form: what one frame by itself tells.

    Input: N×3×H×W float32 RGB, normalised; H and W multiples of 32. `width` and `depth` multiply
    the channels and the blocks of the published family, of which 0.5 and 0.33 is "s".
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = (123.675, 116.28, 103.53)
    STD_RGB: ClassVar[tuple[float, float, float]] = (58.395, 57.12, 57.375)
    CHANNELS: ClassVar[str] = "rgb"
    INPUT_SCALE: ClassVar[float] = 1.0
    THRESHOLD: ClassVar[float] = 0.5
    TILE: ClassVar[int | None] = None
    OVERLAP: ClassVar[int | None] = None
    STRIDES: ClassVar[tuple[int, ...]] = STRIDES

    def __init__(self, classes: int = 1, width: float = 0.5, depth: float = 0.33) -> None:
        super().__init__()
        base = round(64 * width) if math.isfinite(width) else 0
        if not 1 <= classes <= MOST_CLASSES:
            raise ValueError(f"classes must be 1 to {MOST_CLASSES}, got {classes}")
        if base < 1 or not width <= MOST_WIDTH or not 0 < depth <= MOST_DEPTH:
            raise ValueError(
                f"width must be 1/64 to {MOST_WIDTH} and depth above 0 and up to {MOST_DEPTH}, "
                f"got {width} and {depth}"
            )
        self.backbone = PAFPN(base, max(round(3 * depth), 1))
        self.head = DecoupledHead([4 * base, 8 * base, 16 * base], 4 * base, classes)
        released_start(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """N×3×H×W → {"boxes_raw8": N×(5+K)×H/8×W/8, "boxes_raw16": …, "boxes_raw32": …}."""
        check_size(x, COARSEST)
        raw = self.head(self.backbone(x))
        return {f"boxes_raw{stride}": values for stride, values in zip(STRIDES, raw, strict=True)}


def check_size(x: Tensor, least: int) -> None:
    """ValueError unless both sides are multiples of 32, from `least` on."""
    height, width = x.shape[-2:]
    if height % COARSEST or width % COARSEST or height < least or width < least:
        raise ValueError(
            f"height and width must be multiples of {COARSEST} from {least} on, "
            f"got {height}×{width}"
        )


def released_start(network: nn.Module) -> None:
    """Narrow normal convolutions, gains near 1: as the releases start; biases stay as they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=START_STD)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, mean=1.0, std=START_STD)
            nn.init.zeros_(module.bias)
