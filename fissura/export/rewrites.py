"""The same functions in other operations, where an engine is slow at the network's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fissura.models import deepcrack_zou as zou
from fissura.models.dbpn import DeconvPReLU
from fissura.weights.deploy import simplify


class SplitPReLU(nn.Module):
    """PReLU as relu(x) − slope · relu(−x), bit for bit the same.

    ONNX Runtime's own PReLU runs on one thread and breaks its blocked layout: a third of CGNet's
    time. OpenVINO recognises the form and puts its PReLU back.
    """

    slope: Tensor

    def __init__(self, original: nn.PReLU) -> None:
        super().__init__()
        self.register_buffer("slope", original.weight.detach().view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same."""
        return torch.relu(x) - torch.relu(-x) * self.slope


def _prelu(original: nn.PReLU) -> nn.Module:
    """One slope for all channels makes a leaky ReLU, which engines join to the convolution."""
    single = original.weight.numel() == 1
    return nn.LeakyReLU(original.weight.item()) if single else SplitPReLU(original)


class DeconvAsConv(nn.Module):
    """`DeconvPReLU` as a convolution whose channels become pixels, with no more multiplications.

    Stride s and a kernel of a·s: pixel s·j + q, before the padding is cut off, takes a inputs, j −
    a + 1 to j, the one j − i with the tap q + s·i. So all pixels of block j are one convolution of
    size a, with s² channels for each output channel. ONNX Runtime's transposed convolution is half
    as fast, holds all products at once, and leaves the activation to a pass of its own.
    """

    def __init__(self, original: DeconvPReLU) -> None:
        super().__init__()
        deconv = original.deconv
        self.stride, self.padding = deconv.stride[0], int(deconv.padding[0])
        c_in, c_out, side, _ = deconv.weight.shape
        taps = side // self.stride
        self.conv = nn.Conv2d(c_in, c_out * self.stride**2, taps, padding=taps - 1)
        by_tap = (c_in, c_out, taps, self.stride, taps, self.stride)
        weight = deconv.weight.detach().reshape(by_tap)
        # c_in × c_out × i × q × i × q → c_out × q × q × c_in × i × i, the last input first
        weight = weight.flip(2, 4).permute(1, 3, 5, 0, 2, 4)
        assert deconv.bias is not None
        self.conv.weight = nn.Parameter(weight.flatten(0, 2).contiguous())
        self.conv.bias = nn.Parameter(deconv.bias.detach().repeat_interleave(self.stride**2))
        self.act = _prelu(original.act)

    def forward(self, x: Tensor) -> Tensor:
        """N×width×h×w → N×width×s·h×s·w."""
        blocks = functional.pixel_shuffle(self.act(self.conv(x)), self.stride)
        cut = slice(self.padding, -self.padding)
        return blocks[:, :, cut, cut]


def _deconv(original: DeconvPReLU) -> nn.Module:
    """As it is where the kernel is no multiple of the stride: zeros would be multiplied."""
    fits = original.deconv.kernel_size[0] % original.deconv.stride[0] == 0
    return DeconvAsConv(original) if fits else original


class RankingPool(nn.Module):
    """2×2 pooling that remembers a place by its rank in the window instead of its index.

    Ranks fall in reading order (4 3 over 2 1), and the largest rank among the places that hold the
    window's maximum is that of the first one. Only pooling and comparing is needed, which every
    engine does fast and in the same way; indices are several times slower in OpenVINO.
    """

    def __init__(self, _original: zou.Pool) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """N×C×h×w → values and ranks, both N×C×⌊h/2⌋×⌊w/2⌋."""
        values = functional.max_pool2d(x, 2, 2)
        largest = _to_size(_doubled(values), x)
        ranked = torch.where(x == largest, _ranks(x), 0.0)
        return values, functional.max_pool2d(ranked, 2, 2)


class RankingUnpool(nn.Module):
    """Puts values back to the places whose ranks `RankingPool` remembered, zeros elsewhere."""

    def __init__(self, _original: zou.Unpool) -> None:
        super().__init__()

    def forward(self, values: Tensor, ranks: Tensor, like: Tensor) -> Tensor:
        """N×C×⌊h/2⌋×⌊w/2⌋ → N×C×h×w, the size of `like`."""
        ranks, values = _doubled(ranks), _doubled(values)
        return _to_size(torch.where(ranks == _ranks(ranks), values, 0.0), like)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def _to_size(x: Tensor, like: Tensor) -> Tensor:
    """Adds the last row and column, as zeros, that an odd side lost to pooling."""
    missing_h, missing_w = (like.shape[i] - x.shape[i] for i in (-2, -1))
    return functional.pad(x, (0, missing_w, 0, missing_h))


def _ranks(x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device).view(-1, 1) % 2
    columns = torch.arange(width, device=x.device) % 2
    return (4 - 2 * rows - columns).to(x.dtype)


class LowResolutionFusion(nn.Module):
    """`Fusion` that convolves before it up-samples, with 1/scale² of the multiplications.

    With U for up-sampling, S for a shift with zeros from outside and W for one tap's weights, the
    3×3 convolution of up-sampled features is Σ S(W·U(x)) over nine taps. U acts on each channel by
    itself and W on each pixel by itself, so that W·U(x) = U(W·x): the nine W·x are one 1×1
    convolution at low resolution. U and S act on rows and columns apart: each of the three rows of
    taps is up-sampled, shifted and added along the width first, then the three along the height.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, original: zou.Fusion) -> None:
        super().__init__()
        self.scale = original.scale
        weight = original.nn.conv.weight.detach()
        taps = weight.permute(2, 3, 0, 1).reshape(9 * len(weight), -1, 1, 1)
        self.register_buffer("weight", taps.contiguous())
        assert original.nn.conv.bias is not None
        self.register_buffer("bias", original.nn.conv.bias.detach().view(1, -1, 1, 1))
        self.conv = original.conv

    def forward(self, encoded: Tensor, decoded: Tensor) -> Tensor:
        """Two maps N×c×h/s×w/s → N×1×h×w."""
        taps = functional.conv2d(torch.cat([encoded, decoded], dim=1), self.weight)
        height, width = (self.scale * side for side in taps.shape[-2:])
        rows = []
        for row in taps.chunk(3, dim=1):
            wide = _resized(row, (row.shape[-2], width))
            left, middle, right = wide.chunk(3, dim=1)
            rows.append(
                functional.pad(left, (1, 0))[..., :-1]
                + middle
                + functional.pad(right, (0, 1))[..., 1:]
            )
        above, level, below = (_resized(row, (height, width)) for row in rows)
        total = (
            functional.pad(above, (0, 0, 1, 0))[..., :-1, :]
            + level
            + functional.pad(below, (0, 0, 0, 1))[..., 1:, :]
        )
        logits: Tensor = self.conv(torch.relu(total + self.bias))
        return logits


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _fusion(original: zou.Fusion) -> nn.Module:
    return LowResolutionFusion(original) if original.scale > 1 else original


REWRITES: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.PReLU: _prelu,
    DeconvPReLU: _deconv,
    zou.Pool: RankingPool,
    zou.Unpool: RankingUnpool,
    zou.Fusion: _fusion,
}


def rewrite(network: nn.Module, size_hw: tuple[int, int] | None = None) -> None:
    """Puts the replacements into the network itself, wherever their originals stand.

    A detector is rewritten for pictures of `size_hw`.
    """
    simplify(network, size_hw)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) in REWRITES:
                setattr(module, name, REWRITES[type(child)](child))
