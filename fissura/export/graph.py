"""Torch module → ONNX model, and ONNX model → something that runs: quietly, faults in one line."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fissura.types import InputError

OPSET = 18


def to_proto(
    module: nn.Module,
    name: str,
    examples: Mapping[str, Tensor],
    outputs: Sequence[str],
    free: tuple[dict[int, Any], ...] | None = None,
) -> Any:
    """A module that gives a tuple of tensors as an ONNX model; sizes are fixed but those `free`."""
    try:
        # Fused attention leaves its result in an order that the exporter's own parts do not keep.
        with silence(), sdpa_kernel(SDPBackend.MATH):
            program = torch.onnx.export(
                module,
                tuple(examples.values()),
                input_names=list(examples),
                output_names=list(outputs),
                dynamic_shapes=free,
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # The exporter has many kinds, all of them long.
        first = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
        kind = type(error).__name__
        raise InputError(f"export: {name} cannot become ONNX ({kind}: {first})") from error
    return _without_chatter(program.model_proto if program is not None else None)


def _without_chatter(proto: Any) -> Any:
    """Drops the exporter's notes on every node (Python stack traces), a quarter of the file."""
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for part in (*proto.graph.value_info, *proto.graph.initializer):
        del part.metadata_props[:]
    del proto.graph.metadata_props[:]
    del proto.metadata_props[:]
    return proto


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keeps the exporter's progress, warnings and logs off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    hidden = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(hidden),
            contextlib.redirect_stderr(hidden),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
