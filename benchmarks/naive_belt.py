"""BeltCrackDet written plainly from its published description, as functions over a state dict.

Nothing is cached, fused or skipped: five passes of the backbone for every window, the whole matrix
of every attention, the wavelet as convolutions, shifts of the graph layer as copies. Eager
float32, channels first.

Shapes: B batch, T frames, C channels, H×W a frame, h×w = H/8×W/8.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]

SIDE, SHIFT, HEADS = 8, 4, 4
LEVELS = 3
HALF = 0.49999997


def beltcrackdet(state: State, x: Tensor) -> dict[str, Tensor]:
    """B×3×T×H×W, normalised, oldest first → raw boxes B×(5+K)×h×w of the last frame."""
    frames = [_backbone(state, frame) for frame in x.unbind(2)]
    spatial = _spatial(state, frames)
    temporal = _graph(state, _tar(state, frames))
    waves = torch.cat([*(_wavelet(state, frame) for frame in frames), temporal], 1)
    joined = _chain(state, "neck.conv_fin_mix", torch.cat([spatial, temporal], 1))
    filtered = _chain(state, "neck.conv_fre_new", waves)
    exchanged = _chain(state, "neck.conv_t", _swin(state, waves, len(frames) + 1))
    first = _rcu(state, "neck.resblock0", torch.cat([joined, filtered], 1))
    second = _rcu(state, "neck.resblock1", torch.cat([filtered, exchanged], 1))
    return {"boxes_raw": _head(state, _rcu(state, "neck.resblock2", torch.cat([first, second], 1)))}


def _conv(state: State, name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    kernel = state[f"{name}.weight"]
    padding = (kernel.shape[-1] - 1) // 2
    return F.conv2d(x, kernel, state.get(f"{name}.bias"), stride, padding, groups=groups)


def _norm(state: State, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts, eps=eps)


def _cbs(
    state: State, name: str, x: Tensor, stride: int = 1, act: Callable[[Tensor], Tensor] = F.silu
) -> Tensor:
    return act(_norm(state, f"{name}.bn", _conv(state, f"{name}.conv", x, stride), 1e-3))


def _chain(state: State, name: str, x: Tensor) -> Tensor:
    index = 0
    while f"{name}.{index}.conv.weight" in state:
        x = _cbs(state, f"{name}.{index}", x)
        index += 1
    return x


def _backbone(state: State, x: Tensor) -> Tensor:
    """B×3×H×W → B×C×h×w."""
    even, odd = x[:, :, ::2], x[:, :, 1::2]
    parts = [even[..., ::2], odd[..., ::2], even[..., 1::2], odd[..., 1::2]]
    body = "backbone.backbone"
    x = _cbs(state, f"{body}.stem.conv", torch.cat(parts, 1))
    x = _csp(state, f"{body}.dark2.1", _cbs(state, f"{body}.dark2.0", x, 2), add=True)
    third = _csp(state, f"{body}.dark3.1", _cbs(state, f"{body}.dark3.0", x, 2), add=True)
    fourth = _csp(state, f"{body}.dark4.1", _cbs(state, f"{body}.dark4.0", third, 2), add=True)
    x = _cbs(state, f"{body}.dark5.1.conv1", _cbs(state, f"{body}.dark5.0", fourth, 2))
    x = torch.cat([x, *(F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13))], 1)
    x = _csp(state, f"{body}.dark5.2", _cbs(state, f"{body}.dark5.1.conv2", x))
    x = F.interpolate(_cbs(state, "backbone.lateral_conv0", x), scale_factor=2)
    x = _csp(state, "backbone.C3_p4", torch.cat([x, fourth], 1))
    x = F.interpolate(_cbs(state, "backbone.reduce_conv1", x), scale_factor=2)
    return _csp(state, "backbone.C3_p3", torch.cat([x, third], 1))


def _csp(state: State, name: str, x: Tensor, add: bool = False) -> Tensor:
    y, index = _cbs(state, f"{name}.conv1", x), 0
    while f"{name}.m.{index}.conv1.conv.weight" in state:
        part = f"{name}.m.{index}"
        z = _cbs(state, f"{part}.conv2", _cbs(state, f"{part}.conv1", y))
        y = y + z if add else z
        index += 1
    return _cbs(state, f"{name}.conv3", torch.cat([y, _cbs(state, f"{name}.conv2", x)], 1))


def _read(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Every position reads all others: the whole matrix of h·w × h·w."""
    weights = (query.flatten(2).transpose(1, 2) @ key.flatten(2) * scale).softmax(-1)
    return (value.flatten(2) @ weights.transpose(1, 2)).view_as(value)


def _spatial(state: State, frames: list[Tensor]) -> Tensor:
    *earlier, key = frames
    gate = _cbs(state, "neck.conv_ref.0", torch.cat(earlier, 1))
    gate = _cbs(state, "neck.conv_ref.1", gate, act=torch.sigmoid)
    gated = _cbs(state, "neck.conv_cur", gate * key)
    local = _chain(state, "neck.conv_cr_mix", torch.cat([gated, key], 1))
    parts = (_conv(state, f"neck.nolocal.{part}_conv", local) for part in ("query", "key", "value"))
    memory = state["neck.nolocal.gamma"] * _read(*parts, scale=1.0) + local
    query, own = (_conv(state, f"neck.keyvalue_Q.{part}_conv", key) for part in ("key", "value"))
    keys, values = (
        _conv(state, f"neck.keyvalue_M.{part}_conv", memory) for part in ("key", "value")
    )
    read = torch.cat([_read(query, keys, values, query.shape[1] ** -0.5), own], 1)
    reduced = _conv(state, "neck.memory.memory_reduce.con1x1", read)
    return F.relu(_norm(state, "neck.memory.memory_reduce.bn", reduced))


def _tar(state: State, frames: list[Tensor]) -> Tensor:
    *earlier, key = frames
    query = _conv(state, "neck.tar.temporal_attn1", key)
    answers = [_conv(state, "neck.tar.temporal_attn2", frame) for frame in frames]
    found = [(answer * query).sum(1, keepdim=True) for answer in answers]
    weighted = [
        (change - found[-1]).abs().sigmoid() * frame
        for change, frame in zip(found[:-1], earlier, strict=True)
    ]
    fused = _conv(state, "neck.tar.feat_fusion", torch.cat([key, *weighted], 1))
    fused = F.leaky_relu(fused, 0.1)
    first = _residuals(state, "neck.tar.res_block1", fused)
    second = _residuals(state, "neck.tar.res_block2", _down(state, "neck.tar.downsample1", first))
    third = _residuals(state, "neck.tar.res_block3", _down(state, "neck.tar.downsample2", second))
    x = torch.cat([_up(state, "neck.tar.upsample1", third), second], 1)
    x = _residuals(state, "neck.tar.res_block4", x)
    x = torch.cat([_up(state, "neck.tar.upsample2", x), first], 1)
    return (
        _conv(state, "neck.tar.fusion_tail.0", _residuals(state, "neck.tar.res_block5", x)) + fused
    )


def _residuals(state: State, name: str, x: Tensor) -> Tensor:
    for index in (0, 1):
        y = F.relu(_conv(state, f"{name}.{index}.body.0", x))
        x = x + _conv(state, f"{name}.{index}.body.2", y)
    return x


def _down(state: State, name: str, x: Tensor) -> Tensor:
    return F.conv2d(x, state[f"{name}.conv.0.weight"], state[f"{name}.conv.0.bias"], 2, 1)


def _up(state: State, name: str, x: Tensor) -> Tensor:
    return F.conv_transpose2d(
        x, state[f"{name}.deconv.0.weight"], state[f"{name}.deconv.0.bias"], 2
    )


def _graph(state: State, x: Tensor) -> Tensor:
    def linear(part: str, x: Tensor) -> Tensor:
        name = f"neck.gal.{part}"
        y = F.linear(x, state[f"{name}.0.weight"], state[f"{name}.0.bias"])
        return F.relu(_norm(state, f"{name}.1", y.flatten(0, -2))).view(y.shape)

    vertices = x.permute(0, 2, 3, 1)  # B×h×w×C
    shifts = [vertices.roll(step, axis) for axis in (1, 2) for step in (1, -1)]
    edges = [vertices * beside for beside in shifts]
    aggregated = linear("edge_aggregation_func", torch.stack(edges, -1)).squeeze(-1)
    vertex = linear("vertex_update_func", torch.cat([vertices, aggregated], -1))
    updates = torch.stack([torch.cat([vertices, edge], -1) for edge in edges], 3)
    updates = linear("edge_update_func", updates).transpose(3, 4)
    edge = linear("update_edge_reduce_func", updates).squeeze(-1)
    joined = torch.cat([x, (vertex * edge).permute(0, 3, 1, 2)], 1)
    last = "neck.gal.final_aggregation_layer"
    return F.relu(_norm(state, f"{last}.1", _conv(state, f"{last}.0", joined)))


def _wavelet(state: State, x: Tensor) -> Tensor:
    channels = x.shape[1]
    signs = [[[1, 1], [1, 1]], [[1, 1], [-1, -1]], [[1, -1], [1, -1]], [[1, -1], [-1, 1]]]
    haar = (HALF * torch.tensor(signs, dtype=x.dtype)).unsqueeze(1).repeat(channels, 1, 1, 1)
    low, sizes, bands = x, [], []
    for level in range(LEVELS):
        sizes.append(low.shape[-2:])
        low = F.pad(low, (0, low.shape[-1] % 2, 0, low.shape[-2] % 2))
        found = F.conv2d(low, haar, stride=2, groups=channels)
        low = found[:, ::4]
        convolved = _conv(state, f"neck.conv_dw.wavelet_convs.{level}", found, groups=4 * channels)
        bands.append(convolved * state[f"neck.conv_dw.wavelet_scale.{level}.weight"])
    deeper: Tensor | float = 0.0
    for (height, width), found in zip(sizes[::-1], bands[::-1], strict=True):
        found[:, ::4] += deeper
        whole = F.conv_transpose2d(found, haar, stride=2, groups=channels)
        deeper = whole[..., :height, :width]
    base = _conv(state, "neck.conv_dw.base_conv", x, groups=channels)
    return base * state["neck.conv_dw.base_scale.weight"] + deeper


def _swin(state: State, x: Tensor, frames: int) -> Tensor:
    batch, _, height, width = x.shape
    tokens = x.view(batch, frames, -1, height, width).permute(0, 1, 4, 3, 2)  # B×F×w×h×C
    for layer, shift in enumerate((0, SHIFT)):
        name = f"neck.swin.tr.{layer}"
        tokens = tokens + _windows(state, name, _layer_norm(state, f"{name}.norm1", tokens), shift)
        y = _linear(state, f"{name}.mlp.fc1", _layer_norm(state, f"{name}.norm2", tokens))
        tokens = tokens + _linear(state, f"{name}.mlp.fc2", F.gelu(y))
    return tokens.permute(0, 1, 4, 3, 2).flatten(1, 2)


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def _layer_norm(state: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def _windows(state: State, name: str, x: Tensor, shift: int) -> Tensor:
    """Attention in windows of all frames and 8×8 places; an axis of one window is not shifted."""
    batch, frames, wide, high, channels = x.shape
    x = F.pad(x, (0, 0, 0, -high % SIDE, 0, -wide % SIDE))
    counts = [size // SIDE for size in x.shape[2:4]]
    moved = tuple(shift if count > 1 else 0 for count in counts)
    x = x.roll((-moved[0], -moved[1]), (2, 3))
    padded = x.shape
    x = x.view(batch, frames, counts[0], SIDE, counts[1], SIDE, channels)
    x = x.permute(0, 2, 4, 1, 3, 5, 6).reshape(-1, frames * SIDE**2, channels)
    q, k, v = _linear(state, f"{name}.attn.qkv", x).view(*x.shape[:2], 3, HEADS, -1).unbind(2)
    logits = (q * q.shape[-1] ** -0.5).transpose(1, 2) @ k.permute(0, 2, 3, 1)  # M×heads×N×N
    table = state[f"{name}.attn.relative_position_bias_table"]
    logits = logits + table[_places(frames)].permute(2, 0, 1)
    if any(moved):
        logits = logits + _mask(frames, counts, moved).repeat(batch, 1, 1).unsqueeze(1)
    x = (logits.softmax(-1) @ v.transpose(1, 2)).transpose(1, 2).flatten(2)
    x = _linear(state, f"{name}.attn.proj", x)
    x = x.view(batch, *counts, frames, SIDE, SIDE, channels).permute(0, 3, 1, 4, 2, 5, 6)
    return x.reshape(padded).roll(moved, (2, 3))[:, :, :wide, :high]


def _places(frames: int) -> Tensor:
    """N×N rows of the table of biases."""
    axes = [torch.arange(size) for size in (frames, SIDE, SIDE)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    dt, dx, dy = places[:, :, None] - places[:, None, :]
    span = 2 * SIDE - 1
    return ((dt + frames - 1) * span + dx + SIDE - 1) * span + dy + SIDE - 1


def _mask(frames: int, counts: list[int], moved: tuple[int, ...]) -> Tensor:
    """M×N×N: −100 between tokens of different regions, which the shift alone brought together."""
    regions = torch.zeros(counts[0] * SIDE, counts[1] * SIDE)
    for axis, (count, shift) in enumerate(zip(counts, moved, strict=True)):
        places = torch.arange(count * SIDE)
        number = (places >= (count - 1) * SIDE).float() + (places >= count * SIDE - shift).float()
        number = number * bool(shift) * 3**axis
        regions += number[:, None] if axis == 0 else number
    parts = regions.view(counts[0], SIDE, counts[1], SIDE).permute(0, 2, 1, 3).reshape(-1, SIDE**2)
    parts = parts.repeat(1, frames)
    return -100.0 * (parts[:, None] != parts[:, :, None])


def _rcu(state: State, name: str, x: Tensor) -> Tensor:
    y = F.relu(_norm(state, f"{name}.bn1", _conv(state, f"{name}.conv1", x)))
    y = _norm(state, f"{name}.bn2", _conv(state, f"{name}.conv2", y))
    pooled = y.mean((2, 3), keepdim=True), y.amax((2, 3), keepdim=True)
    mean, largest = (
        _conv(state, f"{name}.ca.fc2", F.relu(_conv(state, f"{name}.ca.fc1", values)))
        for values in pooled
    )
    y = y * (mean + largest).sigmoid()
    pooled = y.mean(1, keepdim=True), y.amax(1, keepdim=True)
    y = y * _conv(state, f"{name}.sa.conv1", torch.cat(pooled, 1)).sigmoid()
    short = _norm(state, f"{name}.shortcut.1", _conv(state, f"{name}.shortcut.0", x))
    return F.relu(y + short)


def _head(state: State, x: Tensor) -> Tensor:
    x = _cbs(state, "head.stems.0", x)
    boxes, classes = (_chain(state, f"head.{kind}_convs.0", x) for kind in ("reg", "cls"))
    parts = [("reg", boxes), ("obj", boxes), ("cls", classes)]
    return torch.cat([_conv(state, f"head.{kind}_preds.0", y) for kind, y in parts], 1)
