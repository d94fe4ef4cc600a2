"""Convolutions in 8 bits: a quarter of the file, and of the multiplications' time where it counts.

Weights are rounded by output channel, symmetric; what goes into a convolution by one scale and one
zero point, between the least and the largest value that it had on the calibration pictures, and so
is what comes out: without the latter OpenVINO moves CGNet's logits five times as far. All other
layers stay as they were. Written as pairs of QuantizeLinear and DequantizeLinear, which ONNX
Runtime and OpenVINO turn into integer arithmetic.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from fissura.export.graph import silence

Feeds = Mapping[str, NDArray[np.float32]]

CONVOLUTION = "Conv"
OPTIONS = {"ActivationSymmetric": False, "WeightSymmetric": True}


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Iterable[Feeds]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        found = next(self._feeds, None)
        return None if found is None else dict(found)


def to_int8(proto: Any, feeds: Iterable[Feeds]) -> Any:
    """An ONNX model of float32 as one whose convolutions multiply 8-bit numbers."""
    with tempfile.TemporaryDirectory() as folder, silence():
        given, path = Path(folder) / "given.onnx", Path(folder) / "int8.onnx"
        given.write_bytes(proto.SerializeToString())  # a model in memory would be changed
        quantize_static(
            given,
            path,
            _Feeds(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[CONVOLUTION],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=_last(proto),
            extra_options=OPTIONS,
        )
        found = onnx.load(path)
    del found.metadata_props[:]
    found.metadata_props.extend(proto.metadata_props)
    return found


def _last(proto: Any) -> list[str]:
    """Convolutions after which none comes: they give the answers, and cost little."""
    feeds_one: set[str] = set()
    last = []
    for node in reversed(proto.graph.node):
        leads = any(name in feeds_one for name in node.output)
        if node.op_type == CONVOLUTION and not leads:
            last.append(node.name)
        if leads or node.op_type == CONVOLUTION:
            feeds_one.update(node.input)
    return last
