"""Convolutions that multiply 8-bit numbers: a quarter of their weights, and less time for them.

Weights are rounded by output channel, symmetric; what goes into a convolution by one scale and one
zero point, from the least to the largest of 0 and the values that it had on the calibration
pictures, and so is what comes out: where only inputs are rounded OpenVINO errs more than ONNX
Runtime does. Where few values lie far from all others the steps between would be too coarse, and
the convolution stays as it was, as all other layers do. Written as pairs of QuantizeLinear and
DequantizeLinear, which ONNX Runtime and OpenVINO turn into integer arithmetic.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
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

from fissura.export.blur import blur
from fissura.export.graph import silence
from fissura.graphs import Arrays, GraphError
from fissura.types import InputError

CONVOLUTION = "Conv"
MOST_BLUR = 0.05
"""Of what goes into a convolution, and of what comes out, as `blur` has it."""

OPTIONS = {"ActivationSymmetric": False, "WeightSymmetric": True}


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Iterable[Arrays]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        found = next(self._feeds, None)
        return None if found is None else dict(found)


def to_int8(proto: Any, feeds: Callable[[], Iterable[Arrays]], answers: bool = True) -> Any:
    """An ONNX model of float32 as one whose convolutions multiply 8-bit numbers.

    Those that give the network's answers stay as they are, where the model's outputs are `answers`.
    """
    kept = blurred_convolutions(proto, feeds()) + (last_convolutions(proto) if answers else [])
    with tempfile.TemporaryDirectory() as folder, silence():
        given, path = Path(folder) / "given.onnx", Path(folder) / "int8.onnx"
        given.write_bytes(proto.SerializeToString())  # a model in memory would be changed
        _quantize(given, path, _Feeds(feeds()), kept)
        found = onnx.load(path)
    del found.metadata_props[:]
    found.metadata_props.extend(proto.metadata_props)
    return found


def _quantize(given: Path, path: Path, feeds: _Feeds, kept: list[str]) -> None:
    try:
        quantize_static(
            given,
            path,
            feeds,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[CONVOLUTION],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=kept,
            extra_options=OPTIONS,
        )
    except (GraphError, InputError):
        raise
    except Exception as error:  # ONNX Runtime names no kinds; memory that runs out is among them
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"precision int8: ONNX Runtime cannot round this network ({reason}); give fewer or"
            " smaller pictures to calibrate, or choose fp16"
        ) from None


def blurred_convolutions(proto: Any, feeds: Iterable[Arrays]) -> list[str]:
    """Those that 256 steps between the least and the largest value do not serve."""
    places = {
        node.name: (node.input[0], node.output[0])
        for node in proto.graph.node
        if node.op_type == CONVOLUTION
    }
    found = blur(proto, sorted({name for pair in places.values() for name in pair}), feeds)
    # What is not a number is no reason to round.
    return [
        name for name, pair in places.items() if not all(found[each] <= MOST_BLUR for each in pair)
    ]


def last_convolutions(proto: Any) -> list[str]:
    """Those between which and an output of the model no other stands; they cost little."""
    wanted = {output.name for output in proto.graph.output}
    last = []
    for node in reversed(proto.graph.node):
        if wanted.isdisjoint(node.output):
            continue
        if node.op_type == CONVOLUTION:
            last.append(node.name)
        else:
            wanted.update(node.input)
    return last
