"""The same answers in fewer steps: what a network that only runs can leave out or do at once.

For torch and for exported graphs alike; weights are rewritten, so that nothing can be trained or
saved afterwards. Equal up to rounding, whatever the weights.

Shapes: B batch, F frames, C channels of one, h×w the map, N = 64·F the tokens of a window.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from fissura.models.beltcrackdet.fusion import RCU
from fissura.models.beltcrackdet.spatial import MemoryReader, NonLocal, Reduce
from fissura.models.beltcrackdet.swin import (
    HEADS,
    OTHER_REGION,
    SIDE,
    FrameSwin,
    Windows,
)
from fissura.models.beltcrackdet.temporal import LinearBN, NeighbourGraph
from fissura.models.yolox import ConvBN

STRIDE = 8

NORMED: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    ConvBN: (("conv", "bn"),),
    RCU: (("conv1", "bn1"), ("conv2", "bn2")),
    Reduce: (("con1x1", "bn"),),
}
"""Which convolution stands right before which batch norm."""


class EdgeGraph(nn.Module):
    """`NeighbourGraph` in which every edge is computed once, for both of its ends.

    An edge is the product of two neighbours, the same from either side: of h×w positions there are
    h+1 rows and w+1 columns of edges instead of four maps. What is linear in a position and its
    edge together is the sum of two parts, and the position's is computed once instead of four
    times.
    """

    def __init__(self, original: NeighbourGraph) -> None:
        super().__init__()
        self.levelled = original.edges == "levelled"
        self.wraps = original.edges == "wrap"
        conv: Any = original.final_aggregation_layer[0]
        norm: Any = original.final_aggregation_layer[1]
        width = conv.out_channels
        vertex, edge = (
            _folded(part) for part in (original.vertex_update_func, original.edge_update_func)
        )
        last = fuse_conv_bn_eval(conv, norm)
        of_both = [vertex.weight[:, :width], edge.weight[:, :width], last.weight[:, :width, 0, 0]]
        self.of_position = _pointwise(
            torch.cat(of_both), torch.cat([vertex.bias, edge.bias, _bias(last)])
        )
        self.of_sum = _pointwise(vertex.weight[:, width:])
        self.of_edge = _pointwise(edge.weight[:, width:])
        self.of_update = _pointwise(last.weight[:, width:, 0, 0])
        self.sum_edges = _four(original.edge_aggregation_func)
        self.sum_answers = _four(original.update_edge_reduce_func)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×h×w, the same."""
        if self.levelled:
            x = functional.group_norm(x, 1)
        rows, columns = (self._surrounded(x, axis) for axis in (2, 3))
        upright, level = rows[:, :, :-1] * rows[:, :, 1:], columns[..., :-1] * columns[..., 1:]
        half = x.shape[1] // 2
        vertex, edge, last = self.of_position(x).split([half, half, 2 * half], dim=1)
        aggregated = _weighted(self.sum_edges, _sides(upright, level))
        vertex = functional.relu(vertex + self.of_sum(aggregated))
        answers = [
            functional.relu(edge + each)
            for each in _sides(self.of_edge(upright), self.of_edge(level))
        ]
        update = vertex * _weighted(self.sum_answers, answers)
        return functional.relu(last + self.of_update(update))

    def _surrounded(self, x: Tensor, axis: int) -> Tensor:
        """One more at both ends of an axis; OpenVINO knows no padding that wraps."""
        first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
        before, after = (last, first) if self.wraps else (first, last)
        return torch.cat([before, x, after], dim=axis)


def _sides(upright: Tensor, level: Tensor) -> list[Tensor]:
    """Rows B×C×h+1×w and columns B×C×h×w+1 → above, below, left, right, each B×C×h×w."""
    return [upright[:, :, :-1], upright[:, :, 1:], level[..., :-1], level[..., 1:]]


def _weighted(shares: Tensor, maps: list[Tensor]) -> Tensor:
    above, below, left, right, bias = shares.to(maps[0].dtype).unbind()
    a, b, c, d = maps
    return functional.relu(above * a + below * b + left * c + right * d + bias)


def _folded(part: LinearBN) -> Any:
    linear, norm, _ = part
    assert isinstance(linear, nn.Linear)
    assert isinstance(norm, nn.BatchNorm1d)
    return fuse_linear_bn_eval(linear, norm)


def _four(part: LinearBN) -> nn.Parameter:
    """The weights of four and the bias, of a layer with one output."""
    linear = _folded(part)
    return nn.Parameter(torch.cat([linear.weight[0], linear.bias]).detach())


def _bias(layer: Any) -> Tensor:
    return torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias


def _pointwise(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    conv.weight = nn.Parameter(weight.detach()[:, :, None, None].contiguous())
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach())
    return conv


class Cut(NamedTuple):
    """How one layer cuts a map into windows, those with one kind of mask behind each other.

    `places` M·64: which of all tokens, as they lie before it; `real` M·64×1×1: 0 where padding
    stands, None without any; `counts`: windows of each kind; `biases` 1×heads×N×N of each kind.
    """

    places: Tensor
    real: Tensor | None
    counts: tuple[int, ...]
    biases: tuple[Tensor, ...]


class Plan(NamedTuple):
    """The layers' cuts of a map, and `back`, where its h·w positions lie after the last one."""

    cuts: tuple[Cut, ...]
    back: Tensor


class WindowSwin(nn.Module):
    """`FrameSwin` that moves its tokens three times in all, from windows to windows.

    Positions, masks and biases of a size are worked out once; windows with the same mask share it.
    """

    def __init__(self, original: FrameSwin) -> None:
        super().__init__()
        self.frames, self.tr = original.frames, original.tr
        self._plans: dict[tuple[int, int, torch.device], Plan] = {}

    def forward(self, x: Tensor) -> Tensor:
        """B×F·C×h×w, the same."""
        height, width = x.shape[-2:]
        plan = self.plan(height, width, x.device)
        tokens = x.flatten(2).transpose(1, 2)  # B×h·w×F·C
        for layer, cut in zip(self.tr, plan.cuts, strict=True):
            tokens = self._layer(layer, tokens.index_select(1, cut.places), cut)
        tokens = tokens.index_select(1, plan.back)
        return tokens.transpose(1, 2).reshape(x.shape)

    def _layer(self, layer: Any, tokens: Tensor, cut: Cut) -> Tensor:
        shape = tokens.shape
        x = tokens.view(*shape[:2], self.frames, -1)  # B×M·64×F×C
        seen = layer.norm1(x)
        x = x + self._attended(layer.attn, seen if cut.real is None else seen * cut.real, cut)
        out: Tensor = x + layer.mlp(layer.norm2(x))
        return out.view(shape)

    def _attended(self, attn: Any, x: Tensor, cut: Cut) -> Tensor:
        windows = x.reshape(x.shape[0], -1, SIDE * SIDE * self.frames, x.shape[-1])  # B×M×N×C
        parts = attn.qkv(windows).view(*windows.shape[:3], 3, HEADS, -1).split(cut.counts, dim=1)
        read = []
        for some, bias in zip(parts, cut.biases, strict=True):
            query, key, value = some.flatten(0, 1).permute(2, 0, 3, 1, 4)
            found = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=bias.to(query.dtype)
            )
            read.append(found.transpose(1, 2).reshape(x.shape[0], -1, *windows.shape[2:]))
        out: Tensor = attn.proj(torch.cat(read, dim=1) if len(read) > 1 else read[0])
        return out.reshape(x.shape)

    def plan(self, height: int, width: int, device: torch.device) -> Plan:
        """How maps of this size are cut."""
        key = height, width, device
        if key not in self._plans:
            with torch.inference_mode(False), torch.no_grad():
                self._plans[key] = self._new_plan(height, width, device)
        return self._plans[key]

    def _new_plan(self, height: int, width: int, device: torch.device) -> Plan:
        lie = torch.arange(height * width)  # where every position of the map lies
        cuts = []
        for layer in self.tr:
            places, kinds, biases = self._cut(layer, height, width)
            outside = places < 0
            real = (~outside).float()[:, None, None].to(device) if bool(outside.any()) else None
            source = lie[places.clamp(min=0)].to(device)
            cuts.append(Cut(source, real, kinds, tuple(bias.to(device) for bias in biases)))
            inside = torch.nonzero(~outside).flatten()
            lie = torch.empty_like(lie)
            lie[places[inside]] = inside
        return Plan(tuple(cuts), lie.to(device))

    def _cut(
        self, layer: Any, height: int, width: int
    ) -> tuple[Tensor, tuple[int, ...], list[Tensor]]:
        """Positions y·w+x in windows, −1 for padding; how many of each kind, and their biases."""
        columns, rows = (Windows.along(side, layer.shift) for side in (width, height))
        xs, ys = (
            (torch.arange(axis.count * SIDE) + axis.shift) % (axis.count * SIDE)
            for axis in (columns, rows)
        )
        inside = (xs[:, None] < width) & (ys < height)
        grid = torch.where(inside, ys * width + xs[:, None], -1)
        grid = grid.view(columns.count, SIDE, rows.count, SIDE).transpose(1, 2)
        # Only the last windows of a shifted axis hold what the shift alone brought together.
        kinds = torch.zeros(columns.count, rows.count)
        kinds[-1] += 1 if columns.shift else 0
        kinds[:, -1] += 2 if rows.shift else 0
        order = kinds.flatten().argsort(stable=True)
        found = sorted(set(kinds.flatten().tolist()))
        counts = tuple(int((kinds == kind).sum()) for kind in found)
        bias = self._bias(layer)
        biases = []
        for kind in found:
            across, along = (axis.regions(torch.device("cpu")) for axis in (columns, rows))
            number = 3 * across[-1 if kind % 2 else 0][:, None] + along[-1 if kind >= 2 else 0]
            region = number.flatten().repeat_interleave(self.frames)
            apart = torch.zeros_like(bias).masked_fill(region[:, None] != region, OTHER_REGION)
            biases.append(bias + apart)
        return grid.flatten(2).flatten(0, 1)[order].flatten(), counts, biases

    def _bias(self, layer: Any) -> Tensor:
        """1×heads×N×N, tokens in the order of places and then frames."""
        attn = layer.attn
        bias = attn.relative_position_bias_table.detach()[attn.relative_position_index].cpu()
        tokens = torch.arange(len(bias)).view(self.frames, -1).T.flatten()
        ordered: Tensor = bias[tokens][:, tokens].permute(2, 0, 1).unsqueeze(0).contiguous()
        return ordered


class PlainReader(nn.Module):
    """`MemoryReader` whose values and keys have one length, as fused attention wants them."""

    def __init__(self, original: MemoryReader) -> None:
        super().__init__()
        self.memory_reduce = original.memory_reduce

    def forward(self, query: tuple[Tensor, Tensor], memory: tuple[Tensor, Tensor]) -> Tensor:
        """Keys B×C/2×h×w and values B×C×h×w of both → B×C×h×w."""
        shape, missing = query[1].shape, query[1].shape[1] - query[0].shape[1]
        q, k, v = (
            functional.pad(x.flatten(2).transpose(1, 2), (0, more)).unsqueeze(1)
            for x, more in ((query[0], missing), (memory[0], missing), (memory[1], 0))
        )
        read = functional.scaled_dot_product_attention(q, k, v, scale=query[0].shape[1] ** -0.5)
        read = read.squeeze(1).transpose(1, 2).reshape(shape)
        out: Tensor = self.memory_reduce(torch.cat([read, query[1]], dim=1))
        return out


def _non_local(original: NonLocal) -> nn.Module:
    """Nothing, where it adds nothing: a graph cannot ask for that at every run."""
    return original if original.gamma.detach().any() else nn.Identity()


SIMPLER: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    FrameSwin: WindowSwin,
    NeighbourGraph: EdgeGraph,
    NonLocal: _non_local,
}


def simplify(
    network: nn.Module, size_hw: tuple[int, int] | None = None, fused: bool = False
) -> None:
    """Rewrites the network itself; of a detector for pictures of `size_hw`.

    `fused` where attention runs as one operation, as in torch.
    """
    network.eval()
    kinds = SIMPLER | ({MemoryReader: PlainReader} if fused else {})
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) in kinds:
                setattr(module, name, kinds[type(child)](child))
    for module in list(network.modules()):
        _fold(module)
        if isinstance(module, WindowSwin) and size_hw is not None:
            module.plan(size_hw[0] // STRIDE, size_hw[1] // STRIDE, torch.device("cpu"))


def _fold(module: nn.Module) -> None:
    """Batch norms into the convolutions before them."""
    names = list(module._modules)
    pairs = pairwise(names) if isinstance(module, nn.Sequential) else ()
    for first, second in [*NORMED.get(type(module), ()), *pairs]:
        conv: Any = module.get_submodule(first)
        norm: Any = module.get_submodule(second)
        plain = type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d
        if plain and norm.track_running_stats:
            setattr(module, first, fuse_conv_bn_eval(conv, norm))
            setattr(module, second, nn.Identity())
