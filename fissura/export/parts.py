"""A network that streams as two graphs: what one frame tells, and what T of them tell together."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fissura.export.graph import to_proto
from fissura.export.rewrites import rewrite
from fissura.export.runs import FRAME_INPUT
from fissura.weights import ModelCard
from fissura.weights.network import Deployed
from fissura.weights.parts import PART_NOTE, PARTS


class PartProtos(NamedTuple):
    """Both graphs as ONNX models, each with a note that says which it is."""

    frame: Any
    fusion: Any


class _Frame(nn.Module):
    """N×3×H×W → the features by the order of their names in the dictionary."""

    def __init__(self, network: Deployed) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.per_frame(image).values())


class _Fusion(nn.Module):
    """The features of T frames, oldest first, one after the other → the outputs."""

    def __init__(self, network: Deployed, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        count = len(self.names)
        frames = [
            dict(zip(self.names, features[at : at + count], strict=True))
            for at in range(0, len(features), count)
        ]
        return tuple(self.network.fuse(frames).values())


def export_parts(network: Deployed, card: ModelCard) -> PartProtos:
    """The graphs for one clip of the size that the card names.

    The first gives its features by name; the second takes `NAME0` of the oldest frame to
    `NAME{T-1}` of the newest.
    """
    network = copy.deepcopy(network)
    rewrite(network, card.network_hw)
    image = torch.zeros(1, 3, *card.network_hw)
    with torch.inference_mode():
        features = network.per_frame(image)
        outputs = list(network.fuse([features] * card.frames))
    given = {
        f"{name}{t}": torch.zeros(values.shape)
        for t in range(card.frames)
        for name, values in features.items()
    }
    fusion = _Fusion(network, list(features)).eval()
    protos = PartProtos(
        to_proto(_Frame(network).eval(), card.name, {FRAME_INPUT: image}, list(features)),
        to_proto(fusion, card.name, given, outputs),
    )
    for name, proto in zip(PARTS, protos, strict=True):
        proto.metadata_props.add(key=PART_NOTE, value=name)
    return protos
