"""Two ways through one network: the class in torch, and the graphs that were made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from fissura.export.check import Run
from fissura.graphs import Arrays, Graph
from fissura.pixels import OWN_STATISTICS, to_planes
from fissura.types import UInt8Image
from fissura.weights.network import Deployed

FRAME_INPUT = "image"


def torch_run(network: Deployed) -> Run:
    """One picture through the network, eager float32."""

    def run(image: UInt8Image) -> dict[str, NDArray[np.float32]]:
        with torch.inference_mode():
            outputs = network(torch.from_numpy(to_planes(image)))
        return {name: values[0].numpy() for name, values in outputs.items()}

    return run


def graph_run(graph: Graph) -> Run:
    """One picture, or clip, through the graph of the whole network."""
    return lambda image: _first(graph.run(whole_feeds(graph.inputs, image)))


def parts_run(frame: Graph, fusion: Graph) -> Run:
    """A clip T×H×W×3 through both graphs of a network that streams."""
    return lambda clip: _first(fusion.run(fusion_feeds(frame, clip)))


def whole_feeds(inputs: tuple[str, ...], image: UInt8Image) -> Arrays:
    """What the graph of the whole network takes; a picture comes with statistics of its own."""
    given, *others = inputs
    return {given: to_planes(image), **dict.fromkeys(others, OWN_STATISTICS)}


def frame_feeds(clip: UInt8Image) -> Iterator[Arrays]:
    """What the graph of one frame takes, for every frame of a clip."""
    for image in clip:
        yield {FRAME_INPUT: to_planes(image)}


def fusion_feeds(frame: Graph, clip: UInt8Image) -> Arrays:
    """What the graph of T frames takes: all that `frame` tells of each of them."""
    return {
        f"{name}{t}": values
        for t, feeds in enumerate(frame_feeds(clip))
        for name, values in frame.run(feeds).items()
    }


def _first(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    return {name: values[0] for name, values in arrays.items()}
