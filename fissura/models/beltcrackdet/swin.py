"""Attention within windows of the frames' maps, the whole time axis in each.

Liu and others: "Video Swin Transformer", CVPR 2022; two layers, the second with shifted windows.
Tokens lie width before height, as released: windows and the table of biases have that order.

Shapes: B batch, F frames, C channels of one, w×h the map, from 8×8 on, N = F·8·8 the tokens of a
window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

HEADS = 4
SIDE = 8
SPAN = 2 * SIDE - 1
SHIFT = SIDE // 2
OTHER_REGION = -100.0
TABLE_STD = 0.02


@dataclass(frozen=True)
class Windows:
    """How a map is cut along one axis: `count` windows of 8, after `padding`, shifted or not."""

    count: int
    padding: int
    shift: int

    @classmethod
    def along(cls, size: int, shift: int) -> Windows:
        """An axis that one window covers is not shifted."""
        count = -(-size // SIDE)
        return cls(count, count * SIDE - size, shift if count > 1 else 0)

    def regions(self, device: torch.device) -> Tensor:
        """Count×8: numbers of what lay together before the shift."""
        places = torch.arange(self.count * SIDE, device=device)
        last = places >= (self.count - 1) * SIDE
        wrapped = places >= self.count * SIDE - self.shift
        number = last.long() + wrapped.long() if self.shift else torch.zeros_like(places)
        return number.view(self.count, SIDE)


class WindowAttention(nn.Module):
    """Attention among the tokens of a window, with a learnt bias for every relative position."""

    relative_position_index: Tensor

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        table = torch.empty((2 * frames - 1) * SPAN * SPAN, HEADS)
        self.relative_position_bias_table = nn.Parameter(
            nn.init.trunc_normal_(table, std=TABLE_STD)
        )
        # No file of ours holds it: it is there even where the rest is built without memory.
        index = relative_positions(frames)
        self.register_buffer("relative_position_index", index, persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """M×N×C of M windows, and B·M×1×N×N of what may not meet → M×N×C."""
        windows, tokens, channels = x.shape
        parts = self.qkv(x).view(windows, tokens, 3, HEADS, channels // HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each M×heads×N×C/heads
        bias = self.relative_position_bias_table[self.relative_position_index]  # N×N×heads
        bias = bias.permute(2, 0, 1).unsqueeze(0)
        bias = (bias if mask is None else bias + mask).to(query.dtype)
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        out: Tensor = self.proj(read.transpose(1, 2).flatten(2))
        return out


def relative_positions(frames: int) -> Tensor:
    """N×N rows of the table for windows of `frames`×8×8, from the query's place to the key's."""
    axes = [torch.arange(size, device="cpu") for size in (frames, SIDE, SIDE)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)  # 3×N
    dt, dx, dy = places[:, :, None] - places[:, None, :]
    rows: Tensor = ((dt + frames - 1) * SPAN + dx + SIDE - 1) * SPAN + dy + SIDE - 1
    return rows


class Feedforward(nn.Module):
    """Two linear layers for every token by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """…×C, the same."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class SwinLayer(nn.Module):
    """Attention in windows, then two linear layers, each added to what it takes."""

    def __init__(self, width: int, frames: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, frames)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Feedforward(width)

    def forward(self, x: Tensor) -> Tensor:
        """B×F×w×h×C, the same."""
        x = x + self._attended(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _attended(self, x: Tensor) -> Tensor:
        # Padding takes part unmasked: zeros that answer by their positions' bias alone.
        columns, rows = (Windows.along(size, self.shift) for size in x.shape[2:4])
        shape = x.shape
        x = functional.pad(x, (0, 0, 0, rows.padding, 0, columns.padding))
        x = x.roll((-columns.shift, -rows.shift), (2, 3))
        padded = x.shape
        x = self.attn(partition(x, columns, rows), _mask(x, columns, rows))
        x = merge(x, padded, columns, rows).roll((columns.shift, rows.shift), (2, 3))
        return x[:, :, : shape[2], : shape[3]]


def partition(x: Tensor, columns: Windows, rows: Windows) -> Tensor:
    """B×F×w×h×C → M×N×C: windows of all pictures one after the other."""
    batch, frames, channels = x.shape[0], x.shape[1], x.shape[4]
    # B×F×w/8×8×h/8×8×C
    x = x.reshape(batch, frames, columns.count, SIDE, rows.count, SIDE, channels)
    return x.permute(0, 2, 4, 1, 3, 5, 6).flatten(3, 5).flatten(0, 2)


def merge(x: Tensor, padded: torch.Size, columns: Windows, rows: Windows) -> Tensor:
    """M×N×C → B×F×w×h×C, the inverse."""
    frames, channels = padded[1], padded[4]
    x = x.view(-1, columns.count, rows.count, frames, SIDE, SIDE, channels)
    return x.permute(0, 3, 1, 4, 2, 5, 6).reshape(padded)


def _mask(x: Tensor, columns: Windows, rows: Windows) -> Tensor | None:
    """M×1×N×N: −100 between tokens that the shift alone brought together; None without a shift."""
    if not columns.shift and not rows.shift:
        return None
    batch, frames = x.shape[:2]
    across, along = columns.regions(x.device), rows.regions(x.device)
    # w/8×h/8×F×8×8
    number = 3 * across[:, None, None, :, None] + along[None, :, None, None, :]
    number = number.expand(-1, -1, frames, -1, -1).flatten(2).flatten(0, 1)
    apart = number[:, None, :] != number[:, :, None]
    mask = torch.zeros(apart.shape, dtype=x.dtype, device=x.device)
    return mask.masked_fill(apart, OTHER_REGION).repeat(batch, 1, 1).unsqueeze(1)


class FrameSwin(nn.Module):
    """The channels of `frames` maps exchange in space and time."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.tr = nn.Sequential(*(SwinLayer(width, frames, shift) for shift in (0, SHIFT)))

    def forward(self, x: Tensor) -> Tensor:
        """B×F·C×h×w, the same."""
        shape = (x.shape[0], self.frames, -1, *x.shape[2:])
        tokens = x.reshape(shape).permute(0, 1, 4, 3, 2)  # B×F×w×h×C
        out: Tensor = self.tr(tokens).permute(0, 1, 4, 3, 2).flatten(1, 2)
        return out
