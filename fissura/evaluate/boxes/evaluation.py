"""Score detectors, and files of boxes from other systems, on a data set by named protocols."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fissura.datasets.sequences import Sequences, open_sequences
from fissura.evaluate.boxes import report
from fissura.evaluate.boxes.compare import compare
from fissura.evaluate.boxes.naming import file_names
from fissura.evaluate.boxes.pictures import write_pictures
from fissura.evaluate.boxes.protocols import BoxProtocol
from fissura.evaluate.boxes.results import OtherPicturesError, category_names, write_results
from fissura.evaluate.boxes.scoring import (
    FIXED_SCORE,
    Pictures,
    System,
    best_choice,
    curves,
    score_rows,
    value_rows,
)
from fissura.evaluate.boxes.sources import BoxSource, class_numbers
from fissura.evaluate.job import EvaluateSettings, Progress
from fissura.evaluate.output import output, remove_old_reports
from fissura.evaluate.scoring import Bootstrap, Choice
from fissura.metrics.detection import TrueBoxes, gather_truth, match
from fissura.types import InputError, Keyframe


@dataclass(frozen=True)
class BoxJob:
    """The fixed part of one evaluation; `classes` are those that count."""

    data: Path
    dataset: str | None
    split: str | None
    settings: EvaluateSettings
    protocols: Mapping[str, BoxProtocol]
    classes: tuple[str, ...]

    def open(self, split: str | None, frames: int) -> Sequences:
        """The key frames of a split that are to be scored, at least one."""
        missing = self.settings.missing
        opened = open_sequences(self.data, self.dataset, split, frames, missing=missing)
        wanted = set(self.classes)
        kept = tuple(
            keyframe
            for keyframe in opened.keyframes
            if self.settings.images == "all" or wanted.intersection(keyframe.labels)
        )
        if not kept:
            only = "annotated " if self.settings.images == "annotated" else ""
            raise InputError(
                f"{self.data}: no {only}pictures in split '{split or 'all'}'; check --split"
            )
        return dataclasses.replace(opened, keyframes=kept)


def evaluate_boxes(
    sources: Sequence[BoxSource],
    job: BoxJob,
    out: Path,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Score every source; write reports into `out` and return them.

    One protocol gives its report, several a dict of reports by name, with a folder each and one
    table of all of them.
    """
    names = unique_labels(sources)
    frames = max((source.frames for source in sources), default=1)
    with output(out, job.settings.overwrite):
        data = job.open(job.split, frames)
        category_names(data)  # what cannot be stored in the end is refused before the work
        truth = true_boxes(data.keyframes, job.classes)
        step = _counter(progress, len(data.keyframes) * sum(s.engine is not None for s in sources))
        found = [source.find(data, job.classes, step) for source in sources]
        matched = [match(truth, boxes, len(data.keyframes)) for boxes in found]
        choices = [choose(job, source, frames) for source in sources]
    systems = [System(*each) for each in zip(names, matched, choices, strict=True)]
    pictures = _pictures(job, data)
    remove_old_reports(out)
    files = _write_extras(job, sources, systems, data, out)
    reports = {name: _report(job, name, sources, systems, pictures, data) for name in job.protocols}
    return report.write_all(reports, out, files)


def true_boxes(keyframes: Sequence[Keyframe], classes: Sequence[str]) -> TrueBoxes:
    """The boxes of the classes that count; sizes are those of the boxes, none is a crowd."""
    return gather_truth([(one.boxes, class_numbers(one.labels, classes)) for one in keyframes])


def choose(job: BoxJob, source: BoxSource, frames: int) -> Choice:
    """The threshold of the operating point; the scored pictures are not looked at."""
    settings = job.settings
    if settings.threshold is not None:
        return Choice(settings.threshold, "fixed", "given beforehand (threshold)")
    if settings.validation is None or not any(p.operating for p in job.protocols.values()):
        if source.threshold is not None:
            how = "the model's own, chosen on the validation part of its training data"
            return Choice(source.threshold, "validation", how)
        return Choice(FIXED_SCORE, "fixed", "the usual one, as nothing else was given")
    data, scored = job.open(settings.validation, frames), job.open(job.split, frames)
    if {k.paths[-1] for k in data.keyframes} & {k.paths[-1] for k in scored.keyframes}:
        raise InputError(
            f"--validation {settings.validation}: shares pictures with the scored split; choose"
            " another split"
        )
    try:
        found = source.find(data, job.classes, lambda: None)
    except OtherPicturesError as error:
        raise InputError(
            f"--validation {settings.validation}: {source.path} holds no boxes on the pictures of"
            " that split; add them to the file, or give --threshold instead"
        ) from error
    matches = match(true_boxes(data.keyframes, job.classes), found, len(data.keyframes))
    best = best_choice(matches, range(len(job.classes)))
    if best.value is None:
        raise InputError(
            f"--validation {settings.validation}: {source.name} finds nothing there; give"
            " --threshold instead"
        )
    count = len(data.keyframes)
    how = f"best pooled F1 on split '{settings.validation}', {count} pictures"
    return Choice(best.value, "validation", how)


def unique_labels(sources: Sequence[BoxSource]) -> list[str]:
    """Names of what is compared; InputError where two are alike."""
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is None:
        return names
    for parts in (1, 2):  # the best files of two runs differ in their folder alone
        files = ["/".join(source.path.parts[-parts:]) if source.path else "" for source in sources]
        both = [f"{n} ({f})" if n == twice else n for n, f in zip(names, files, strict=True)]
        if len(set(both)) == len(both):
            return both
    raise InputError(
        f"two of the systems are called {twice}; leave one out, rename its file, or give "
        "--predictions NAME=FILE.json"
    )


def _counter(progress: Progress, total: int) -> Any:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    return step


def _pictures(job: BoxJob, data: Sequences) -> Pictures:
    settings, wanted = job.settings, set(job.classes)
    sequences = [keyframe.sequence for keyframe in data.keyframes]
    annotated = np.array([bool(wanted.intersection(k.labels)) for k in data.keyframes], np.bool_)
    if settings.fps is not None and data.stills:
        raise InputError(f"--fps: {data.name} holds stills, no video; leave it out")
    bootstrap = Bootstrap(settings.resamples, settings.seed, sequences)
    return Pictures(sequences, annotated, settings.fps, bootstrap)


def _report(
    job: BoxJob,
    name: str,
    sources: Sequence[BoxSource],
    systems: Sequence[System],
    pictures: Pictures,
    data: Sequences,
) -> dict[str, Any]:
    protocol, classes = job.protocols[name], job.classes
    found = report.head(name, protocol, sources, systems)
    found["data"] = report.data_head(job.data, job.dataset, job.split, data.keyframes, classes)
    found["data"]["notices"] = list(data.notices)
    found["data"]["images"] = job.settings.images
    found["data"]["fps"] = job.settings.fps
    found["intervals"] = report.intervals(pictures)
    rows = [value_rows(protocol, system, classes, pictures) for system in systems]
    found["results"] = [
        row for system, each in zip(systems, rows, strict=True) for row in score_rows(system, each)
    ]
    if len(systems) > 1 and job.settings.resamples:
        found["vs"] = compare([system.label for system in systems], rows, pictures.groups)
    found["curves"] = [
        {"predictions": system.label} | curve
        for system in systems
        for curve in curves(protocol, system, classes)
    ]
    return found


def _write_extras(
    job: BoxJob,
    sources: Sequence[BoxSource],
    systems: Sequence[System],
    data: Sequences,
    out: Path,
) -> list[str]:
    """The best boxes of what was computed as COCO results, and the pictures asked for."""
    files = []
    names = file_names(system.label for system in systems)
    for source, system, name in zip(sources, systems, names, strict=True):
        if source.engine is not None:
            path = Path("detections") / f"{name}.json"
            write_results(out / path, system.matches.found, data, job.classes)
            files.append(path.as_posix())
    if job.settings.pictures:
        engines = [source.engine for source in sources]
        files += write_pictures(out, data.keyframes, systems, engines, job.settings.pictures)
    return files
