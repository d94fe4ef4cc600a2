"""Which boxes are found, as the COCO evaluator decides it, for all pictures at once.

Detections go by falling score; each takes, of the true boxes of its picture and class that are not
taken yet, the one that it overlaps most. A crowd may be taken any number of times. What takes a
crowd, or a box outside the range of areas, counts neither as right nor as wrong, nor does an
unmatched detection outside that range.

Legend: D detections, G true boxes, T thresholds of overlap (IoU), A ranges of area, K most
candidates of one detection. Boxes are left, top, width, height, as COCO files have them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Index = NDArray[np.intp]
Flags = NDArray[np.bool_]
Values32 = NDArray[np.float32]

IOUS = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))
AREAS = {
    "all": (0.0, np.inf),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, np.inf),
}
"""Ranges of area in pixels, both ends included; the original leaves out what is over 1e10."""

MAX_DETECTIONS = 100
"""So many of a picture's detections of one class count, the best ones."""

ALMOST_ONE = 1 - 1e-10
PAIRS_AT_ONCE = 2_000_000
CELLS_AT_ONCE = 50_000


@dataclass(frozen=True)
class TrueBoxes:
    """True boxes of all pictures: number of the picture and of the class, G each; xywh G×4."""

    image: Index
    label: Index
    xywh: Values
    area: Values
    crowd: Flags


@dataclass(frozen=True)
class FoundBoxes:
    """Detections of all pictures: number of the picture and of the class, D each; xywh D×4."""

    image: Index
    label: Index
    xywh: Values
    score: Values


@dataclass(frozen=True)
class Sweep:
    """Detections of one class by falling score, with those left out that count for nothing.

    `hit` whether each is right, `image` where it stands; `truths` how many boxes the picture holds
    that have to be found.
    """

    hit: Flags
    score: Values
    image: Index
    truths: Values


@dataclass(frozen=True)
class Matches:
    """What `match` found. Detections stand by falling score, then by picture.

    `rank` of a detection among those of its picture and class; `hit` A×T×D whether it took a box,
    `ignored` A×T×D whether it counts for nothing, `taken` D the true box at the first threshold
    without regard to area (−1: none); `counted` A×G which true boxes have to be found.
    """

    truth: TrueBoxes
    found: FoundBoxes
    images: int
    ious: tuple[float, ...]
    areas: tuple[str, ...]
    rank: Index
    hit: Flags
    ignored: Flags
    taken: Index
    counted: Flags

    def sweep(
        self, label: int, iou: float = 0.5, area: str = "all", most: int = MAX_DETECTIONS
    ) -> Sweep:
        """The detections of a class at one threshold of overlap and one range of area."""
        a, t = self.areas.index(area), self.ious.index(iou)
        keep = (self.found.label == label) & (self.rank < most) & ~self.ignored[a, t]
        wanted = self.counted[a] & (self.truth.label == label)
        truths = np.bincount(self.truth.image[wanted], minlength=self.images)
        return Sweep(
            self.hit[a, t, keep],
            self.found.score[keep],
            self.found.image[keep],
            truths.astype(np.float64),
        )


def gather_truth(pictures: Sequence[tuple[Values32, Index]]) -> TrueBoxes:
    """Boxes n×4 xyxy and their classes, of every picture; those of class −1 are left out.

    Sizes are those of the boxes, none is a crowd.
    """
    image, label, xywh, _ = _gathered([(boxes, labels) for boxes, labels in pictures])
    return TrueBoxes(image, label, xywh, xywh[:, 2] * xywh[:, 3], np.zeros(len(label), np.bool_))


def gather_found(pictures: Sequence[tuple[Values32, Values32, Index]]) -> FoundBoxes:
    """Boxes n×4 xyxy, scores and classes of every picture; those of class −1 are left out."""
    image, label, xywh, known = _gathered([(boxes, labels) for boxes, _, labels in pictures])
    scores = [scores for _, scores, _ in pictures]
    score = np.concatenate([np.zeros(0), *scores]).astype(np.float64)
    return FoundBoxes(image, label, xywh, score[known])


def _gathered(
    pictures: Sequence[tuple[Values32, Index]],
) -> tuple[Index, Index, Values, Flags]:
    """Picture, class and xywh of every box that is kept, and which of all are."""
    label = np.concatenate([np.zeros(0, np.intp), *(labels for _, labels in pictures)])
    image = np.repeat(np.arange(len(pictures)), [len(labels) for _, labels in pictures])
    xyxy = np.concatenate([np.zeros((0, 4)), *(boxes for boxes, _ in pictures)])
    known: Flags = label >= 0
    xywh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)[known]
    return image[known], label[known].astype(np.intp), xywh, known


def pool(matches: Matches, labels: Sequence[int]) -> Sweep:
    """The detections of several classes by falling score, each matched within its class."""
    sweeps = [matches.sweep(label) for label in labels]
    score = np.concatenate([sweep.score for sweep in sweeps])
    order = np.argsort(-score, kind="stable")
    hit = np.concatenate([sweep.hit for sweep in sweeps])
    image = np.concatenate([sweep.image for sweep in sweeps])
    truths = np.sum([sweep.truths for sweep in sweeps], axis=0)
    return Sweep(hit[order], score[order], image[order], truths)


def match(
    truth: TrueBoxes,
    found: FoundBoxes,
    images: int,
    ious: Sequence[float] = IOUS,
    areas: Mapping[str, tuple[float, float]] = AREAS,
) -> Matches:
    """Match the detections of `images` pictures; `ious` rise, the first range holds every area."""
    found, rank = best_first(found)
    ranges = np.asarray(list(areas.values()), np.float64)
    counted = ~truth.crowd & _within(truth.area, ranges)
    limits = np.minimum(np.asarray(ious, np.float64), ALMOST_ONE)
    shape = len(ranges), len(limits), len(found.score)
    hit, ignored = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    taken = np.full(shape[2], -1, np.intp)
    free = np.ones((*shape[:2], len(truth.area)), np.bool_)
    for which, boxes, overlaps in _rounds(truth, found, float(limits[0])):
        allowed = free[:, :, boxes] & (overlaps >= limits[:, None, None])
        wanted = counted[:, None, boxes]
        allowed &= wanted | ~(allowed & wanted).any(axis=-1, keepdims=True)
        worth = np.where(allowed, overlaps, -1.0)
        # Of equal overlaps the last one is taken, as in the original.
        best = worth.shape[-1] - 1 - worth[..., ::-1].argmax(axis=-1)
        took: Flags = np.asarray(allowed.any(axis=-1))
        chosen = boxes[np.arange(len(boxes)), best]
        hit[:, :, which] = took
        ignored[:, :, which] = took & ~counted[np.arange(shape[0])[:, None, None], chosen]
        a, t, row = np.nonzero(took & ~truth.crowd[chosen])
        free[a, t, chosen[a, t, row]] = False
        taken[which] = np.where(took[0, 0], chosen[0, 0], -1)
    outside = ~_within(found.xywh[:, 2] * found.xywh[:, 3], ranges)
    ignored |= ~hit & outside[:, None]
    return Matches(
        truth, found, images, tuple(ious), tuple(areas), rank, hit, ignored, taken, counted
    )


def best_first(found: FoundBoxes) -> tuple[FoundBoxes, Index]:
    """The detections that count, by falling score, then picture; and each one's rank there."""
    order = np.lexsort((found.image, -found.score))
    rank = _rank(found.image[order], found.label[order])
    order, rank = order[rank < MAX_DETECTIONS], rank[rank < MAX_DETECTIONS]
    image, label = found.image[order], found.label[order]
    return FoundBoxes(image, label, found.xywh[order], found.score[order]), rank


def overlap(found: Values, truth: Values, crowd: Flags) -> Values:
    """Intersection over union of pairs of boxes n×4; for a crowd over the detection's own area."""
    low = np.maximum(found[:, :2], truth[:, :2])
    high = np.minimum(found[:, :2] + found[:, 2:], truth[:, :2] + truth[:, 2:])
    width, height = (high - low).T
    own, other = found[:, 2] * found[:, 3], truth[:, 2] * truth[:, 3]
    both = width * height
    union = np.where(crowd, own, own + other - both)
    out = np.zeros(len(found))
    np.divide(both, union, out=out, where=(width > 0) & (height > 0))
    return out


def _within(area: Values, ranges: Values) -> Flags:
    """A×n: whether each area lies in each range."""
    inside: Flags = (area >= ranges[:, :1]) & (area <= ranges[:, 1:])
    return inside


def _rank(image: Index, label: Index) -> Index:
    """How many earlier entries are of the same picture and class."""
    order = np.lexsort((label, image))
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(image[order]) != 0) | (np.diff(label[order]) != 0)
    first = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order)) - first
    return rank


def _rounds(
    truth: TrueBoxes, found: FoundBoxes, least: float
) -> Iterator[tuple[Index, Index, Values]]:
    """Detections that do not disturb each other: their numbers n, candidates n×K, overlaps n×K.

    The first round holds the best detection of every picture and class that overlaps anything, the
    second round the next one. Missing candidates have overlap −1.
    """
    which, boxes, overlaps = _candidates(truth, found, least)
    able, counts = np.unique(which, return_counts=True)
    starts = np.cumsum(counts) - counts
    turns = _rank(found.image[able], found.label[able])
    order = np.lexsort((counts, turns))  # of like number of candidates, so that little is padded
    ends = np.cumsum(np.bincount(turns))
    for start, end in zip(ends - np.bincount(turns), ends, strict=True):
        turn, at = order[start:end], 0
        while at < len(turn):
            step = max(1, CELLS_AT_ONCE // int(counts[turn[-1]]))
            rows = turn[at : at + step]
            at += step
            place = np.arange(counts[rows].max())
            real = place < counts[rows, None]
            pairs = np.where(real, starts[rows, None] + place, starts[rows, None])
            yield able[rows], boxes[pairs], np.where(real, overlaps[pairs], -1.0)


def _candidates(truth: TrueBoxes, found: FoundBoxes, least: float) -> tuple[Index, Index, Values]:
    """Pairs of a detection and a true box of its picture and class that overlap by `least`.

    They stand by detection, then by the order of the true boxes.
    """
    labels = 1 + max(found.label.max(initial=0), truth.label.max(initial=0))
    order = np.argsort(truth.image * labels + truth.label, kind="stable")
    sorted_cells = (truth.image * labels + truth.label)[order]
    cells = found.image * labels + found.label
    starts = np.searchsorted(sorted_cells, cells, "left")
    counts = np.searchsorted(sorted_cells, cells, "right") - starts
    empty = np.zeros(0, np.intp)
    kept = [(empty, empty, np.zeros(0))]
    for part in _split(counts, PAIRS_AT_ONCE):
        which = np.repeat(np.arange(part.start, part.stop), counts[part])
        shift = np.repeat(np.cumsum(counts[part]) - counts[part], counts[part])
        boxes = order[starts[which] + np.arange(len(which)) - shift]
        overlaps = overlap(found.xywh[which], truth.xywh[boxes], truth.crowd[boxes])
        keep = overlaps >= least
        kept.append((which[keep], boxes[keep], overlaps[keep]))
    which, boxes, overlaps = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return which, boxes, overlaps


def _split(counts: Index, limit: int) -> list[slice]:
    """Runs of entries whose counts sum up to about `limit` each."""
    bins = np.cumsum(counts) // limit
    edges = [0, *(np.flatnonzero(np.diff(bins)) + 1), len(counts)]
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges) if b > a]
