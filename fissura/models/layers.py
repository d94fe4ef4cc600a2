"""Layers that several networks share."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Decoder = Literal["pixel_shuffle", "deconv", "bilinear"]
DECODERS = ("pixel_shuffle", "deconv", "bilinear")


class ConvReLU(nn.Module):
    """3×3 convolution with bias, ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """N×c_in×h×w → N×c_out×h×w."""
        return functional.relu(self.conv(x))


class UpBlock(nn.Module):
    """Doubles a U-Net's resolution in one of three ways; names as both published U-Nets have them.

    `pixel_shuffle` folds four times the channels into 2×2 pixels; `deconv` convolves to `middle`
    channels and spreads them by a transposed convolution; `bilinear` interpolates, then convolves
    twice.
    """

    def __init__(self, c_in: int, middle: int, c_out: int, decoder: Decoder) -> None:
        super().__init__()
        layers: list[nn.Module]
        if decoder == "pixel_shuffle":
            layers = [ConvReLU(c_in, 4 * c_out), nn.PixelShuffle(2)]
        elif decoder == "deconv":
            spread = nn.ConvTranspose2d(middle, c_out, 4, stride=2, padding=1)
            layers = [ConvReLU(c_in, middle), spread, nn.ReLU(inplace=True)]
        else:
            double = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            layers = [double, ConvReLU(c_in, middle), ConvReLU(middle, c_out)]
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """N×c_in×h×w → N×c_out×2h×2w."""
        out: Tensor = self.block(x)
        return out


def he_start(network: nn.Module) -> None:
    """He normal with zero biases, by the number of inputs that an output pixel really sums.

    Of a transposed convolution's kernel only every `stride`-th row and column meets a pixel.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            continue
        height, width = module.kernel_size
        fan_in = module.in_channels // module.groups * height * width
        if isinstance(module, nn.ConvTranspose2d):
            fan_in //= module.stride[0] * module.stride[1]
        nn.init.normal_(module.weight, std=(2 / fan_in) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def mirror_to_stride(x: Tensor, stride: int, least: int = 1) -> Tensor:
    """N×C×H×W → N×C×h×w, h and w the next multiples of `stride` from `least` on.

    Continued at right and bottom by mirroring without repeating the edge; written with indices
    because padding needs a side longer than what is added.
    """
    height, width = x.shape[-2:]
    rows, columns = (_mirrored(side, stride, least, x.device) for side in (height, width))
    return x[:, :, rows][:, :, :, columns]


def _mirrored(side: int, stride: int, least: int, device: torch.device) -> Tensor:
    """Places 0 … side−1 and back again, until the multiple is reached."""
    whole = (side + stride - 1) // stride * stride
    wanted = torch.sym_max(whole, least)  # type: ignore[no-untyped-call]
    places = torch.arange(wanted, device=device)
    # A tensor, since the ONNX exporter divides by no symbolic number.
    period = torch.full_like(places, 2 * (side - 1)).clamp(min=1)
    places = places % period
    return torch.minimum(places, period - places)
