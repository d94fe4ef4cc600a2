"""3×3 convolutions with a quarter of the multiplications.

Lavin, Gray: "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: F(4×4, 3×3), by which
4×4 pixels of an answer take 36 products for each pair of channels instead of 144. In 32 bits
a layer differs by 2e-6 of its largest value, where the plain sum has 3e-7.

Shapes: B batch, C channels in, D out, h×w the map, n tiles of 4×4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

TILE, REACH = 4, 6
LEAST_WIDTH = 64
"""With fewer channels, moving tiles costs what the products save."""

POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
"""Where the polynomials behind the products are taken; infinity is the sixth. With the usual 0, ±1
and ±2 rounding is 3.6 times as large."""


def transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Of 6 inputs, 3 taps and 6 products, after Toom and Cook: 6×6, 6×3, 4×6."""
    points = torch.tensor(POINTS, dtype=torch.float64)
    others = [[p for p in POINTS if p != point] for point in POINTS]
    scale = torch.tensor(
        [math.prod(p - q for q in rest) for p, rest in zip(POINTS, others, strict=True)]
    )
    inputs = torch.zeros(REACH, REACH, dtype=torch.float64)
    for row, roots in enumerate([*others, POINTS]):
        found = polynomial(roots)
        inputs[row, : len(found)] = found
    last = torch.zeros(1, REACH, dtype=torch.float64)
    last[0, -1] = 1
    taps = torch.cat([points[:, None] ** torch.arange(3) / scale[:, None], last[:, -3:]])
    products = torch.cat([points ** torch.arange(TILE)[:, None], last[:, -TILE:].T], dim=1)
    return inputs, taps, products


def polynomial(roots: Sequence[float]) -> Tensor:
    """Coefficients, of the lowest power first, of the product of all x − root."""
    found = torch.ones(1, dtype=torch.float64)
    for root in roots:
        found = functional.pad(found, (1, 0)) - root * functional.pad(found, (0, 1))
    return found


def fits(conv: nn.Conv2d) -> bool:
    """Whether the convolution is one of those that this file computes, and wide enough."""
    form = conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups
    wide = min(conv.in_channels, conv.out_channels) >= LEAST_WIDTH
    return form == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and wide


class WinogradConv(nn.Module):
    """A 3×3 convolution that keeps the size, its kernels already transformed."""

    weight: Tensor
    bias: Tensor
    before: Tensor
    after: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        inputs, kernel, products = transforms()
        weight = conv.weight.detach()
        both = torch.kron(kernel, kernel) @ weight.double().flatten(2).transpose(1, 2)  # D×36×C
        self.register_buffer("weight", both.permute(1, 2, 0).to(weight.dtype).contiguous())
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        self.register_buffer("bias", bias.to(weight.dtype))
        for name, matrix in (("before", inputs), ("after", products)):
            self.register_buffer(name, torch.kron(matrix, matrix).to(weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """B×C×h×w → B×D×h×w."""
        batch, channels, height, width = x.shape
        rows, columns = (-(-side // TILE) for side in (height, width))
        right, below = (1 + TILE * n - side for n, side in ((columns, width), (rows, height)))
        x = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, right, 1, below))
        x = x.unfold(1, REACH, TILE).unfold(2, REACH, TILE)  # B×rows×columns×C×6×6
        x = self.before @ x.permute(4, 5, 0, 1, 2, 3).reshape(REACH**2, -1)
        x = torch.bmm(x.view(REACH**2, -1, channels), self.weight)  # 36×n×D
        x = self.after @ x.view(REACH**2, -1)
        x = x.view(TILE, TILE, batch, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)
        x = x.reshape(batch, TILE * rows, TILE * columns, -1) + self.bias
        return x[:, :height, :width].permute(0, 3, 1, 2)


def with_winograd(network: nn.Module) -> None:
    """Replaces, in the network itself, every convolution that fits."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and fits(child):
                setattr(module, name, WinogradConv(child))
