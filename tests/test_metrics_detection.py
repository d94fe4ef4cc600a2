"""Scores of boxes against pycocotools on random cases, and against plain loops."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fissura.metrics.average_precision import (
    at_score,
    average_precision,
    f1,
    interpolate,
    levels,
    precision_up_to_recall,
)
from fissura.metrics.coco import COCO_SCORES, coco_scores
from fissura.metrics.detection import (
    AREAS,
    IOUS,
    FoundBoxes,
    Matches,
    Sweep,
    TrueBoxes,
    match,
)

STATS = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
)
CLOSE = {"rtol": 0, "atol": 1e-12}


def truths(rows: list[tuple[Any, ...]]) -> TrueBoxes:
    """Rows of picture, class, box, crowd, area."""
    return TrueBoxes(
        np.array([row[0] for row in rows], np.intp),
        np.array([row[1] for row in rows], np.intp),
        np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        np.array([row[4] for row in rows], np.float64),
        np.array([row[3] for row in rows], np.bool_),
    )


def founds(rows: list[tuple[Any, ...]]) -> FoundBoxes:
    """Rows of picture, class, box, score."""
    return FoundBoxes(
        np.array([row[0] for row in rows], np.intp),
        np.array([row[1] for row in rows], np.intp),
        np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        np.array([row[3] for row in rows], np.float64),
    )


def reference(
    images: int, classes: int, true: list[tuple[Any, ...]], found: list[tuple[Any, ...]]
) -> COCOeval:
    """pycocotools on the same boxes, quietly."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(images)],
            "categories": [{"id": k} for k in range(classes)],
            "annotations": [
                {"id": n, "image_id": i, "category_id": k, "bbox": list(box), "area": area}
                | {"iscrowd": int(crowd)}
                for n, (i, k, box, crowd, area) in enumerate(true, 1)
            ],
        }
        coco.createIndex()
        results = COCO()
        results.dataset = dict(coco.dataset)
        results.dataset["annotations"] = [
            {"id": n, "image_id": i, "category_id": k, "bbox": list(box), "score": score}
            | {"area": box[2] * box[3], "iscrowd": 0}
            for n, (i, k, box, score) in enumerate(found, 1)
        ]
        results.createIndex()
        judge = COCOeval(coco, results, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge


def equal_to_the_reference(
    images: int, classes: int, true: list[tuple[Any, ...]], found: list[tuple[Any, ...]]
) -> None:
    judge = reference(images, classes, true, found)
    matches = match(truths(true), founds(found), images)
    once = np.ones((1, images))
    ours = coco_scores(matches, range(classes), once)
    for name, want in zip(STATS, judge.stats, strict=True):
        got = -1.0 if np.isnan(ours[name][0]) else ours[name][0]
        assert got == pytest.approx(want, abs=1e-12), name
    for k in range(classes):
        for t, iou in enumerate(IOUS):
            for a, area in enumerate(AREAS):
                curve = interpolate(matches.sweep(k, iou, area), once)
                want = judge.eval["precision"][t, :, k, a, 2]
                np.testing.assert_allclose(np.nan_to_num(curve.precision[0], nan=-1), want, **CLOSE)


sides = st.sampled_from([0.0, 4.0, 8.0, 10.0, 30.0, 32.0, 33.0, 60.0, 96.0, 110.5])
places = st.sampled_from([0.0, 1.0, 5.0, 10.0, 20.5])
boxes = st.tuples(places, places, sides, sides)
scores = st.sampled_from([0.1, 0.2, 0.5, 0.5, 0.9, 0.9])
areas = st.sampled_from([0.0, 50.0, 1024.0, 1025.0, 9216.0, 9217.0, 20000.0])


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    images, classes = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    image, label = st.integers(0, images - 1), st.integers(0, classes - 1)
    true = draw(st.lists(st.tuples(image, label, boxes, st.booleans(), areas), max_size=12))
    found = draw(st.lists(st.tuples(image, label, boxes, scores), max_size=25))
    # Boxes that repeat a true one, so that overlaps of 1 and ties between boxes are common.
    again = draw(st.lists(st.tuples(st.integers(0, 20), scores), max_size=8))
    found += [(*true[n % len(true)][:3], score) for n, score in again if true]
    return images, classes, true, found


@settings(max_examples=150, deadline=None)
@given(cases())
def test_equal_to_pycocotools(
    case: tuple[int, int, list[tuple[Any, ...]], list[tuple[Any, ...]]],
) -> None:
    equal_to_the_reference(*case)


def random_case(
    seed: int, images: int, found_each: int
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Boxes of all sizes; detections that move with a true box, and others that do not."""
    rng = np.random.default_rng(seed)
    true, found = [], []
    for i in range(images):
        for _ in range(rng.integers(0, 5)):
            box = np.concatenate([rng.uniform(0, 300, 2), 2 ** rng.uniform(3, 8, 2)])
            true.append((i, int(rng.integers(2)), tuple(box), rng.random() < 0.1, box[2] * box[3]))
            for _ in range(rng.integers(0, 3)):
                near = box + rng.normal(0, 0.1, 4) * np.tile(box[2:], 2)
                near[2:] = np.abs(near[2:])
                found.append((i, true[-1][1], tuple(near), round(rng.random(), 2)))
        for _ in range(found_each):
            box = np.concatenate([rng.uniform(0, 300, 2), 2 ** rng.uniform(3, 8, 2)])
            found.append((i, int(rng.integers(2)), tuple(box), round(rng.random() ** 2, 2)))
    return true, found


@pytest.mark.parametrize(("seed", "images", "found_each"), [(0, 60, 3), (1, 6, 250), (2, 30, 0)])
def test_equal_to_pycocotools_on_many_boxes(seed: int, images: int, found_each: int) -> None:
    equal_to_the_reference(images, 2, *random_case(seed, images, found_each))


def test_order_of_the_lists_does_not_matter_without_ties() -> None:
    true, found = random_case(3, 20, 2)
    found = [(*row[:3], row[3] + n * 1e-6) for n, row in enumerate(found)]
    mixed = [found[n] for n in np.random.default_rng(0).permutation(len(found))]
    once = np.ones((1, 20))
    first, second = (
        coco_scores(match(truths(true), founds(rows), 20), range(2), once)
        for rows in (found, mixed)
    )
    for name in COCO_SCORES:
        assert first[name] == pytest.approx(second[name])


def repeated(
    true: list[tuple[Any, ...]], found: list[tuple[Any, ...]], times: list[int]
) -> Matches:
    """The case with picture i standing there `times[i]` times."""
    copies = [i for i, n in enumerate(times) for _ in range(n)]
    rows = [
        [(new, *row[1:]) for new, old in enumerate(copies) for row in part if row[0] == old]
        for part in (true, found)
    ]
    return match(truths(rows[0]), founds(rows[1]), len(copies))


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_repeated_pictures(seed: int) -> None:
    true, found = random_case(seed, 12, 2)
    found = [(*row[:3], row[3] + n * 1e-6) for n, row in enumerate(found)]
    times = np.random.default_rng(seed).multinomial(12, np.full(12, 1 / 12), size=3)
    matches = match(truths(true), founds(found), 12)
    weighted = coco_scores(matches, range(2), times.astype(np.float64))
    for b, each in enumerate(times):
        copied = repeated(true, found, list(each))
        want = coco_scores(copied, range(2), np.ones((1, 12)))
        for name in COCO_SCORES:
            assert weighted[name][b] == pytest.approx(want[name][0], nan_ok=True), name


def plain_counts(sweep: Sweep, threshold: float) -> tuple[int, int]:
    kept = sweep.score >= threshold
    return int((sweep.hit & kept).sum()), int((~sweep.hit & kept).sum())


def test_levels_are_the_plain_counts_and_hold_the_best_f1() -> None:
    true, found = random_case(5, 40, 2)
    sweep = match(truths(true), founds(found), 40).sweep(0)
    once = np.ones((1, 40))
    swept = levels(sweep, once)
    for k, score in enumerate(swept.score):
        right, wrong = plain_counts(sweep, score)
        assert (swept.steps.right[0, k], swept.steps.wrong[0, k]) == (right, wrong)
        one = at_score(sweep, once, float(score))
        assert (one.steps.right[0, 0], one.steps.wrong[0, 0]) == (right, wrong)
    total = sweep.truths.sum()
    every = [plain_counts(sweep, t) for t in np.unique(sweep.score)]
    best = max(2 * right / (right + wrong + total) for right, wrong in every)
    assert swept.f1.max() == pytest.approx(best)


def test_nothing_found_and_nothing_to_find() -> None:
    box = (0, 0, (0, 0, 10, 10))
    true, found = [(*box, False, 100.0)], [(*box, 0.7)]
    once = np.ones((1, 2))
    missed = interpolate(match(truths(true), founds([]), 2).sweep(0), once)
    assert missed.recall[0] == 0
    assert average_precision(missed)[0] == 0
    assert precision_up_to_recall(missed)[0] == 0
    assert f1(np.zeros(1), np.zeros(1))[0] == 0
    empty = interpolate(match(truths([]), founds(found), 2).sweep(0), once)
    assert np.isnan(empty.recall[0])
    assert np.isnan(average_precision(empty)[0])
    assert np.isnan(precision_up_to_recall(empty)[0])
    assert levels(match(truths([]), founds([]), 2).sweep(0), once).f1.size == 0


def test_what_a_detection_took() -> None:
    true = [(0, 0, (0, 0, 10, 10), False, 100.0), (0, 0, (50, 0, 10, 10), True, 100.0)]
    found = [(0, 0, (50, 0, 10, 10), 0.9), (0, 0, (0, 0, 10, 9), 0.8), (0, 0, (0, 0, 10, 10), 0.7)]
    matches = match(truths(true), founds(found), 1)
    assert matches.taken.tolist() == [1, 0, -1]
    sweep = matches.sweep(0)
    assert sweep.hit.tolist() == [True, False]
    assert sweep.truths.tolist() == [1]


def test_boxes_of_any_size_count() -> None:
    zeros = np.zeros(1, np.intp)
    box = np.array([[0, 0, 2e5, 1e5]])
    truth = TrueBoxes(zeros, zeros, box, box[:, 2] * box[:, 3], np.zeros(1, bool))
    found = match(truth, FoundBoxes(zeros, zeros, box, np.ones(1)), 1)
    assert found.sweep(0).truths.tolist() == [1]
    assert found.sweep(0, area="large").hit.tolist() == [True]
