"""torchvision's networks for ImageNet as a start for the encoders of ours.

The DeepCracks have VGG16's thirteen convolutions under names of their own, with and without batch
norm; the U-Nets have VGG16 or a ResNet, PSPNet a ResNet-34. The classifier of the file is not
needed. The DeepCracks' input is not standardised as torchvision's was; training makes up for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from fissura.types import InputError
from fissura.weights.pickles import told

VGG16 = "VGG16 of torchvision"
VGG16_BN = "VGG16-BN of torchvision"
RESNET34 = "ResNet-34 of torchvision"
RESNET101 = "ResNet-101 of torchvision"
STARTS = (VGG16, VGG16_BN, RESNET34, RESNET101)

COUNTER = "num_batches_tracked"
"""Of a batch norm; the oldest files have none, and it does not matter here."""

# Places in torchvision's `features`, stage by stage.
_PLAIN = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
_NORMED = ((0, 3), (7, 10), (14, 17, 20), (24, 27, 30), (34, 37, 40))
_WANTED = {
    "deepcrack_zou": VGG16,
    "deepcrack_liu": VGG16_BN,
    "pspnet": RESNET34,
    "unet_resnet34": RESNET34,
    "unet_resnet101": RESNET101,
    "unet_vgg16": VGG16,
}
_INNER = "segmentation_model."


def imagenet_starts(name: str) -> tuple[str, ...]:
    """What of torchvision's a training of the network `name` can begin with."""
    if name == "cssr":
        return VGG16, RESNET34  # with the segmentation that each is of
    return (_WANTED[name],) if name in _WANTED else ()


def from_imagenet(
    name: str, origin: str, given: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """The entries of the network `name` that a file of torchvision has values for."""
    if name == "cssr":
        inner = {key.removeprefix(_INNER): values for key, values in own.items() if _INNER in key}
        segmenter = "unet_vgg16" if "dec1.conv.weight" in inner else "pspnet"
        found = from_imagenet(segmenter, origin, given, inner, source)
        return {_INNER + key: values for key, values in found.items()}
    wanted = _WANTED.get(name)
    if wanted != origin:
        mend = f"it can begin with {wanted}" if wanted else "give weights of that network"
        raise InputError(f"{source} looks like {origin}, which {name} cannot begin with; {mend}")
    if name == "deepcrack_zou":
        return dict(_zou(given, source))
    if name == "deepcrack_liu":
        return dict(_liu(given, source))
    return dict(_encoder(name, given, own, source))


def encoder_name(name: str) -> str | None:
    """What a U-Net calls an entry of torchvision's VGG16 (`features.` left out) or ResNet."""
    first, _, rest = name.partition(".")
    if first in _UNETS:
        return f"{_UNETS[first]}.{rest}"
    layer = re.fullmatch(r"layer([1-4])", first)
    return f"conv{int(layer[1]) + 1}.{rest}" if layer else None


def _encoder(
    name: str, given: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str
) -> Iterator[tuple[str, Tensor]]:
    """Of a U-Net or PSPNet: all of the encoder, nothing else."""
    found = set()
    for entry, values in given.items():
        bare = entry.removeprefix("features.")
        target = f"feats.{bare}" if name == "pspnet" else encoder_name(bare)
        if target is not None and target in own:
            found.add(target)
            yield target, values
    first = "feats." if name == "pspnet" else "conv"
    for target in own:
        if target.startswith(first) and target not in found and not target.endswith(COUNTER):
            raise InputError(
                f"{source}: an entry for {told(target)} is missing; fetch the file again"
            )


def _zou(given: Mapping[str, Tensor], source: str) -> Iterator[tuple[str, Tensor]]:
    for k, j, place in _convolutions(_PLAIN):
        for leaf in ("weight", "bias"):
            values = _entry(given, f"features.{place}.{leaf}", source)
            if place == 0 and leaf == "weight":
                values = values.flip(1)  # The network reads blue, green, red.
            yield f"down{k}.nn.{j}.conv.{leaf}", values


def _liu(given: Mapping[str, Tensor], source: str) -> Iterator[tuple[str, Tensor]]:
    for k, j, place in _convolutions(_NORMED):
        yield f"conv{k}.{3 * j}.weight", _entry(given, f"features.{place}.weight", source)
        norm = f"conv{k}.{3 * j + 1}"
        for leaf in ("weight", "bias", "running_var"):
            yield f"{norm}.{leaf}", _entry(given, f"features.{place + 1}.{leaf}", source)
        # These convolutions have no bias: what a bias adds, a lower running mean adds as well.
        mean = _entry(given, f"features.{place + 1}.running_mean", source)
        bias = _entry(given, f"features.{place}.bias", source)
        if mean.shape != bias.shape:
            raise InputError(
                f"{source}: entry 'features.{place}.bias' has another shape than its norm"
            )
        yield f"{norm}.running_mean", mean - bias


def _convolutions(places: tuple[tuple[int, ...], ...]) -> Iterator[tuple[int, int, int]]:
    """Stage from 1, number within it from 0, place in `features`."""
    return ((k, j, place) for k, stage in enumerate(places, 1) for j, place in enumerate(stage))


def _entry(given: Mapping[str, Tensor], name: str, source: str) -> Tensor:
    if name not in given:
        raise InputError(f"{source}: entry {told(name)} is missing; fetch the file again")
    return given[name]


_UNETS = {str(place): f"conv{k}.{2 * j}" for k, j, place in _convolutions(_PLAIN)} | {
    "conv1": "conv1.0",
    "bn1": "conv1.1",
}
"""Layers of torchvision's VGG16 and of a ResNet's stem, and what the U-Nets call them."""
