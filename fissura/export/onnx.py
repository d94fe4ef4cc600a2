"""Network → ONNX: normalisation inside, sizes free, notes attached, numbers checked at once."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fissura.export.check import (
    DETECTOR_SIZES_HW,
    Agreement,
    Run,
    by_probability,
    compare,
    random_clips,
    random_pictures,
    without_flips,
)
from fissura.export.rewrites import rewrite
from fissura.models.cssr import enlarges_map, standardises
from fissura.models.deepcrack_zou import unpools
from fissura.pixels import OWN_STATISTICS, to_planes
from fissura.types import InputError, UInt8Image
from fissura.weights import PREFIX, ModelCard, to_metadata
from fissura.weights.network import Deployed, state_sha256

OPSET = 18
INPUT, OTHER_INPUT, CLIP_INPUT, STATISTICS = "image", "picture", "clip", "statistics"
"""A graph has no two values of one name: where it gives an `image`, it takes a `picture`."""

DETECTOR_STRIDE = 32


class _Outputs(nn.Module):
    """A deployed network that returns its outputs as a tuple, which the exporter can name."""

    def __init__(self, network: Deployed) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        rewrite(self.network)

    def forward(self, image: Tensor, statistics: Tensor | None = None) -> tuple[Tensor, ...]:
        return tuple(self.network(image, statistics).values())


def export_onnx(
    module: nn.Module, card: ModelCard, out: Path, pictures: Sequence[UInt8Image] = ()
) -> Agreement:
    """Writes the network as ONNX and returns how well ONNX Runtime agrees with torch on it.

    The graph takes `image` N×3×H×W float32 RGB 0…255, called `picture` where it gives an `image`;
    a network of T frames takes `clip` N×3×T×H×W, one that standardises `statistics` N×2×3 beside
    it. Beyond the tolerance nothing is written.
    """
    if pictures and unpools(module):
        raise InputError(f"pictures: {card.name} is compared on small noise alone; give none")
    network = Deployed(module, card).eval()
    card = replace(card, weights_sha256=state_sha256(module.state_dict()))
    proto, free = _to_proto(network, card)
    runs = torch_run(network), onnx_run(proto.SerializeToString())
    if enlarges_map(module):
        runs = by_probability(runs[0]), by_probability(runs[1])
    if card.classes:
        noise = random_clips(card.frames, DETECTOR_SIZES_HW if free else (card.network_hw,))
    else:
        noise = without_flips(*runs) if unpools(module) else random_pictures()
    agreement = compare(*runs, [*noise, *pictures])
    if not agreement.ok:
        raise InputError(f"{out}: not written, ONNX Runtime and torch disagree: {agreement}")
    notes = to_metadata(card) | {f"{PREFIX}export_check": _check_note(agreement)}
    for key, value in notes.items():
        proto.metadata_props.add(key=key, value=value)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(out.name + ".part")
    unfinished.write_bytes(proto.SerializeToString())
    unfinished.replace(out)
    return agreement


def torch_run(network: Deployed) -> Run:
    """One picture through the network, eager float32."""

    def run(image: UInt8Image) -> dict[str, NDArray[np.float32]]:
        with torch.inference_mode():
            outputs = network(torch.from_numpy(to_planes(image)))
        return {name: values[0].numpy() for name, values in outputs.items()}

    return run


def onnx_run(model: bytes) -> Run:
    """One picture through an ONNX file's bytes in ONNX Runtime."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given, *others = (one.name for one in session.get_inputs())
    constant = dict.fromkeys(others, OWN_STATISTICS)
    names = [output.name for output in session.get_outputs()]

    def run(image: UInt8Image) -> dict[str, NDArray[np.float32]]:
        arrays = session.run(None, {given: to_planes(image), **constant})
        return {name: array[0] for name, array in zip(names, arrays, strict=True)}

    return run


def _to_proto(network: Deployed, card: ModelCard) -> tuple[Any, bool]:
    """The graph, and whether height and width are free; they are not where shapes decide paths."""
    dim = torch.export.Dim
    if not card.classes:
        # Odd sizes and a batch of two keep the exporter from taking any of them for a constant.
        sizes = {0: dim("n", min=1), 2: dim("h", min=1), 3: dim("w", min=1)}
        return _graph(network, card.name, torch.zeros(2, 3, 97, 131), sizes), True
    if card.frames == 1:
        sides = (DETECTOR_STRIDE * dim(name, min=1) for name in ("h32", "w32"))
        sizes = {0: dim("n", min=1), **dict(zip((2, 3), sides, strict=True))}
        return _graph(network, card.name, torch.zeros(2, 3, 96, 160), sizes), True
    example = torch.zeros(2, 3, card.frames, *card.network_hw)
    return _graph(network, card.name, example, {0: dim("n", min=1)}), False


def _graph(network: Deployed, name: str, example: Tensor, sizes: dict[int, Any]) -> Any:
    names = _names(network, name, example)
    inputs = [CLIP_INPUT if example.ndim == 5 else OTHER_INPUT if INPUT in names else INPUT]
    examples, free = [example], [sizes]
    if standardises(network.network):
        inputs.append(STATISTICS)
        examples.append(torch.from_numpy(np.repeat(OWN_STATISTICS, len(example), axis=0)))
        free.append({0: sizes[0]})
    try:
        # Fused attention leaves its result in an order that the exporter's own parts do not keep.
        with _silence(), sdpa_kernel(SDPBackend.MATH):
            program = torch.onnx.export(
                _Outputs(network).eval(),
                tuple(examples),
                input_names=inputs,
                output_names=names,
                dynamic_shapes=tuple(free),
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


def _names(network: Deployed, name: str, example: Tensor) -> list[str]:
    """Of the outputs."""
    try:
        with torch.inference_mode():
            return list(network(example))
    except RuntimeError as error:  # as of a network that sees one channel
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"export: {name} does not take a picture of colour ({reason})") from None


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


def _check_note(agreement: Agreement) -> str:
    return json.dumps(
        {
            "largest_difference": agreement.largest_difference,
            "pictures": agreement.pictures,
            "torch": torch.__version__,
            "onnxruntime": ort.__version__,
        }
    )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
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
