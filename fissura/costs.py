"""What a model costs beside its time: multiply-adds, parameters, bytes; and what each stage costs.

Legend: H, W height and width of what the network sees.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from fissura.config import PredictSettings
from fissura.engines import Engine
from fissura.overlap import Stages
from fissura.pipeline import Predictor, formats_for
from fissura.report import open_writers
from fissura.synth import render_wall
from fissura.weights import ModelCard
from fissura.weights.files import IR_SUFFIX
from fissura.weights.parts import find_parts

BYTES_PER_PARAMETER = 4


@dataclass(frozen=True)
class Cost:
    """`macs` of one picture or clip (streaming: of a new frame) and `parameters` as published.

    None where torch is not installed or the network is not one of fissura's own; `file_bytes` of
    what runs, which of a detector that streams are its two parts.
    """

    macs: int | None
    parameters: int | None
    file_bytes: int

    def __str__(self) -> str:
        told = []
        if self.macs is not None:
            told.append(f"{self.macs / 1e9:.3g} GMACs")
        if self.parameters is not None:
            size = BYTES_PER_PARAMETER * self.parameters / 1e6
            told.append(f"{self.parameters / 1e6:.3g} M parameters ({size:.3g} MB)")
        told.append(f"file {self.file_bytes / 1e6:.3g} MB")
        return ", ".join(told)


def cost_of(card: ModelCard, size_hw: tuple[int, int], streams: bool = False) -> Cost:
    """The cost of a model at this size of its input."""
    files: Sequence[Path] = [card.path] if card.path else []
    if streams and card.path and card.path.suffix.lower() in (".onnx", IR_SUFFIX):
        files = find_parts(card.path, card) or files
    weights = [path.with_suffix(".bin") for path in files if path.suffix.lower() == IR_SUFFIX]
    size = sum(path.stat().st_size for path in (*files, *weights))
    try:
        from fissura.models import MODELS
        from fissura.models.cost import count
    except ImportError:
        return Cost(None, None, size)
    if card.name not in MODELS:
        return Cost(None, None, size)
    return Cost(*count(card.name, card.arguments, size_hw, streams), size)


def stage_times(engine: Engine, size_hw: tuple[int, int], pictures: int) -> Stages:
    """Seconds per picture of every stage of `fissura predict`, one after the other.

    The pictures are JPEGs of rendered walls that give the network an input of H×W; they are one
    sequence to a detector of several frames.
    """
    with tempfile.TemporaryDirectory() as folder:
        factor = engine.card.input_scale
        height, width = (max(round(side / factor), 1) for side in size_hw)
        paths = [Path(folder, f"wall_{number}.jpg") for number in range(pictures + 1)]
        wall = render_wall("concrete", 0, (height, width)).image
        for path in paths:
            cv2.imwrite(str(path), wall[..., ::-1])
        predictor = Predictor(engine, PredictSettings())
        _work_through(predictor, paths[:1], Path(folder, "warm"), Stages())
        stages = Stages()
        _work_through(predictor, paths[1:], Path(folder, "out"), stages)
    stages.seconds = {name: value / pictures for name, value in stages.seconds.items()}
    return stages


def _work_through(predictor: Predictor, paths: Sequence[Path], out: Path, stages: Stages) -> None:
    with open_writers(formats_for(predictor.engine.card, paths), out) as write:
        for result in predictor.predict(iter(paths), stages=stages):  # one by one, no overlap
            with stages.timing("write"):
                write(result)
