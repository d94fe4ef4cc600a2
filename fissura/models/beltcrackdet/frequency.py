"""WFM, the frequency branch: depthwise convolutions of a map's Haar wavelet sub-bands.

Finder, Amoyal, Treister, Freifeld: "Wavelet Convolutions for Large Receptive Fields", ECCV 2024.

Shapes: B batch, C channels, h×w the map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 3
KERNEL = 5
HALF = 0.49999997
"""The square of √½ in float32, as the wavelet's filters hold it."""


class Scale(nn.Module):
    """One learnt factor for every channel."""

    def __init__(self, channels: int, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, channels, 1, 1), start))

    def forward(self, x: Tensor) -> Tensor:
        """B×channels×h×w, the same."""
        return self.weight * x


def analyse(x: Tensor) -> Tensor:
    """B×C×h×w, h and w even → B×C×4×h/2×w/2: mean, and differences of rows, columns, both."""
    top, bottom = x[:, :, ::2], x[:, :, 1::2]
    a, b, c, d = top[..., ::2], top[..., 1::2], bottom[..., ::2], bottom[..., 1::2]
    bands = [a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d]
    return HALF * torch.stack(bands, dim=2)


def synthesise(bands: Tensor) -> Tensor:
    """B×C×4×h×w → B×C×2h×2w, the inverse."""
    mean, rows, columns, both = bands.unbind(2)
    top = [mean + rows + columns + both, mean + rows - columns - both]
    bottom = [mean - rows + columns - both, mean - rows - columns + both]
    # B×C×h×2×w×2: row and column within the block stand behind those of the block.
    blocks = torch.stack([torch.stack(row, dim=-1) for row in (top, bottom)], dim=3)
    return HALF * blocks.flatten(4, 5).flatten(2, 3)


class WaveletConv(nn.Module):
    """A depthwise convolution, and the same at three coarser scales, sub-band by sub-band."""

    def __init__(self, width: int) -> None:
        super().__init__()
        bands = 4 * width
        self.base_conv = _depthwise(width, bias=True)
        self.base_scale = Scale(width, 1.0)
        self.wavelet_convs = nn.ModuleList(_depthwise(bands, bias=False) for _ in range(LEVELS))
        self.wavelet_scale = nn.ModuleList(Scale(bands, 0.1) for _ in range(LEVELS))

    def forward(self, x: Tensor) -> Tensor:
        """B×C×h×w, the same; any size."""
        out: Tensor = self.base_scale(self.base_conv(x)) + self._wavelets(x, 0)
        return out

    def _wavelets(self, x: Tensor, level: int) -> Tensor:
        """B×C×h×w, the same: what this level and the coarser ones make of it."""
        height, width = x.shape[-2:]
        x = functional.pad(x, (0, width % 2, 0, height % 2))
        bands = analyse(x)
        changed = self.wavelet_scale[level](self.wavelet_convs[level](bands.flatten(1, 2)))
        changed = changed.reshape(bands.shape)
        if level + 1 < LEVELS:
            mean = changed[:, :, :1] + self._wavelets(bands[:, :, 0], level + 1).unsqueeze(2)
            changed = torch.cat([mean, changed[:, :, 1:]], dim=2)
        return synthesise(changed)[..., :height, :width]


def _depthwise(channels: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, KERNEL, padding=KERNEL // 2, groups=channels, bias=bias)
