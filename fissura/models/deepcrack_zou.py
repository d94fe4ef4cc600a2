"""DeepCrack after SegNet: encoder and decoder fused at five scales, as released in PyTorch.

Zou, Zhang, Li, Qi, Wang, Wang: "DeepCrack: Learning Hierarchical Convolutional Features for Crack
Detection", IEEE Transactions on Image Processing 28(3), 2019. The release has no batch norm, unlike
the paper. Parameter names are those of the release, so that its checkpoints load by name.

Shapes: N batch, H×W network input, h×w the same rounded up to multiples of 16; encoder and decoder
stage k runs at h/2ᵏ⁻¹ × w/2ᵏ⁻¹.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fissura.models.layers import ConvReLU, he_start, mirror_to_stride

STRIDE = 16
LEAST_SIDE = 32
ENCODER = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
DECODER = ((1, 1), (2, 1), (4, 4, 2), (8, 8, 4), (8, 8, 8))
"""Output channels of each convolution, stages 1 to 5, in multiples of the base width."""
MOST_WIDTH = 128
"""Twice the published width, at which a network takes four times its memory."""

COARSEST_FIRST = (5, 4, 3, 2, 1)
SIDES = ("side1", "side2", "side3", "side4", "side5")

Start = Literal["he", "released"]


class Stage(nn.Module):
    """Convolutions of one scale; `channels` are the input's and every output's."""

    def __init__(self, *channels: int) -> None:
        super().__init__()
        pairs = pairwise(channels)
        self.nn = nn.Sequential(*(ConvReLU(c_in, c_out) for c_in, c_out in pairs))

    def forward(self, x: Tensor) -> Tensor:
        """N×c×h×w → N×c'×h×w."""
        out: Tensor = self.nn(x)
        return out


class Pool(nn.Module):
    """Halves the map by the largest value of 2×2 windows and remembers where it stood.

    Of equal values the first in reading order counts, which matters: behind a ReLU a third of the
    windows hold nothing but zeros, and the decoder writes other values to the remembered places.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """N×C×h×w → values and flat places y·w + x, both N×C×⌊h/2⌋×⌊w/2⌋."""
        values, places = functional.max_pool2d(x, 2, 2, return_indices=True)
        return values, places


class Unpool(nn.Module):
    """Puts values back to the places that `Pool` remembered, zeros elsewhere."""

    def forward(self, values: Tensor, places: Tensor, like: Tensor) -> Tensor:
        """N×C×⌊h/2⌋×⌊w/2⌋ → N×C×h×w, the size of `like`, which the places were found in."""
        return functional.max_unpool2d(values, places, [2, 2], [2, 2], output_size=like.shape[-2:])


def unpools(network: nn.Module) -> bool:
    """Whether it puts values where maxima stood: rounding may decide which of two that is."""
    return any(isinstance(module, Unpool) for module in network.modules())


class Fusion(nn.Module):
    """Encoder and decoder features of one scale → one map of logits at full size."""

    def __init__(self, channels: int, width: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.nn = ConvReLU(channels, width)
        self.conv = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, encoded: Tensor, decoded: Tensor) -> Tensor:
        """Two maps N×c×h/s×w/s → N×1×h×w."""
        joint = torch.cat([encoded, decoded], dim=1)
        if self.scale > 1:
            joint = functional.interpolate(
                joint, scale_factor=self.scale, mode="bilinear", align_corners=False
            )
        logits: Tensor = self.conv(self.nn(joint))
        return logits


class DeepCrackZou(nn.Module):
    """Logits of crack at full size: the fused map and the five scales' own, `side1` the finest.

    Input: N×3×H×W float32, **blue, green, red**, in 0…1. Sides that are no multiple of 16, or
    below 32, are continued by mirroring at the right and the bottom and cut off again; the release
    fails there. `width` is the channels of the finest scale, `init` He's start or the release's.
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 0.0)
    STD_RGB: ClassVar[tuple[float, float, float]] = (255.0, 255.0, 255.0)
    CHANNELS: ClassVar[str] = "bgr"
    INPUT_SCALE: ClassVar[float] = 1.0
    THRESHOLD: ClassVar[float] = 0.5
    TILE: ClassVar[int | None] = 512
    OVERLAP: ClassVar[int | None] = 128

    def __init__(self, width: int = 64, init: Start = "he") -> None:
        super().__init__()
        if not 1 <= width <= MOST_WIDTH or init not in ("he", "released"):
            raise ValueError(
                f"width must be 1 to {MOST_WIDTH} and init he or released, got {width}, {init!r}"
            )
        encoder = [[width * factor for factor in factors] for factors in ENCODER]
        decoder = [[width * factor for factor in factors] for factors in DECODER]
        entering = (3, *(channels[-1] for channels in encoder[:-1]))
        for k, (c_in, channels) in enumerate(zip(entering, encoder, strict=True), 1):
            self.add_module(f"down{k}", Stage(c_in, *channels))
        for k, channels in enumerate(decoder, 1):
            self.add_module(f"up{k}", Stage(encoder[k - 1][-1], *channels))
        for k in COARSEST_FIRST:
            joint = encoder[k - 1][-1] + decoder[k - 1][-1]
            self.add_module(f"fuse{k}", Fusion(joint, width, 2 ** (k - 1)))
        self.final = nn.Conv2d(5, 1, 3, padding=1)
        self.pool, self.unpool = Pool(), Unpool()
        if init == "he":  # the release leaves torch's own start
            he_start(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """N×3×H×W → {"logits", "side1" … "side5"}, each N×1×H×W."""
        height, width = x.shape[-2:]
        x = mirror_to_stride(x, STRIDE, LEAST_SIDE)
        encoded, decoded = self.features(x)
        sides = [
            self.get_submodule(f"fuse{k}")(encoded[k - 1], decoded[k - 1]) for k in COARSEST_FIRST
        ]
        logits = self.final(torch.cat(sides, dim=1))
        named = dict(zip(("logits", *SIDES), (logits, *sides[::-1]), strict=True))
        return {name: values[..., :height, :width] for name, values in named.items()}

    def features(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """N×3×h×w → results of the encoder's stages before pooling and of the decoder's, 1 to 5."""
        encoded: list[Tensor] = []
        places: list[Tensor] = []
        for k in range(1, 6):
            encoded.append(self.get_submodule(f"down{k}")(x))
            x, place = self.pool(encoded[-1])
            places.append(place)
        decoded: list[Tensor] = []
        for k in COARSEST_FIRST:
            x = self.unpool(x, places[k - 1], encoded[k - 1])
            x = self.get_submodule(f"up{k}")(x)
            decoded.insert(0, x)
        return encoded, decoded
