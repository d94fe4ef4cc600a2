"""Where boxes come from: a detector that is run, or a file of COCO results from any system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fissura.config import PredictSettings
from fissura.datasets.sequences import Sequences, read_clip
from fissura.detect import Window
from fissura.engines import Engine
from fissura.evaluate.boxes.predictions import is_document, read_document
from fissura.evaluate.boxes.results import Results, read_results
from fissura.metrics.detection import FoundBoxes, Index, gather_found
from fissura.types import Detections, InputError

Progress = Callable[[], None]


class BoxSource(ABC):
    """Gives the boxes of all key frames of a data set.

    `threshold` is the score chosen in training, if known; `classes` what it can tell apart, None
    where nothing says; `engine` what it computes them with, if it does, from `frames` pictures
    at once; `path` is the file that it comes from; `details` says more for the report.
    """

    name: str
    threshold: float | None = None
    classes: tuple[str, ...] | None = None
    engine: Engine | None = None
    frames: int = 1
    path: Path | None = None
    details: Mapping[str, Any]

    @abstractmethod
    def find(self, data: Sequences, classes: Sequence[str], step: Progress) -> FoundBoxes:
        """The boxes of these classes, pictures and classes by their place in the two lists."""


class FromEngine(BoxSource):
    """Boxes of a detector, computed as `fissura predict` does, from a very low score on."""

    def __init__(self, engine: Engine, settings: PredictSettings, min_score: float) -> None:
        card = engine.card
        self._engine = self.engine = engine
        self.name, self.classes, self.frames = card.title, card.classes, card.frames
        self.path = card.path
        self.threshold = card.threshold if card.threshold_from == "validation" else None
        self._settings = settings.model_copy(update={"threshold": min_score})
        self.details = {
            "engine": engine.name,
            "precision": settings.precision,
            "min_score": min_score,
            "nms_iou": settings.nms_iou or card.nms_iou,
            "resize": card.resize,
            "weights_sha256": card.weights_sha256,
            "file": card.path.name if card.path else "",
            "arguments": card.arguments,
        }

    def find(self, data: Sequences, classes: Sequence[str], step: Progress) -> FoundBoxes:
        """Run the network on every key frame; frames that follow each other are fitted once."""
        window, found = Window(self._engine.card), []
        before: tuple[Path, ...] = ()
        for keyframe in data.keyframes:
            paths = keyframe.paths[-self.frames :]
            fresh = 1 if before and paths[:-1] == before[1:] else len(paths)
            for image in read_clip(keyframe)[-fresh:]:
                window.push(image)
            found.append(window.detect(self._engine, self._settings))
            before = paths
            step()
        return _flat(found, classes)


class FromResults(BoxSource):
    """Boxes that another system found."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.name = name or path.stem
        self.path: Path = path
        self._results: Results | None = None
        self.details = {"kind": "COCO results", "file": path.name}

    def find(self, data: Sequences, classes: Sequence[str], step: Progress) -> FoundBoxes:
        """The boxes of the file that lie on these pictures and are of these classes."""
        if is_document(self.path):
            self._results = read_document(self.path, data)
        elif self._results is None:
            self._results = read_results(self.path)
        found, left = self._results.of(data, classes)
        self.details = {**self.details, "boxes": len(found.score), **left}
        return found


def parse_named(text: str) -> tuple[str | None, Path]:
    """`NAME=FILE` or a path alone."""
    name, equals, file = text.partition("=")
    if not equals or Path(text).exists():
        return None, Path(text)
    if not name or not file:
        raise InputError(f"--predictions {text}: expected a path, or NAME=FILE.json")
    return name, Path(file)


def is_results(source: object) -> bool:
    """Whether that names a file of COCO results."""
    return isinstance(source, str | Path) and str(source).lower().endswith(".json")


def class_numbers(labels: Sequence[str], classes: Sequence[str]) -> Index:
    """Place of every label among the classes, −1 for others."""
    numbers = {name: k for k, name in enumerate(classes)}
    return np.array([numbers.get(name, -1) for name in labels], np.intp)


def _flat(found: Sequence[Detections], classes: Sequence[str]) -> FoundBoxes:
    return gather_found(
        [(one.boxes, one.scores, class_numbers(one.labels, classes)) for one in found]
    )
