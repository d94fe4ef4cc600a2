"""CSSR: a picture from afar is enlarged and segmented by two networks trained together.

Kondo, Ukita: "Crack Segmentation for Low-Resolution Images using Joint Learning with
Super-Resolution", MVA 2021. Parameter names are those of the release, so that its checkpoints load
by name.

Shapes: N batch, H×W the small picture, s the scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from fissura.models.dbpn import DBPN, bicubic
from fissura.models.pspnet import PSPNet
from fissura.models.settings import check_settings
from fissura.models.unet_resnet import UNetResNet34, UNetResNet101
from fissura.models.unet_vgg16 import UNetVGG16

Normalisation = Literal["instance", "fixed"]
Clamp = Literal["none", "released"]
Order = Literal["sr_first", "segmentation_first"]
Statistics = tuple[Tensor, Tensor]

SEGMENTERS: dict[str, type[nn.Module]] = {
    "unet_vgg16": UNetVGG16,
    "pspnet": PSPNet,
    "unet_resnet34": UNetResNet34,
    "unet_resnet101": UNetResNet101,
}
SCALES = (1, 2, 4, 8)
FIXED_MEAN, FIXED_STD = (0.4741, 0.4937, 0.5048), (0.1621, 0.1532, 0.1523)
VARIANCE_EPS = 1e-5
PROBABILITY_EPS = 1e-6
_CHOICES = {
    "normalisation": ("instance", "fixed"),
    "clamp": ("none", "released"),
    "order": ("sr_first", "segmentation_first"),
}


class CSSR(nn.Module):
    """The picture `scale` times as large, and logits of crack at that size.

    Input: N×3×H×W float32 RGB in 0…1, any size. `sr` and `segmenter` name the two networks and give
    their arguments: {"name": "dbpn", "stages": 6} or {"name": "bicubic"}, the first baseline;
    {"name": "unet_vgg16", "decoder": "pixel_shuffle"}, {"name": "pspnet"} or, beyond the release, a
    "unet_resnet34" or "unet_resnet101". With a `scale` of 1
    nothing is enlarged: the second baseline, for pictures of full resolution.

    Between the two the enlarged picture is standardised, each by its own statistics (`instance`) or
    by `fixed` ones. `clamp` "released" cuts the picture to 0…1 before that, outside training only,
    as the release does; "none" lets the segmentation see in use what it saw in training. In the
    `order` segmentation_first the small picture is segmented, not standardised, and the map of
    probabilities is enlarged.
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 0.0)
    STD_RGB: ClassVar[tuple[float, float, float]] = (255.0, 255.0, 255.0)
    CHANNELS: ClassVar[str] = "rgb"
    INPUT_SCALE: ClassVar[float] = 1.0
    THRESHOLD: ClassVar[float] = 0.5
    TILE: ClassVar[int | None] = 256
    OVERLAP: ClassVar[int | None] = 64

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        scale: int = 4,
        sr: Mapping[str, Any] | None = None,
        segmenter: Mapping[str, Any] | None = None,
        normalisation: Normalisation = "instance",
        clamp: Clamp = "none",
        order: Order = "sr_first",
    ) -> None:
        super().__init__()
        given = {"normalisation": normalisation, "clamp": clamp, "order": order}
        for key, value in given.items():
            if value not in _CHOICES[key]:
                raise ValueError(f"{key} must be {' or '.join(_CHOICES[key])}, got {value!r}")
        if scale not in SCALES or (scale == 1 and order != "sr_first"):
            raise ValueError(f"scale must be 1 (only if sr_first), 2, 4 or 8, got {scale}")
        self.scale, self.order = scale, order
        self.normalisation, self.clamp = normalisation, clamp
        channels = 3 if order == "sr_first" else 1
        self.sr_model = _enlarger(scale, channels, dict(sr or {}))
        self.segmentation_model = _segmenter(dict(segmenter or {}))
        shape = (1, 3, 1, 1)
        for name, values in (("mean", FIXED_MEAN), ("std", FIXED_STD)):
            # No file holds them: they are there even where the rest is built without memory.
            constant = torch.tensor(values, device="cpu").view(shape)
            self.register_buffer(name, constant, persistent=False)

    def forward(self, x: Tensor, whole: Tensor | None = None) -> dict[str, Tensor]:
        """N×3×H×W → {"logits": N×1×s·H×s·W, "image": N×3×s·H×s·W} and what the segmenter adds.

        Where `x` is a tile, `whole` may be N×2×3, mean and variance by channel of the whole picture
        enlarged; a variance below 0 stands for the tile's own, as None does.

        In the order segmentation_first there is no image but "map", the enlarged probabilities
        before they are cut to 0…1, and "small_logits", N×1×H×W.
        """
        if self.order == "segmentation_first":
            small = self.segmentation_model(x)["logits"]
            enlarged = self._enlarged(small.sigmoid())
            logits = enlarged.clamp(PROBABILITY_EPS, 1 - PROBABILITY_EPS).logit()
            return {"logits": logits, "map": enlarged, "small_logits": small}
        image = self.enlarge(x)
        segmented = self.segment(image, self.statistics(image, whole))
        return {"logits": segmented.pop("logits"), "image": image, **segmented}

    def enlarge(self, x: Tensor) -> Tensor:
        """N×3×H×W → N×3×s·H×s·W, as the segmentation takes it."""
        image = self._enlarged(x)
        cuts = self.clamp == "released" and not self.training
        return image.clamp(0, 1) if cuts else image

    def segment(self, image: Tensor, statistics: Statistics | None = None) -> dict[str, Tensor]:
        """N×3×H×W of an enlarged picture → the segmenter's outputs.

        `statistics` of the whole picture have to be given where `image` is only a tile of it.
        """
        mean, std = statistics or self.statistics(image)
        outputs: dict[str, Tensor] = self.segmentation_model((image - mean) / std)
        return outputs

    def statistics(self, image: Tensor, whole: Tensor | None = None) -> Statistics:
        """Mean and spread to standardise by, N×3×1×1 or 1×3×1×1; for `whole` see `forward`."""
        if self.normalisation == "fixed":
            return self.mean, self.std
        mean = image.mean(dim=(2, 3), keepdim=True)
        variance = (image - mean).square().mean(dim=(2, 3), keepdim=True)
        if whole is not None:
            given_mean, given_variance = whole[..., None, None].unbind(1)
            known = given_variance >= 0
            mean = torch.where(known, given_mean, mean)
            variance = torch.where(known, given_variance, variance)
        return mean, (variance + VARIANCE_EPS).sqrt()

    def _enlarged(self, x: Tensor) -> Tensor:
        if self.sr_model is not None:
            image: Tensor = self.sr_model(x)["image"]
            return image
        return bicubic(x, self.scale) if self.scale > 1 else x


def standardises(network: nn.Module) -> bool:
    """Whether it is a CSSR that standardises pictures by their own statistics."""
    instance = isinstance(network, CSSR) and network.normalisation == "instance"
    return instance and network.order == "sr_first"


def enlarges_map(network: nn.Module) -> bool:
    """Whether its logits come from probabilities, so that near 0 and 1 they magnify rounding."""
    return isinstance(network, CSSR) and network.order == "segmentation_first"


def _enlarger(scale: int, channels: int, arguments: dict[str, Any]) -> DBPN | None:
    """The network that enlarges, or None where none is needed."""
    name = arguments.pop("name", "dbpn")
    if name not in ("dbpn", "bicubic"):
        raise ValueError(f"sr: name must be dbpn or bicubic, got {name!r}")
    if name == "bicubic" and arguments:
        raise ValueError("sr: bicubic has no settings")
    with _named("sr"):
        check_settings(DBPN, arguments, ("scale", "channels"))
        if scale == 1 or name == "bicubic":
            return None
        return DBPN(scale=scale, channels=channels, **arguments)


def _segmenter(arguments: dict[str, Any]) -> nn.Module:
    name = arguments.pop("name", "unet_vgg16")
    if name not in tuple(SEGMENTERS):  # It may be anything, also what has no hash.
        raise ValueError(f"segmenter: name must be one of {', '.join(SEGMENTERS)}, got {name!r}")
    with _named("segmenter"):
        check_settings(SEGMENTERS[name], arguments)
        return SEGMENTERS[name](**arguments)


@contextmanager
def _named(section: str) -> Iterator[None]:
    """Says of what a network refuses which of the two networks does."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{section}: {error}") from None
