"""Model files as torch networks: safetensors in and out, and the network as it is deployed."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fissura.models import MODELS
from fissura.models.building import build_network
from fissura.types import InputError
from fissura.weights import ModelCard, read_card, to_metadata

SIZE_HW = (512, 512)
"""What a detector sees where nothing else is said: the published size."""
ONLY_CLASS = ("crack",)


TRAINING_ONLY = frozenset({"aux"})
"""Outputs that only a loss looks at."""


class Deployed(nn.Module):
    """A network with its normalisation inside: RGB 0…255 in, its outputs out.

    It takes `image` N×3×H×W, or `clip` N×3×T×H×W where it looks at T frames at once; `statistics`
    N×2×3 of the whole picture, as `CSSR.forward` has them, where it standardises.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.network = network
        self.flip = card.channels == "bgr"
        self.register_buffer("mean", torch.tensor(card.mean_rgb).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(card.std_rgb).view(1, 3, 1, 1))

    def forward(self, image: Tensor, statistics: Tensor | None = None) -> dict[str, Tensor]:
        """N×3×H×W or N×3×T×H×W → the network's named outputs, but what serves training alone."""
        x = self._normalised(image)
        outputs: dict[str, Tensor] = (
            self.network(x) if statistics is None else self.network(x, statistics)
        )
        return {name: values for name, values in outputs.items() if name not in TRAINING_ONLY}

    def draw(self, image: Tensor) -> Tensor:
        """N×3×H×W → the enlarged picture N×3×s·H×s·W, of a network that gives one."""
        network: Any = self.network
        enlarged: Tensor = network.enlarge((image - self.mean) / self.std)
        return enlarged

    def per_frame(self, image: Tensor) -> dict[str, Tensor]:
        """N×3×H×W → what the frame tells by itself, of a network that `streams`."""
        network: Any = self.network
        features: dict[str, Tensor] = network.per_frame(self._normalised(image))
        return features

    def fuse(self, frames: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """What `per_frame` gave for T frames, oldest first → outputs for the last."""
        network: Any = self.network
        outputs: dict[str, Tensor] = network.fuse(frames)
        return outputs

    def _normalised(self, image: Tensor) -> Tensor:
        scale = self.mean, self.std
        mean, std = scale if image.ndim == 4 else (values.unsqueeze(2) for values in scale)
        x = (image - mean) / std
        return x.flip(1) if self.flip else x


def streams(network: nn.Module) -> bool:
    """Whether it runs as `per_frame` of every frame once, and `fuse` of the last T."""
    return hasattr(network, "per_frame") and hasattr(network, "fuse")


def new_card(name: str, arguments: dict[str, Any] | None = None, **notes: Any) -> ModelCard:
    """A card with what the network's class states: normalisation, scales, tile, threshold.

    Of a detector also its strides, frames, size and classes, which are called "crack" where there
    is one and by their numbers where there are more, unless `notes` name them. Whoever chose
    another threshold on validation pictures says so in `notes`.
    """
    kind: Any = MODELS[name]
    stated = {
        "mean_rgb": "MEAN_RGB",
        "std_rgb": "STD_RGB",
        "channels": "CHANNELS",
        "input_scale": "INPUT_SCALE",
        "tile": "TILE",
        "overlap": "OVERLAP",
        "threshold": "THRESHOLD",
    }
    own = {key: getattr(kind, attribute) for key, attribute in stated.items()}
    own["threshold_from"] = "elsewhere"
    own["output_scale"] = _setting(kind, arguments or {}, "scale", 1)
    if hasattr(kind, "STRIDES"):
        count = _setting(kind, arguments or {}, "classes", 1)
        own["strides"], own["size_hw"] = kind.STRIDES, SIZE_HW
        own["frames"] = _setting(kind, arguments or {}, "frames", 1)
        own["classes"] = ONLY_CLASS if count == 1 else tuple(str(k) for k in range(count))
    return ModelCard(name=name, arguments=arguments or {}, **(own | notes))


def _setting(kind: Any, arguments: dict[str, Any], name: str, without: int) -> int:
    """A whole number that the network is built with, `without` if its class has no such one."""
    stated = inspect.signature(kind).parameters.get(name)
    return without if stated is None else int(arguments.get(name, stated.default))


def state_sha256(state: dict[str, Tensor]) -> str:
    """SHA-256 over the tensors in order of name.

    Each adds the line "name dtype shape", as in "head.weight float32 2,256,1,1" and ended by a
    newline, then its values as little-endian bytes in row-major order.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().cpu().contiguous()
        shape = ",".join(map(str, values.shape))
        digest.update(f"{name} {str(values.dtype).removeprefix('torch.')} {shape}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_safetensors(module: nn.Module, card: ModelCard, path: Path) -> ModelCard:
    """Writes the network's state and its card in one step; returns the card with hash and path."""
    from safetensors.torch import save

    state = {name: values.contiguous() for name, values in module.state_dict().items()}
    card = replace(card, weights_sha256=state_sha256(state), path=path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_bytes(save(state, to_metadata(card)))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return card


def load_module(path: Path) -> tuple[nn.Module, ModelCard]:
    """The network in eval mode and its card, from a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    card = read_card(path)
    try:
        state = load(path.read_bytes())
    except SafetensorError:
        raise InputError(f"{path}: is damaged; fetch or export it again") from None
    if state_sha256(state) != card.weights_sha256:
        raise InputError(f"{path}: its weights are not those its notes name; fetch it again")
    module = _build(card, path)
    own = module.state_dict()
    try:
        # Without memory of its own the network takes the file's tensors, once their shapes fit.
        given = {k: v.to(own[k].dtype) if k in own else v for k, v in state.items()}
        module.load_state_dict(given, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise InputError(f"{path}: does not fit the network {card.name!r}: {first}") from None
    return module.eval(), card


class _NoDraws(TorchFunctionMode):
    """Leaves out random starts, for which torch loads 800 modules where there is no memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", "") == nn.init.__name__:
            return given["tensor"] if "tensor" in given else args[0]
        return args[0] if func is torch.Tensor.normal_ else func(*args, **given)


def _build(card: ModelCard, path: Path) -> nn.Module:
    """The card's network without memory for its numbers, however large the card says it is."""
    if card.name not in MODELS:
        known = ", ".join(MODELS)
        raise InputError(f"{path}: names the unknown network {card.name!r}; known: {known}")
    with torch.device("meta"), _NoDraws():
        return build_network(card.name, card.arguments, f"{path}: its arguments")
