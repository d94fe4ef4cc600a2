"""From matched boxes to rows of scores with intervals over sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fissura.evaluate.boxes.protocols import BoxProtocol
from fissura.evaluate.scoring import Bootstrap, Choice, quantity
from fissura.metrics.average_precision import (
    at_score,
    average_precision,
    f1,
    interpolate,
    levels,
    precision_up_to_recall,
    ratio,
)
from fissura.metrics.coco import coco_scores, mean_known
from fissura.metrics.detection import Flags, Index, Matches, Sweep, Values, pool

Row = dict[str, Any]
FIXED_SCORE = 0.5


@dataclass(frozen=True)
class Pictures:
    """The scored pictures: the sequence of each, whether anything is annotated, frames per second.

    Sequences are drawn whole; `weights` are those of sequences, B×G.
    """

    sequences: Sequence[str]
    annotated: Flags
    fps: float | None
    bootstrap: Bootstrap

    @cached_property
    def group(self) -> Index:
        """Number of each picture's sequence."""
        places: dict[str, int] = {}
        return np.array([places.setdefault(s, len(places)) for s in self.sequences], np.intp)

    @property
    def groups(self) -> int:
        """How many sequences there are."""
        return len(set(self.sequences))

    @cached_property
    def weights(self) -> Values:
        """How often each sequence is drawn: once, then in each resample."""
        first = np.unique(self.group, return_index=True)[1]
        return self.bootstrap.weights(np.arange(len(self.sequences)))[:, first]

    def per_group(self, image: Index) -> Values:
        """How many of the pictures listed lie in each sequence."""
        return np.bincount(self.group[image], minlength=self.groups).astype(np.float64)


@dataclass(frozen=True)
class System:
    """What one source found, matched; `label` is its name in tables."""

    label: str
    matches: Matches
    choice: Choice


def value_rows(
    protocol: BoxProtocol, system: System, classes: Sequence[str], pictures: Pictures
) -> list[Row]:
    """Rows of plain values of every score: of the pictures, then of each resample."""
    parts = {"all": list(range(len(classes)))}
    if len(classes) > 1:
        parts |= {name: [k] for k, name in enumerate(classes)}
    rows: list[Row] = []
    for name, labels in parts.items():
        if protocol.scores:
            scores = curve_scores(protocol, system.matches, labels, pictures)
            rows.append({"class": name, "threshold": None, "rule": None, "scores": scores})
        if protocol.operating:
            rows += [{"class": name} | row for row in operating_rows(system, labels, pictures)]
    return rows


def score_rows(system: System, rows: Sequence[Row]) -> list[Row]:
    """The same with a value and an interval for every score."""
    return [
        {"predictions": system.label}
        | row
        | {"scores": {name: quantity(values) for name, values in row["scores"].items()}}
        for row in rows
    ]


def curve_scores(
    protocol: BoxProtocol, matches: Matches, labels: Sequence[int], pictures: Pictures
) -> dict[str, Values]:
    """The protocol's scores over all thresholds, means of the classes."""
    pooled = by_group(matches, pictures)
    if "map50" not in protocol.scores:
        return coco_scores(pooled, labels, pictures.weights)
    curves = [interpolate(pooled.sweep(label), pictures.weights) for label in labels]
    precision = [precision_up_to_recall(curve) for curve in curves]
    each = {
        "map50": [average_precision(curve) for curve in curves],
        "precision": precision,
        "recall": [curve.recall for curve in curves],
        "f1": [f1(p, curve.recall) for p, curve in zip(precision, curves, strict=True)],
    }
    return {name: mean_known(np.array([values])) for name, values in each.items()}


def operating_rows(system: System, labels: Sequence[int], pictures: Pictures) -> list[Row]:
    """One row at the threshold decided beforehand, one at the best of these pictures."""
    fixed, best = system.choice, best_choice(system.matches, labels)
    rows = []
    for choice in (fixed, best):
        value = choice.value
        scores: dict[str, Values] = {}
        if value is not None:
            scores = operating_scores(system.matches, labels, value, pictures)
        rows.append({"threshold": value, "rule": choice.rule, "scores": scores})
    return rows


def best_choice(matches: Matches, labels: Sequence[int]) -> Choice:
    """The highest of the scores with the best F1 of all classes together."""
    swept = levels(pool(matches, labels), np.ones((1, matches.images)))
    how = "best F1 on the scored pictures themselves"
    if not swept.score.size:
        return Choice(None, "best", how)
    return Choice(float(swept.score[int(swept.f1[0].argmax())]), "best", how)


def operating_scores(
    matches: Matches, labels: Sequence[int], threshold: float, pictures: Pictures
) -> dict[str, Values]:
    """Precision, recall, F1 and false alarms of the boxes from one score on."""
    sweep, weights = pool(matches, labels), pictures.weights
    at = at_score(dataclasses.replace(sweep, **_grouped(sweep, pictures)), weights, threshold)
    clean = np.flatnonzero(~pictures.annotated)
    loose = sweep.image[(sweep.score >= threshold) & ~sweep.hit]
    false = loose[~pictures.annotated[loose]]
    frames = weights @ pictures.per_group(clean)
    found = {
        "precision": at.precision[:, 0],
        "recall": at.recall[:, 0],
        "f1": np.where(np.isnan(at.recall[:, 0]), np.nan, at.f1[:, 0]),
        "false_boxes": 1000 * ratio(weights @ pictures.per_group(false), frames),
        "alarmed": 1000 * ratio(weights @ pictures.per_group(np.unique(false)), frames),
    }
    if pictures.fps:
        every = weights @ pictures.per_group(np.arange(len(pictures.sequences)))
        minutes = every / pictures.fps / 60
        found["false_per_minute"] = ratio(weights @ pictures.per_group(loose), minutes)
    return found


def by_group(matches: Matches, pictures: Pictures) -> Matches:
    """The same matches with sequences in place of pictures, to be weighted by sequence."""
    group = pictures.group
    return dataclasses.replace(
        matches,
        truth=dataclasses.replace(matches.truth, image=group[matches.truth.image]),
        found=dataclasses.replace(matches.found, image=group[matches.found.image]),
        images=pictures.groups,
    )


def _grouped(sweep: Sweep, pictures: Pictures) -> dict[str, Any]:
    truths = np.bincount(pictures.group, weights=sweep.truths, minlength=pictures.groups)
    return {"image": pictures.group[sweep.image], "truths": truths}


def curves(protocol: BoxProtocol, system: System, classes: Sequence[str]) -> list[dict[str, Any]]:
    """What is drawn and written as curves.csv; precision and recall of the pictures themselves."""
    once = np.ones((1, system.matches.images))
    if protocol.operating:
        swept = levels(pool(system.matches, range(len(classes))), once)
        columns = {"recall": swept.recall[0], "precision": swept.precision[0], "f1": swept.f1[0]}
        return [{"class": "all", "score": swept.score} | columns]
    each = [interpolate(system.matches.sweep(k), once).precision[0] for k in range(len(classes))]
    recall = np.linspace(0, 1, 101)
    mean = mean_known(np.array([each]))
    named = {"all": mean} | (dict(zip(classes, each, strict=True)) if len(classes) > 1 else {})
    return [{"class": name, "recall": recall, "precision": p} for name, p in named.items()]
