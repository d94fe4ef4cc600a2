"""Decides whether boxes are asked for, and opens whatever gives them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fissura.datasets.sequences import open_sequences
from fissura.engines import open_engine
from fissura.evaluate.boxes.evaluation import BoxJob, evaluate_boxes
from fissura.evaluate.boxes.protocols import BOX_PROTOCOLS, BoxProtocol
from fissura.evaluate.boxes.sources import (
    BoxSource,
    FromEngine,
    FromResults,
    is_results,
    parse_named,
)
from fissura.evaluate.job import EvaluateSettings, Progress
from fissura.types import InputError

DEFAULT = "coco"
OF_MAPS = (
    *("validation_predictions", "criterion", "tolerances", "without", "degrade", "degrade_scale"),
    "baseline",
)
"""Settings that only crack maps have."""

ONLY_OPERATING = ("threshold", "validation", "fps")


def finds_boxes(predictions: Iterable[Any]) -> bool:
    """Whether any of them is a detector or a file of boxes."""
    return any(is_results(one) or _is_detector(one) for one in predictions)


def _is_detector(source: Any) -> bool:
    return bool(getattr(getattr(source, "card", None), "classes", ()))


def score_boxes(
    predictions: Sequence[Any],
    data: Path,
    names: tuple[str | None, str | None],
    protocol: str | None,
    out: Path,
    settings: EvaluateSettings,
    progress: Progress,
) -> dict[str, Any]:
    """As `fissura.evaluate.evaluate`, for boxes; `names` of the layout and of the split."""
    found = find_box_protocols(protocol or DEFAULT)
    refuse_unused(found, settings)
    given = [*predictions, *([settings.vs] if settings.vs is not None else [])]
    sources = [open_box_source(one, settings) for one in given]
    classes = scored_classes(sources, data, names[0], settings.classes)
    job = BoxJob(Path(data), *names, settings, found, classes)
    return evaluate_boxes(sources, job, Path(out), progress)


def find_box_protocols(name: str) -> dict[str, BoxProtocol]:
    """The protocol of that name, or for `all` every one."""
    if name == "all":
        return dict(BOX_PROTOCOLS)
    if name not in BOX_PROTOCOLS:
        near = difflib.get_close_matches(name, BOX_PROTOCOLS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: all, {', '.join(BOX_PROTOCOLS)}"
        raise InputError(f"protocol '{name}' is none for boxes; {hint}")
    return {name: BOX_PROTOCOLS[name]}


def refuse_unused(found: Mapping[str, BoxProtocol], settings: EvaluateSettings) -> None:
    """Raise InputError for an option that would be given for nothing."""
    if "threshold" in settings.predict.model_fields_set:
        raise InputError("--set threshold: use --min-score for the least score that is kept")
    given = settings.model_fields_set
    unused = next((name for name in OF_MAPS if name in given and getattr(settings, name)), None)
    if unused is None and not any(protocol.operating for protocol in found.values()):
        unused = next((name for name in ONLY_OPERATING if getattr(settings, name)), None)
    if unused is not None:
        known = ", ".join(found)
        raise InputError(
            f"--{unused.replace('_', '-')}: protocol {known} has no use for it; leave it out"
        )


def open_box_source(given: Any, settings: EvaluateSettings) -> BoxSource:
    """A detector (an engine, a shipped name or a file) or a file of COCO results."""
    if not isinstance(given, str | Path):
        return _from_engine(given, settings)
    name, path = parse_named(str(given))
    if is_results(path):
        if not path.is_file():
            raise InputError(f"{path}: no such file of COCO results; check the path")
        return FromResults(path, name)
    how = settings.predict
    try:
        engine = open_engine(given, how.engine, how.precision, how.threads)
    except InputError as error:
        raise InputError(
            f"{given}: no file of COCO results (.json), nor a model that opens ({error})"
        ) from error
    return _from_engine(engine, settings)


def _from_engine(engine: Any, settings: EvaluateSettings) -> BoxSource:
    if not _is_detector(engine):
        name = engine.card.name if hasattr(engine, "card") else type(engine).__name__
        raise InputError(
            f"{name}: gives crack maps, no boxes; choose a detector or a protocol for maps"
        )
    return FromEngine(engine, settings.predict, settings.min_score)


def scored_classes(
    sources: Sequence[BoxSource], data: Path, dataset: str | None, wanted: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The classes that count: as asked for, else what the first detector tells, else the set's."""
    known = open_sequences(data, dataset, None, 1, missing="earlier").classes
    told = next((source.classes for source in sources if source.classes is not None), None)
    chosen = wanted or (known if told is None else told)
    unknown = [name for name in chosen if name not in known]
    if len(unknown) == len(chosen) or (wanted and unknown):
        raise InputError(
            f"--classes: {data} has no class {', '.join(unknown)}; it knows {', '.join(known)}"
        )
    return tuple(name for name in chosen if name in known)
