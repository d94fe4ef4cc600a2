"""The same functions in other operations, where an engine is slow at the network's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fissura.models import deepcrack_zou as zou


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
    nn.PReLU: SplitPReLU,
    zou.Pool: RankingPool,
    zou.Unpool: RankingUnpool,
    zou.Fusion: _fusion,
}


def rewrite(network: nn.Module) -> None:
    """Puts the replacements into the network itself, wherever their originals stand."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) in REWRITES:
                setattr(module, name, REWRITES[type(child)](child))
