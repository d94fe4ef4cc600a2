"""DeepCrack with deep supervision: VGG16's convolutions with batch norm and five side outputs.

Liu, Yao, Lu, Xie, Li: "DeepCrack: A deep hierarchical feature learning architecture for crack
segmentation", Neurocomputing 338, 2019, as released in DeepSegmentor. Parameter names are those of
the release, so that its checkpoints load by name.

Shapes: N batch, H×W network input; stage k runs at H/2ᵏ⁻¹ × W/2ᵏ⁻¹, rounded down.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Channels in multiples of the base width, and number of convolutions."""
SIDES = ("side1", "side2", "side3", "side4", "side5")
LEAST_SIDE = 16
MOST_WIDTH = 128
"""Twice the published width, at which a network takes four times its memory."""

Normalisation = Literal["running", "per_image"]
Start = Literal["he", "released"]


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that can go by each picture's own statistics outside training.

    The released test script never switches to evaluation, so that every picture (a batch of one)
    is normalised by itself: `per_image`. `running` is the usual way.
    """

    def __init__(self, channels: int, mode: Normalisation) -> None:
        super().__init__(channels)
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        """N×C×h×w → the same shape."""
        if self.training or self.mode == "running":
            return super().forward(input)
        # Not through `functional`, which refuses the single pixel that small pictures come to.
        return torch.instance_norm(
            input, self.weight, self.bias, None, None, True, 0.0, self.eps, False
        )


def _stage(c_in: int, width: int, depth: int, mode: Normalisation) -> nn.Sequential:
    layers: list[nn.Module] = []
    for entering in (c_in, *[width] * (depth - 1)):
        convolution = nn.Conv2d(entering, width, 3, padding=1, bias=False)
        layers += [convolution, BatchNorm(width, mode), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class DeepCrackLiu(nn.Module):
    """Logits of crack at full size: the fused map and five side outputs, `side1` the finest.

    Input: N×3×H×W float32 RGB in −1…1; sides below 16 are continued by their last row or column
    and cut off again. `bn_mode` says what normalises outside training: the `running` statistics, or
    each picture's own as in the released test script (`per_image`). `width` is the channels of the
    finest scale, `init` He's start or the release's.
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = (127.5, 127.5, 127.5)
    STD_RGB: ClassVar[tuple[float, float, float]] = (127.5, 127.5, 127.5)
    CHANNELS: ClassVar[str] = "rgb"
    INPUT_SCALE: ClassVar[float] = 1.0
    THRESHOLD: ClassVar[float] = 0.31
    TILE: ClassVar[int | None] = 1024
    OVERLAP: ClassVar[int | None] = 256

    def __init__(
        self, bn_mode: Normalisation = "running", width: int = 64, init: Start = "he"
    ) -> None:
        super().__init__()
        if bn_mode not in ("running", "per_image") or init not in ("he", "released"):
            raise ValueError(
                "bn_mode must be running or per_image and init he or released, "
                f"got {bn_mode!r} and {init!r}"
            )
        if not 1 <= width <= MOST_WIDTH:
            raise ValueError(f"width must be 1 to {MOST_WIDTH}, got {width}")
        entering = 3
        for k, (factor, depth) in enumerate(STAGES, 1):
            channels = width * factor
            self.add_module(f"conv{k}", _stage(entering, channels, depth, bn_mode))
            self.add_module(f"side_conv{k}", nn.Conv2d(channels, 1, 1, bias=False))
            entering = channels
        self.fuse_conv = nn.Conv2d(5, 1, 1, bias=False)
        if init == "he":
            self._initialise()
        else:
            self._initialise_as_released()

    def _initialise(self) -> None:
        """He normal over fan-in for the trunk; the fused map starts as the mean of the sides."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not name.startswith("side"):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
        nn.init.constant_(self.fuse_conv.weight, 0.2)

    def _initialise_as_released(self) -> None:
        """Xavier normal with gain 0.02 on every convolution, norm weights N(1, 0.02)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight, gain=0.02)
            elif isinstance(module, BatchNorm):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """N×3×H×W → {"logits", "side1" … "side5"}, each N×1×H×W."""
        height, width = x.shape[-2:]
        x = repeat_to_least_side(x)
        sides = [
            functional.interpolate(
                self.get_submodule(f"side_conv{k}")(feature),
                size=x.shape[-2:],
                mode="bilinear",
                align_corners=True,
            )
            for k, feature in enumerate(self.features(x), 1)
        ]
        logits = self.fuse_conv(torch.cat(sides, dim=1))
        named = dict(zip(("logits", *SIDES), (logits, *sides), strict=True))
        return {name: values[..., :height, :width] for name, values in named.items()}

    def features(self, x: Tensor) -> list[Tensor]:
        """N×3×H×W → results of the stages, 1 to 5."""
        found = []
        for k in range(1, 6):
            x = self.get_submodule(f"conv{k}")(x if k == 1 else functional.max_pool2d(x, 2))
            found.append(x)
        return found


def repeat_to_least_side(x: Tensor) -> Tensor:
    """N×C×H×W → the same with sides of at least 16: the last row and column repeated."""
    height, width = x.shape[-2:]
    return x[:, :, _repeated(height, x.device)][:, :, :, _repeated(width, x.device)]


def _repeated(side: int, device: torch.device) -> Tensor:
    wanted = torch.sym_max(side, LEAST_SIDE)  # type: ignore[no-untyped-call]
    return torch.arange(wanted, device=device).clamp(max=side - 1)
