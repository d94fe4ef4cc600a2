"""How two maps become one: plainly, or by a residual block with channel and spatial attention.

Shapes: B batch, C channels, h×w the map.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from fissura.models.yolox import ConvBN

RATIO = 16


def chain(*channels: int) -> nn.Sequential:
    """3×3 convolutions with batch norm and SiLU from each count of channels to the next."""
    return nn.Sequential(*(ConvBN(c_in, c_out, 3) for c_in, c_out in pairwise(channels)))


class ChannelAttention(nn.Module):
    """A factor for every channel, by its mean and its maximum over the map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // RATIO, 1, bias=False)
        self.fc2 = nn.Conv2d(width // RATIO, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×h×w, the same."""
        pooled = (x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True))
        mean, largest = (self.fc2(functional.relu(self.fc1(values))) for values in pooled)
        out: Tensor = x * (mean + largest).sigmoid()
        return out


class SpatialAttention(nn.Module):
    """A factor for every position, by the mean and the maximum over its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×h×w, the same."""
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        factor: Tensor = self.conv1(pooled).sigmoid()
        return x * factor


class RCU(nn.Module):
    """Residual block over two maps, its answer weighted by channel, then by position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        self.ca = ChannelAttention(width)
        self.sa = SpatialAttention()
        self.shortcut = nn.Sequential(nn.Conv2d(2 * width, width, 1), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """B×2C×h×w → B×C×h×w."""
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.sa(self.ca(self.bn2(self.conv2(out))))
        return functional.relu(out + self.shortcut(x))


def fusion(width: int, residual: bool) -> nn.Module:
    """Two maps of `width` channels to one: an RCU, or the plain convolutions that replace it."""
    return RCU(width) if residual else chain(2 * width, 2 * width, width)
