"""HSM, the spatial branch: where the key frame resembles, or differs from, what came before it.

The branch itself is three convolutions between these blocks (see `network.Neck.spatial`).

Shapes: B batch, C channels, h×w the map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

KeyValues = tuple[Tensor, Tensor]


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Every position of B×D×h×w `query` reads B×C×h×w `value` where B×D×h×w `key` answers to it."""
    q, k, v = (x.flatten(2).transpose(1, 2).unsqueeze(1) for x in (query, key, value))
    read = functional.scaled_dot_product_attention(q, k, v, scale=scale)
    return read.squeeze(1).transpose(1, 2).reshape(value.shape)


class NonLocal(nn.Module):
    """Attention over the whole map, added with a learnt share `gamma` that starts at 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(width, width // 8, 1)
        self.key_conv = nn.Conv2d(width, width // 8, 1)
        self.value_conv = nn.Conv2d(width, width, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """B×C×h×w, the same."""
        if self._without_effect():
            return x
        # The original has no factor 1/√D here.
        read = attend(self.query_conv(x), self.key_conv(x), self.value_conv(x), scale=1.0)
        return self.gamma * read + x

    def _without_effect(self) -> bool:
        """A released training never moves gamma; graphs and networks without values cannot ask."""
        if self.training or torch.compiler.is_compiling() or self.gamma.is_meta:
            return False
        return bool(self.gamma.detach() == 0)


class KeyValue(nn.Module):
    """What a position is found by, and what is then read there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key_conv = nn.Conv2d(width, width // 2, 3, padding=1)
        self.value_conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> KeyValues:
        """B×C×h×w → B×C/2×h×w, B×C×h×w."""
        return self.key_conv(x), self.value_conv(x)


class Reduce(nn.Module):
    """1×1 convolution to half the channels, batch norm, ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.con1x1 = nn.Conv2d(2 * width, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """B×2C×h×w → B×C×h×w."""
        return functional.relu(self.bn(self.con1x1(x)))


class MemoryReader(nn.Module):
    """Every position of the key frame reads the memory."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.memory_reduce = Reduce(width)

    def forward(self, query: KeyValues, memory: KeyValues) -> Tensor:
        """Keys B×C/2×h×w and values B×C×h×w of both → B×C×h×w."""
        read = attend(query[0], *memory, scale=query[0].shape[1] ** -0.5)
        out: Tensor = self.memory_reduce(torch.cat([read, query[1]], dim=1))
        return out
