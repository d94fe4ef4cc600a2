"""Network → graph: normalisation inside, sizes free, notes attached, numbers checked at once."""

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
from fissura.export.files import is_ir, open_proto, write_all
from fissura.export.graph import to_proto
from fissura.export.parts import export_parts
from fissura.export.rewrites import rewrite
from fissura.export.rounding import described, rounded
from fissura.export.runs import graph_run, parts_run, torch_run
from fissura.models.cssr import enlarges_map, standardises
from fissura.models.deepcrack_zou import unpools
from fissura.pixels import OWN_STATISTICS
from fissura.types import InputError, UInt8Image
from fissura.weights import PREFIX, ModelCard, Precision, to_metadata
from fissura.weights.network import Deployed, state_sha256, streams
from fissura.weights.parts import parts_of

INPUT, OTHER_INPUT, CLIP_INPUT, STATISTICS = "image", "picture", "clip", "statistics"
"""A graph has no two values of one name: where it gives an `image`, it takes a `picture`."""

DETECTOR_STRIDE = 32
CHECK_NOTE = f"{PREFIX}export_check"

MOST_COMPARED = 4
"""Of the pictures that are given, so many also go through torch."""


class _Outputs(nn.Module):
    """A deployed network that returns its outputs as a tuple, which the exporter can name."""

    def __init__(self, network: Deployed, size_hw: tuple[int, int]) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        rewrite(self.network, size_hw)

    def forward(self, image: Tensor, statistics: Tensor | None = None) -> tuple[Tensor, ...]:
        return tuple(self.network(image, statistics).values())


def export_onnx(
    module: nn.Module,
    card: ModelCard,
    out: Path,
    pictures: Sequence[UInt8Image] = (),
    precision: Precision = "float32",
    calibration: Sequence[UInt8Image] = (),
) -> Agreement:
    """Writes the network as ONNX, or for OpenVINO where `out` ends in .xml; returns how well the
    engine that the file is for agrees with torch.

    The graph takes `image` N×3×H×W float32 RGB 0…255, called `picture` where it gives an `image`;
    a network of T frames takes `clip` N×3×T×H×W, one that standardises `statistics` N×2×3 beside
    it. One that streams is written as its two parts too. Beyond the tolerance nothing is written.

    In fp16 or int8 the graph that agreed is rounded, int8 by the ranges that it has on
    `calibration`; what that changes there and on `pictures` is returned, and not judged.
    """
    if pictures and unpools(module):
        raise InputError(f"pictures: {card.name} is compared on small noise alone; give none")
    if precision == "int8" and not calibration:
        raise InputError("precision int8: needs pictures to take its ranges from; give some")
    network = Deployed(module, card).eval()
    sha256 = state_sha256(module.state_dict())
    card = replace(card, weights_sha256=sha256, precision=precision)
    protos, free = _protos(network, card, out)
    found = _agreements(network, protos, [*_noise(network, card, protos, free), *pictures])
    _require(out, found)
    if precision != "float32":
        protos = rounded(protos, precision, calibration)
        seen = [*pictures, *calibration[:MOST_COMPARED], *rendered(card)]
        agreements = _agreements(network, protos, seen)
        found = {
            path: replace(one, approximation=described(precision, protos[out]))
            for path, one in agreements.items()
        }
        _require(out, found)
    notes = {
        path: to_metadata(card) | {CHECK_NOTE: _check_note(found[path], out)} for path in protos
    }
    write_all({path: (proto, notes[path]) for path, proto in protos.items()})
    return _worst(found)


def _protos(network: Deployed, card: ModelCard, out: Path) -> tuple[dict[Path, Any], bool]:
    """The models by file, the whole network first, and whether height and width are free."""
    whole, free = _to_proto(network, card)
    protos = {out: whole}
    if streams(network.network):
        protos |= zip(parts_of(out), export_parts(network, card), strict=True)
    return protos, free


def _noise(
    network: Deployed, card: ModelCard, protos: Mapping[Path, Any], free: bool
) -> list[UInt8Image]:
    """Pictures of several sizes, and a rendered one."""
    if card.classes:
        noise = random_clips(card.frames, DETECTOR_SIZES_HW if free else (card.network_hw,))
        return [*noise, *rendered(card)]
    if unpools(network.network):
        out, proto = next(iter(protos.items()))
        return without_flips(torch_run(network), graph_run(open_proto(proto, out)))
    return [*random_pictures(), *rendered(card)]


def _agreements(
    network: Deployed, protos: Mapping[Path, Any], pictures: Sequence[UInt8Image]
) -> dict[Path, Agreement]:
    """How well the file of the whole network, and its two parts together, agree with torch."""
    whole, *parts = (open_proto(proto, path) for path, proto in protos.items())
    exact = _judged(torch_run(network), network)
    out, *others = protos
    found = {out: compare(exact, _judged(graph_run(whole), network), pictures)}
    if parts:
        together = compare(exact, _judged(parts_run(*parts), network), pictures)
        found |= dict.fromkeys(others, together)
    return found


def _judged(run: Run, network: Deployed) -> Run:
    return by_probability(run) if enlarges_map(network.network) else run


def _worst(found: Mapping[Path, Agreement]) -> Agreement:
    return max(found.values(), key=lambda agreement: agreement.largest_difference)


def _require(out: Path, found: Mapping[Path, Agreement]) -> None:
    worst = _worst(found)
    if not worst.ok:
        raise InputError(f"{out}: not written, {_engine(out)[0]} and torch disagree: {worst}")


def _engine(out: Path) -> tuple[str, str]:
    """Name and version of what is compared with torch."""
    if not is_ir(out):
        return "ONNX Runtime", str(ort.__version__)
    import openvino

    return "OpenVINO", str(openvino.__version__)


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


def _check_note(agreement: Agreement, out: Path) -> str:
    name, version = _engine(out)
    return json.dumps(
        {
            "largest_difference": agreement.largest_difference,
            "p99_difference": agreement.p99_difference,
            "pictures": agreement.pictures,
            "approximation": agreement.approximation,
            "torch": torch.__version__,
            name.replace(" ", "").lower(): version,
        }
    )
