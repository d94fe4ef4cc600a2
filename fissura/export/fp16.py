"""Weights in 16 bits: half of the file. Arithmetic stays in 32, so that any engine runs it."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

LEAST = 256
"""Smaller tensors, biases and shapes among them, stay as they are."""


def to_fp16(proto: Any) -> Any:
    """Changes the model: large float32 weights become float16, each with a cast back before it."""
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < LEAST or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        half = numpy_helper.from_array(values.astype(np.float16), f"{name}.fp16")
        tensor.CopyFrom(half)
        casts.append(helper.make_node("Cast", [half.name], [name], f"{name}.cast", to=1))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto
