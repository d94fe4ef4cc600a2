"""How much 256 even steps would blur the values of a graph, measured on pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from fissura.graphs import Arrays, OnnxRuntimeGraph

STEPS = 255
KINDS = ("least", "largest", "mean", "square")


def blur(proto: Any, names: Sequence[str], feeds: Iterable[Arrays]) -> dict[str, float]:
    """By name of a value: rounding error of even steps over its range, as a share of its spread.

    About 0.01 for normal noise; more where few values lie far from all others.
    """
    graph = OnnxRuntimeGraph(Path("measured.onnx"), model=_measured(proto, names))
    told = [graph.run(feed) for feed in feeds]
    found = {}
    for number, name in enumerate(names):
        least, largest, mean, square = (
            np.array([each[f"{kind}.{number}"] for each in told], np.float64) for kind in KINDS
        )
        step = (largest.max() - least.min()) / STEPS
        spread = np.sqrt(max(square.mean() - mean.mean() ** 2, 0))
        found[name] = float(step / np.sqrt(12) / spread) if spread else 0.0
    return found


def _measured(proto: Any, names: Sequence[str]) -> bytes:
    """The model with its outputs replaced by four numbers for every name."""
    model = type(proto)()
    model.CopyFrom(proto)
    del model.graph.output[:]
    for number, name in enumerate(names):
        product = f"squared.{number}"
        made = {
            "least": ("ReduceMin", name),
            "largest": ("ReduceMax", name),
            "mean": ("ReduceMean", name),
            "square": ("ReduceMean", product),
        }
        model.graph.node.append(helper.make_node("Mul", [name, name], [product]))
        for kind, (operator, given) in made.items():
            out = f"{kind}.{number}"
            model.graph.node.append(helper.make_node(operator, [given], [out], keepdims=0))
            model.graph.output.append(helper.make_tensor_value_info(out, TensorProto.FLOAT, ()))
    found: bytes = model.SerializeToString()
    return found
