"""Encoders with the parameter names of torchvision, so that its ImageNet weights load by name.

Simonyan, Zisserman: "Very deep convolutional networks for large-scale image recognition", ICLR
2015; He, Zhang, Ren, Sun: "Deep residual learning for image recognition", CVPR 2016 (the bottleneck
with its stride in the 3×3 convolution, as torchvision has it).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

VGG16 = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
"""Output channels of each convolution, stages 1 to 5, in multiples of the base width."""
RESNET_WIDTHS = (1, 2, 4, 8)
"""Channels of the four residual stages, in multiples of the base width."""


def vgg16_stages(width: int) -> list[nn.Sequential]:
    """VGG16's convolutions with ReLU in five stages; pooling between them is left to the caller."""
    stages, c_in = [], 3
    for factors in VGG16:
        layers: list[nn.Module] = []
        channels = [c_in, *(width * factor for factor in factors)]
        for entering, leaving in pairwise(channels):
            layers += [nn.Conv2d(entering, leaving, 3, padding=1), nn.ReLU(inplace=True)]
        stages.append(nn.Sequential(*layers))
        c_in = channels[-1]
    return stages


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch norm around a shortcut."""

    EXPANSION = 1

    def __init__(self, c_in: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv3x3(c_in, width, stride, dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, 1, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(c_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """N×c_in×h×w → N×width×(h/stride)×(w/stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1×1 to `width` channels, 3×3, 1×1 to four times as many, around a shortcut."""

    EXPANSION = 4

    def __init__(self, c_in: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(c_in, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """N×c_in×h×w → N×4·width×(h/stride)×(w/stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        return functional.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _conv3x3(c_in: int, c_out: int, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, stride, padding=dilation, dilation=dilation, bias=False)


def _shortcut(c_in: int, c_out: int, stride: int) -> nn.Module:
    if stride == 1 and c_in == c_out:
        return nn.Identity()
    convolution = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(c_out))


def resnet_stages(
    block: type[BasicBlock | Bottleneck],
    depths: tuple[int, ...],
    width: int,
    strides: tuple[int, ...] = (1, 2, 2, 2),
    dilations: tuple[int, ...] = (1, 1, 1, 1),
) -> list[nn.Sequential]:
    """The four residual stages; the first block of each is never dilated."""
    stages, c_in = [], width
    for factor, depth, stride, dilation in zip(
        RESNET_WIDTHS, depths, strides, dilations, strict=True
    ):
        blocks = [block(c_in, width * factor, stride)]
        c_in = width * factor * block.EXPANSION
        blocks += [block(c_in, width * factor, 1, dilation) for _ in range(depth - 1)]
        stages.append(nn.Sequential(*blocks))
    return stages
