"""U-Net with a VGG16 encoder: CSSR's, and `UNet16` of khanhha/crack_segmentation.

Kondo, Ukita: "Crack Segmentation for Low-Resolution Images using Joint Learning with
Super-Resolution", MVA 2021. Parameter names are those of the releases, which name the encoder's
twice; here it has the one name `conv1` … `conv5`.

Shapes: N batch, H×W network input, h×w the same rounded up to the stride; stage k runs at
h/2ᵏ⁻¹ × w/2ᵏ⁻¹.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fissura.models.backbones import VGG16, vgg16_stages
from fissura.models.layers import DECODERS, ConvReLU, Decoder, UpBlock, he_start, mirror_to_stride

Variant = Literal["cssr", "khanhha"]
BLOCKS: dict[str, dict[str, tuple[int, int]]] = {
    "cssr": {"center": (32, 8), "dec4": (32, 8), "dec3": (16, 4), "dec2": (8, 2)},
    "khanhha": {
        "center": (16, 8),
        "dec5": (16, 8),
        "dec4": (16, 8),
        "dec3": (8, 2),
        "dec2": (4, 1),
    },
}
"""Middle and output channels of each decoder block, in halves of the base width."""
MOST_WIDTH = 128
"""Twice the published width, at which a network takes four times its memory."""


class UNetVGG16(nn.Module):
    """Logits of crack at full size.

    Input: N×3×H×W float32 RGB, standardised as for ImageNet. Sides that are no multiple of 16 (32
    with `khanhha`, which pools once more before the decoder) are continued by mirroring at the
    right and the bottom and cut off again. `decoder` is how the resolution is doubled; the releases
    use pixel_shuffle (CSSR) and bilinear (khanhha). `width` is the channels of the finest scale.
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = (123.675, 116.28, 103.53)
    STD_RGB: ClassVar[tuple[float, float, float]] = (58.395, 57.12, 57.375)
    CHANNELS: ClassVar[str] = "rgb"
    INPUT_SCALE: ClassVar[float] = 1.0
    THRESHOLD: ClassVar[float] = 0.5
    TILE: ClassVar[int | None] = 512
    OVERLAP: ClassVar[int | None] = 128

    def __init__(
        self, decoder: Decoder = "pixel_shuffle", variant: Variant = "cssr", width: int = 64
    ) -> None:
        super().__init__()
        if decoder not in DECODERS or variant not in BLOCKS:
            raise ValueError(
                f"decoder must be one of {', '.join(DECODERS)} and variant cssr or khanhha, "
                f"got {decoder!r} and {variant!r}"
            )
        if not 2 <= width <= MOST_WIDTH or width % 2:
            raise ValueError(f"width must be an even number 2 to {MOST_WIDTH}, got {width}")
        for k, stage in enumerate(vgg16_stages(width), 1):
            self.add_module(f"conv{k}", stage)
        half = width // 2
        skips = [width * factors[-1] for factors in VGG16]
        channels = skips[-1]
        for name, (middle, c_out) in BLOCKS[variant].items():
            skip = 0 if name == "center" else skips[int(name[-1]) - 1]
            block = UpBlock(channels + skip, half * middle, half * c_out, decoder)
            self.add_module(name, block)
            channels = half * c_out
        self.dec1 = ConvReLU(channels + width, half)
        self.final = nn.Conv2d(half, 1, 1)
        self.pools_last = variant == "khanhha"
        self.stride = 32 if self.pools_last else 16
        he_start(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """N×3×H×W → {"logits": N×1×H×W}."""
        height, width = x.shape[-2:]
        decoded = self.features(mirror_to_stride(x, self.stride))["dec1"]
        return {"logits": self.final(decoded)[..., :height, :width]}

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """N×3×h×w → results of the encoder's stages and of the decoder's blocks by name."""
        found: dict[str, Tensor] = {}
        for k in range(1, 6):
            x = self.get_submodule(f"conv{k}")(x if k == 1 else functional.max_pool2d(x, 2))
            found[f"conv{k}"] = x
        x = found["center"] = self.get_submodule("center")(
            functional.max_pool2d(x, 2) if self.pools_last else x
        )
        for k in range(5 if self.pools_last else 4, 0, -1):
            joint = torch.cat([x, found[f"conv{k}"]], dim=1)
            x = found[f"dec{k}"] = self.get_submodule(f"dec{k}")(joint)
        return found
