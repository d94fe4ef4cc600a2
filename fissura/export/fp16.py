"""Weights in 16 bits: half of their size. Arithmetic stays in 32, so that any engine runs it."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

LEAST = 256
"""Smaller tensors stay as they are, and so do biases, norms and what is out of float16's range."""


def to_fp16(proto: Any) -> Any:
    """The model with its large float32 weights as float16, each with a cast back before it."""
    found = type(proto)()
    found.CopyFrom(proto)
    casts = []
    for tensor in found.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < LEAST or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        half = numpy_helper.from_array(values.astype(np.float16), f"{name}.fp16")
        tensor.CopyFrom(half)
        cast = helper.make_node("Cast", [half.name], [name], f"{name}.cast", to=TensorProto.FLOAT)
        casts.append(cast)
    nodes = [*casts, *found.graph.node]
    del found.graph.node[:]
    found.graph.node.extend(nodes)
    return found
