"""torchvision's VGG16, with and without batch norm, as a start for the two DeepCracks.

Both networks have VGG16's thirteen convolutions under names of their own. The classifier of the
file is not needed. Its input was standardised, theirs is not; training makes up for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from fissura.types import InputError
from fissura.weights.pickles import told

VGG16 = "VGG16 of torchvision"
VGG16_BN = "VGG16-BN of torchvision"

# Places in torchvision's `features`, stage by stage.
_PLAIN = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
_NORMED = ((0, 3), (7, 10), (14, 17, 20), (24, 27, 30), (34, 37, 40))
_WANTED = {"deepcrack_zou": VGG16, "deepcrack_liu": VGG16_BN}


def from_vgg(name: str, origin: str, given: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The entries of the network `name` that a file of torchvision has values for."""
    wanted = _WANTED.get(name)
    if wanted != origin:
        mend = f"it can begin with {wanted}" if wanted else "give weights of that network"
        raise InputError(f"{source} looks like {origin}, which {name} cannot begin with; {mend}")
    pairs = _zou(given, source) if origin == VGG16 else _liu(given, source)
    return dict(pairs)


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
