"""Network → ONNX: normalisation inside, sizes free, notes attached, numbers checked at once."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fissura.export.check import (
    DETECTOR_SIZES_HW,
    Agreement,
    Run,
    by_probability,
    compare,
    random_clips,
    random_pictures,
    rendered,
    without_flips,
)
from fissura.export.graph import open_session, to_proto
from fissura.export.parts import export_parts, parts_run
from fissura.export.rewrites import rewrite
from fissura.models.cssr import enlarges_map, standardises
from fissura.models.deepcrack_zou import unpools
from fissura.pixels import OWN_STATISTICS, to_planes
from fissura.types import InputError, UInt8Image
from fissura.weights import PREFIX, ModelCard, to_metadata
from fissura.weights.network import Deployed, state_sha256, streams
from fissura.weights.parts import parts_of

INPUT, OTHER_INPUT, CLIP_INPUT, STATISTICS = "image", "picture", "clip", "statistics"
"""A graph has no two values of one name: where it gives an `image`, it takes a `picture`."""

DETECTOR_STRIDE = 32
CHECK_NOTE = f"{PREFIX}export_check"


class _Outputs(nn.Module):
    """A deployed network that returns its outputs as a tuple, which the exporter can name."""

    def __init__(self, network: Deployed, size_hw: tuple[int, int]) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        rewrite(self.network, size_hw)

    def forward(self, image: Tensor, statistics: Tensor | None = None) -> tuple[Tensor, ...]:
        return tuple(self.network(image, statistics).values())


def export_onnx(
    module: nn.Module, card: ModelCard, out: Path, pictures: Sequence[UInt8Image] = ()
) -> Agreement:
    """Writes the network as ONNX and returns how well ONNX Runtime agrees with torch on it.

    The graph takes `image` N×3×H×W float32 RGB 0…255, called `picture` where it gives an `image`;
    a network of T frames takes `clip` N×3×T×H×W, one that standardises `statistics` N×2×3 beside
    it. One that streams is written as its two parts too. Beyond the tolerance nothing is written.
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
    pictures = [*noise, *rendered(card, unpools(module)), *pictures]
    files, found = {out: proto}, {out: compare(*runs, pictures)}
    if streams(module):
        parts = export_parts(network, card)
        together = compare(runs[0], parts_run(parts, card), pictures)
        for path, part in zip(parts_of(out), parts, strict=True):
            files[path], found[path] = part, together
    worst = max(found.values(), key=lambda agreement: agreement.largest_difference)
    if not worst.ok:
        raise InputError(f"{out}: not written, ONNX Runtime and torch disagree: {worst}")
    for path, proto in files.items():
        _write(proto, to_metadata(card) | {CHECK_NOTE: _check_note(found[path])}, path)
    return worst


def _write(proto: Any, notes: Mapping[str, str], path: Path) -> None:
    for key, value in notes.items():
        proto.metadata_props.add(key=key, value=value)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(proto.SerializeToString())
    unfinished.replace(path)


def torch_run(network: Deployed) -> Run:
    """One picture through the network, eager float32."""

    def run(image: UInt8Image) -> dict[str, NDArray[np.float32]]:
        with torch.inference_mode():
            outputs = network(torch.from_numpy(to_planes(image)))
        return {name: values[0].numpy() for name, values in outputs.items()}

    return run


def onnx_run(model: bytes) -> Run:
    """One picture through an ONNX file's bytes in ONNX Runtime."""
    session = open_session(model)
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
    height, width = example.shape[-2:]
    given = dict(zip(inputs, examples, strict=True))
    return to_proto(_Outputs(network, (height, width)).eval(), name, given, names, tuple(free))


def _names(network: Deployed, name: str, example: Tensor) -> list[str]:
    """Of the outputs."""
    try:
        with torch.inference_mode():
            return list(network(example))
    except RuntimeError as error:  # as of a network that sees one channel
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"export: {name} does not take a picture of colour ({reason})") from None


def _check_note(agreement: Agreement) -> str:
    return json.dumps(
        {
            "largest_difference": agreement.largest_difference,
            "pictures": agreement.pictures,
            "torch": torch.__version__,
            "onnxruntime": ort.__version__,
        }
    )
