"""U-Nets with a ResNet-34 or ResNet-101 encoder: `UNetResNet` of khanhha/crack_segmentation.

Parameter names are those of the repository, which names the encoder's twice; here it has the one
name `conv1` … `conv5`, and the encoder's unused classifier is not there.

Shapes: N batch, H×W network input, h×w the same rounded up to multiples of 64; stage 1 runs at
1/2 of that (1/4 behind its pooling), stages 2 to 5 at 1/4, 1/8, 1/16 and 1/32.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fissura.models.backbones import RESNET_WIDTHS, BasicBlock, Bottleneck, resnet_stages
from fissura.models.layers import DECODERS, ConvReLU, Decoder, UpBlock, he_start, mirror_to_stride

BLOCKS = {
    "center": (16, 8),
    "dec5": (16, 8),
    "dec4": (16, 8),
    "dec3": (8, 2),
    "dec2": (4, 4),
    "dec1": (4, 1),
}
"""Middle and output channels of each decoder block, in halves of the base width."""
SKIPS = ("dec5", "dec4", "dec3", "dec2")
DROPOUT = 0.2
STRIDE = 64
MOST_WIDTH = 128
"""Twice the published width, at which a network takes four times its memory."""

Dropout = Literal["training", "always", "off"]


class UNetResNet(nn.Module):
    """Logits of crack at full size; the subclasses say how deep the encoder is.

    Input: N×3×H×W float32 RGB, standardised as for ImageNet. Sides that are no multiple of 64 are
    continued by mirroring at the right and the bottom and cut off again. Of the last features a
    fifth of the channels is dropped in `training`; the repository's call does so `always`, which
    makes every prediction random, and is an option only to show that.
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = (123.675, 116.28, 103.53)
    STD_RGB: ClassVar[tuple[float, float, float]] = (58.395, 57.12, 57.375)
    CHANNELS: ClassVar[str] = "rgb"
    INPUT_SCALE: ClassVar[float] = 1.0
    THRESHOLD: ClassVar[float] = 0.2
    TILE: ClassVar[int | None] = 512
    OVERLAP: ClassVar[int | None] = 128

    BLOCK: ClassVar[type[BasicBlock | Bottleneck]]
    DEPTHS: ClassVar[tuple[int, ...]]

    def __init__(
        self, decoder: Decoder = "bilinear", width: int = 64, dropout: Dropout = "training"
    ) -> None:
        super().__init__()
        if decoder not in DECODERS or dropout not in ("training", "always", "off"):
            raise ValueError(
                f"decoder must be one of {', '.join(DECODERS)} and dropout training, always "
                f"or off, got {decoder!r} and {dropout!r}"
            )
        if not 2 <= width <= MOST_WIDTH or width % 2:
            raise ValueError(f"width must be an even number 2 to {MOST_WIDTH}, got {width}")
        self.dropout = dropout
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        for k, stage in enumerate(resnet_stages(self.BLOCK, self.DEPTHS, width), 2):
            self.add_module(f"conv{k}", stage)
        half = width // 2
        skips = [width * factor * self.BLOCK.EXPANSION for factor in RESNET_WIDTHS]
        channels = skips[-1]
        for name, (middle, c_out) in BLOCKS.items():
            skip = skips[int(name[-1]) - 2] if name in SKIPS else 0
            block = UpBlock(channels + skip, half * middle, half * c_out, decoder)
            self.add_module(name, block)
            channels = half * c_out
        self.dec0 = ConvReLU(half, half)
        self.final = nn.Conv2d(half, 1, 1)
        he_start(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """N×3×H×W → {"logits": N×1×H×W}."""
        height, width = x.shape[-2:]
        x = self.conv1(mirror_to_stride(x, STRIDE))
        encoded = {}
        for k in range(2, 6):
            x = encoded[f"dec{k}"] = self.get_submodule(f"conv{k}")(x)
        x = self.get_submodule("center")(functional.max_pool2d(x, 2))
        for name in SKIPS:
            x = self.get_submodule(name)(torch.cat([x, encoded[name]], dim=1))
        x = self.dec0(self.get_submodule("dec1")(x))
        drops = self.dropout == "always" or (self.dropout == "training" and self.training)
        x = functional.dropout2d(x, DROPOUT) if drops else x
        return {"logits": self.final(x)[..., :height, :width]}


class UNetResNet34(UNetResNet):
    """With ResNet-34: 34.6 million parameters."""

    BLOCK = BasicBlock
    DEPTHS = (3, 4, 6, 3)


class UNetResNet101(UNetResNet):
    """With ResNet-101: 74.6 million parameters."""

    BLOCK = Bottleneck
    DEPTHS = (3, 4, 23, 3)
