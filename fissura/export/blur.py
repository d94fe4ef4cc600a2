"""How much 256 even steps would blur the values of a graph, measured on pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from fissura.graphs import Arrays, OnnxRuntimeGraph

STEPS = 255
MEAN = "ReduceMean"
KINDS = ("least", "largest", "mean", "variance")


def blur(proto: Any, names: Sequence[str], feeds: Iterable[Arrays]) -> dict[str, float]:
    """By name of a value: rounding error of even steps over its range, as a share of its spread.

    About 0.01 for normal noise; more where few values lie far from all others, or all far from 0,
    which the steps of int8 always reach to.
    """
    graph = OnnxRuntimeGraph(Path("measured.onnx"), model=_measured(proto, names))
    told = [graph.run(feed) for feed in feeds]
    found = {}
    for number, name in enumerate(names):
        least, largest, mean, variance = (
            np.array([each[f"{kind}.{number}"] for each in told], np.float64) for kind in KINDS
        )
        step = (max(largest.max(), 0) - min(least.min(), 0)) / STEPS
        spread = np.sqrt((variance + (mean - mean.mean()) ** 2).mean())
        found[name] = float(step / np.sqrt(12) / spread) if spread else 0.0
    return found


def _measured(proto: Any, names: Sequence[str]) -> bytes:
    """The model with its outputs replaced by four numbers for every name."""
    model = type(proto)()
    model.CopyFrom(proto)
    del model.graph.output[:]
    for number, name in enumerate(names):
        mean, centred, squared = (f"{kind}.{number}" for kind in ("mean", "centred", "squared"))
        for kind, operator in (("least", "ReduceMin"), ("largest", "ReduceMax"), ("mean", MEAN)):
            _reduce(model, operator, name, f"{kind}.{number}")
        # The mean goes first: squares of float32 lose a spread that is small beside it.
        model.graph.node.append(helper.make_node("Sub", [name, mean], [centred]))
        model.graph.node.append(helper.make_node("Mul", [centred, centred], [squared]))
        _reduce(model, MEAN, squared, f"variance.{number}")
        for out in (f"{kind}.{number}" for kind in KINDS):
            model.graph.output.append(helper.make_tensor_value_info(out, TensorProto.FLOAT, ()))
    found: bytes = model.SerializeToString()
    return found


def _reduce(model: Any, operator: str, given: str, out: str) -> None:
    model.graph.node.append(helper.make_node(operator, [given], [out], keepdims=0))
