"""ATM, the temporal branch: frames weighted by their change, and a graph over neighbours.

Shapes: B batch, T frames, C channels, h×w the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Edges = Literal["wrap", "replicate", "levelled"]
EDGES = ("wrap", "replicate", "levelled")
SLOPE = 0.1


class Residual(nn.Module):
    """Two 3×3 convolutions with bias, added to the input; no normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.body = nn.Sequential(first, nn.ReLU(), second)

    def forward(self, x: Tensor) -> Tensor:
        """B×width×h×w, the same."""
        out: Tensor = x + self.body(x)
        return out


def _two(width: int) -> nn.Sequential:
    return nn.Sequential(Residual(width), Residual(width))


class Down(nn.Module):
    """Halves the map."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(c_in, c_out, 4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """B×c_in×h×w → B×c_out×h/2×w/2."""
        out: Tensor = self.conv(x)
        return out


class Up(nn.Module):
    """Doubles the map."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.deconv = nn.Sequential(nn.ConvTranspose2d(c_in, c_out, 2, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        """B×c_in×h×w → B×c_out×2h×2w."""
        out: Tensor = self.deconv(x)
        return out


class TARFusion(nn.Module):
    """The frames weighted by how far each differs from the key frame, through an hourglass."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.temporal_attn1 = nn.Conv2d(width, width, 3, padding=1)
        self.temporal_attn2 = nn.Conv2d(width, width, 3, padding=1)
        self.feat_fusion = nn.Conv2d(frames * width, width, 1)
        self.res_block1 = _two(width)
        self.downsample1 = Down(width, 2 * width)
        self.res_block2 = _two(2 * width)
        self.downsample2 = Down(2 * width, 4 * width)
        self.res_block3 = _two(4 * width)
        self.upsample1 = Up(4 * width, 2 * width)
        self.res_block4 = _two(4 * width)
        self.upsample2 = Up(4 * width, width)
        self.res_block5 = _two(2 * width)
        self.fusion_tail = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1))

    def forward(self, frames: Sequence[Tensor], answers: Sequence[Tensor] | None = None) -> Tensor:
        """T maps B×C×h×w, the key frame last, and what `answer` makes of each → B×C×h×w."""
        *earlier, key = frames
        weights = self._changes(key, answers or [self.answer(frame) for frame in frames])
        weighted = [weight * frame for weight, frame in zip(weights, earlier, strict=True)]
        fused = self.feat_fusion(torch.cat([key, *weighted], dim=1))
        fused = functional.leaky_relu(fused, SLOPE)
        out: Tensor = self.fusion_tail(self._hourglass(fused)) + fused
        return out

    def answer(self, frame: Tensor) -> Tensor:
        """B×C×h×w, the same: what a key frame's query is held against, of one frame alone."""
        out: Tensor = self.temporal_attn2(frame)
        return out

    def _changes(self, key: Tensor, answers: Sequence[Tensor]) -> list[Tensor]:
        """T−1 maps B×1×h×w from 0.5, where a frame answers as the key frame does, to 1."""
        query = self.temporal_attn1(key)
        # These sums over all channels leave the range of 16 bits.
        found = [(answer.float() * query.float()).sum(1, keepdim=True) for answer in answers]
        return [(c - found[-1]).abs().sigmoid().to(query.dtype) for c in found[:-1]]

    def _hourglass(self, x: Tensor) -> Tensor:
        """B×C×h×w → B×2C×h×w."""
        first = self.res_block1(x)
        second = self.res_block2(self.downsample1(first))
        third = self.res_block3(self.downsample2(second))
        fourth = self.res_block4(torch.cat([self.upsample1(third), second], dim=1))
        out: Tensor = self.res_block5(torch.cat([self.upsample2(fourth), first], dim=1))
        return out


class LinearBN(nn.Sequential):
    """Linear layer with bias over the last axis, one batch norm for all positions, ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        linear = nn.Linear(c_in, c_out)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        super().__init__(linear, nn.BatchNorm1d(c_out), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """…×c_in → …×c_out."""
        linear, norm, relu = self
        x = linear(x)
        out: Tensor = relu(norm(x.flatten(0, -2)).view(x.shape))
        return out


class NeighbourGraph(nn.Module):
    """GAL: every position exchanges with the four beside it.

    With `wrap`, as released, the map's left edge lies beside its right one, and top beside bottom;
    with `replicate` an edge is its own neighbour. `levelled` does that too, and brings each map to
    a spread of 1 first: nothing before it is normalised, and the products of neighbours square what
    has grown there, until a training ends in values that are no numbers.
    """

    def __init__(self, width: int, edges: Edges) -> None:
        super().__init__()
        self.edges = edges
        self.edge_aggregation_func = LinearBN(4, 1)
        self.vertex_update_func = LinearBN(2 * width, width // 2)
        self.edge_update_func = LinearBN(2 * width, width // 2)
        self.update_edge_reduce_func = LinearBN(4, 1)
        self.final_aggregation_layer = nn.Sequential(
            nn.Conv2d(width + width // 2, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        """B×C×h×w, the same."""
        if self.edges == "levelled":
            x = functional.group_norm(x, 1)
        vertices = x.permute(0, 2, 3, 1)
        edges = torch.stack([vertices * beside for beside in self._neighbours(vertices)], dim=-1)
        update = self._vertex_update(vertices, edges) * self._edge_update(vertices, edges)
        out: Tensor = self.final_aggregation_layer(
            torch.cat([x, update.permute(0, 3, 1, 2)], dim=1)
        )
        return out

    def _neighbours(self, x: Tensor) -> list[Tensor]:
        """B×h×w×C → above, below, left, right of every position, each B×h×w×C."""
        return [self._shifted(x, axis, step) for axis in (1, 2) for step in (1, -1)]

    def _shifted(self, x: Tensor, axis: int, step: int) -> Tensor:
        if self.edges == "wrap":
            return x.roll(step, axis)
        last = x.shape[axis] - 1
        if step > 0:
            return torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, last)], dim=axis)
        return torch.cat([x.narrow(axis, 1, last), x.narrow(axis, last, 1)], dim=axis)

    def _vertex_update(self, vertices: Tensor, edges: Tensor) -> Tensor:
        """B×h×w×C and B×h×w×C×4 → B×h×w×C/2."""
        aggregated = self.edge_aggregation_func(edges).squeeze(-1)
        out: Tensor = self.vertex_update_func(torch.cat([vertices, aggregated], dim=-1))
        return out

    def _edge_update(self, vertices: Tensor, edges: Tensor) -> Tensor:
        """B×h×w×C and B×h×w×C×4 → B×h×w×C/2."""
        each = edges.movedim(-1, 3)  # B×h×w×4×C
        centre = vertices.unsqueeze(3).expand_as(each)
        updated = self.edge_update_func(torch.cat([centre, each], dim=-1))
        out: Tensor = self.update_edge_reduce_func(updated.transpose(3, 4)).squeeze(-1)
        return out
