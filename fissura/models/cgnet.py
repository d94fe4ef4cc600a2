"""CGNet "M3N21" with a fully convolutional head, as crack_gauge trains it for cracks.

Wu, Tang, Zhang, Cao, Zhang: "CGNet: A Light-weight Context Guided Network for Semantic
Segmentation", IEEE Transactions on Image Processing 30, 2021. Parameter names are those of the
OpenMMLab implementation, so that published checkpoints load by name.

Shapes: N batch, C channels, H×W network input; stage 0 runs at 1/2, stage 1 at 1/4 and stage 2 at
1/8 of it, odd sizes rounded up.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

BN_EPS = 1e-3
MEAN_RGB = (72.39239876, 82.90891754, 73.15835921)
STD_RGB = (1.0, 1.0, 1.0)
MOST_BLOCKS, MOST_CLASSES = 100, 1000
"""Far beyond any use; the largest takes about 20 MB."""


class ConvNormAct(nn.Module):
    """Convolution without bias, batch norm, PReLU with one slope per channel."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=BN_EPS)
        self.activate = nn.PReLU(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """N×c_in×H×W → N×c_out×(H/stride)×(W/stride)."""
        out: Tensor = self.activate(self.bn(self.conv(x)))
        return out


class GlobalGate(nn.Module):
    """Weighs channels by a sigmoid of the image's mean features (the paper's global context)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×C×h×w → N×C×h×w."""
        gate: Tensor = self.fc(x.mean(dim=(2, 3)))
        return x * gate[:, :, None, None]


class ContextGuidedBlock(nn.Module):
    """Local and surrounding context of each pixel, joined, then gated by the global one.

    The down-sampling form enters by a 3×3 convolution of stride 2, keeps twice the channels until
    `bottleneck` halves them, and has no residual; the plain form adds its input.
    """

    def __init__(
        self, c_in: int, c_out: int, dilation: int, reduction: int, *, downsample: bool = False
    ) -> None:
        super().__init__()
        width = c_out if downsample else c_out // 2
        # The entry of a down-sampling block is 3×3 under the published name `conv1x1`.
        self.conv1x1 = ConvNormAct(c_in, width, 3 if downsample else 1, 2 if downsample else 1)
        self.f_loc = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.f_sur = nn.Conv2d(
            width, width, 3, padding=dilation, dilation=dilation, groups=width, bias=False
        )
        self.bn = nn.BatchNorm2d(2 * width, eps=BN_EPS)
        self.activate = nn.PReLU(2 * width)
        self.bottleneck = nn.Conv2d(2 * width, c_out, 1, bias=False) if downsample else None
        self.f_glo = GlobalGate(c_out, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """N×c_in×h×w → N×c_out×h×w, or half that size when down-sampling."""
        entry = self.conv1x1(x)
        joint = torch.cat([self.f_loc(entry), self.f_sur(entry)], dim=1)  # N×2·width×h×w
        joint = self.activate(self.bn(joint))
        if self.bottleneck is not None:
            reduced: Tensor = self.f_glo(self.bottleneck(joint))
            return reduced
        gated: Tensor = self.f_glo(joint)
        return x + gated


def _norm_act(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels, eps=BN_EPS), nn.PReLU(channels))


class CGNetBackbone(nn.Module):
    """Three stages with the input injected at 1/2 and 1/4; `blocks` counts stages 1 and 2."""

    def __init__(self, blocks: tuple[int, int] = (3, 21)) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNormAct(3, 32, 3, 2), ConvNormAct(32, 32, 3), ConvNormAct(32, 32, 3)
        )
        # Padding counts in the divisor, as in the original; excluding it moves logits by 0.08.
        self.pool = nn.AvgPool2d(3, 2, 1)
        self.norm_prelu_0 = _norm_act(32 + 3)
        self.level1 = nn.ModuleList([ContextGuidedBlock(35, 64, 2, 8, downsample=True)])
        self.level1.extend(ContextGuidedBlock(64, 64, 2, 8) for _ in range(blocks[0] - 1))
        self.norm_prelu_1 = _norm_act(2 * 64 + 3)
        self.level2 = nn.ModuleList([ContextGuidedBlock(131, 128, 4, 16, downsample=True)])
        self.level2.extend(ContextGuidedBlock(128, 128, 4, 16) for _ in range(blocks[1] - 1))
        self.norm_prelu_2 = _norm_act(2 * 128)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """N×3×H×W → stage0 N×35×H/2×W/2, stage1 N×131×H/4×W/4, stage2 N×256×H/8×W/8."""
        half = self.pool(x)
        quarter = self.pool(half)
        stage0 = self.norm_prelu_0(torch.cat([self.stem(x), half], dim=1))

        down1 = self.level1[0](stage0)
        out1 = down1
        for block in list(self.level1)[1:]:
            out1 = block(out1)
        stage1 = self.norm_prelu_1(torch.cat([out1, down1, quarter], dim=1))

        down2 = self.level2[0](stage1)
        out2 = down2
        for block in list(self.level2)[1:]:
            out2 = block(out2)
        # Stage 2 joins in the other order than stage 1; the original does so too.
        stage2 = self.norm_prelu_2(torch.cat([down2, out2], dim=1))
        return {"stage0": stage0, "stage1": stage1, "stage2": stage2}


class FCNHead(nn.Module):
    """One 1×1 convolution from stage 2 to the classes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×h×w → N×classes×h×w."""
        logits: Tensor = self.conv_seg(x)
        return logits


class CGNet(nn.Module):
    """Logits of background and crack at 1/8 of the network input, rounded up.

    Input: N×3×H×W float32 RGB in 0…255, minus `MEAN_RGB`, over `STD_RGB`. The trained operating
    point enlarges a photograph `INPUT_SCALE` times first (crack_gauge's test procedure).
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = MEAN_RGB
    STD_RGB: ClassVar[tuple[float, float, float]] = STD_RGB
    CHANNELS: ClassVar[str] = "rgb"
    INPUT_SCALE: ClassVar[float] = 2.0
    THRESHOLD: ClassVar[float] = 0.5
    TILE: ClassVar[int | None] = None
    OVERLAP: ClassVar[int | None] = None

    def __init__(self, classes: int = 2, blocks: tuple[int, int] = (3, 21)) -> None:
        super().__init__()
        if (
            not all(1 <= count <= MOST_BLOCKS for count in blocks)
            or not 1 <= classes <= MOST_CLASSES
        ):
            raise ValueError(
                f"blocks must be 1 to {MOST_BLOCKS} and classes 1 to {MOST_CLASSES}, "
                f"got {blocks} and {classes}"
            )
        self.backbone = CGNetBackbone(blocks)
        self.decode_head = FCNHead(256, classes)
        self._initialise()

    def _initialise(self) -> None:
        """Kaiming normal over fan-out, zero PReLU slopes, a small head: OpenMMLab's start."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.PReLU):
                nn.init.zeros_(module.weight)
        nn.init.normal_(self.decode_head.conv_seg.weight, std=0.01)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """N×3×H×W → {"logits": N×classes×⌈H/8⌉×⌈W/8⌉}."""
        return {"logits": self.decode_head(self.backbone(x)["stage2"])}
