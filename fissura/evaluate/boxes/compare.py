"""The first system against each of the others, on the same resamples of the sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fissura.evaluate.boxes.protocols import BOX_HEADLINE, BOX_TITLES, FEWER_IS_BETTER
from fissura.evaluate.paired import doubt, interval_cell, value_cell, verdict
from fissura.evaluate.scoring import quantity

Row = dict[str, Any]


def compare(names: Sequence[str], rows: Sequence[Sequence[Row]], groups: int) -> list[Row]:
    """A (the first) minus B of every headline score over all classes, with its interval."""
    found = []
    for name, theirs in zip(names[1:], rows[1:], strict=True):
        pairs = zip(rows[0], theirs, strict=True)
        for a, b in (pair for pair in pairs if pair[0]["class"] == "all"):
            head = {"a": names[0], "b": name, "rule": a["rule"]}
            found += [head | score for score in _differences(a["scores"], b["scores"], groups)]
    return found


def _differences(a: Row, b: Row, groups: int) -> list[Row]:
    both = [name for name in BOX_HEADLINE if name in a and name in b]
    known = [name for name in both if not np.isnan([a[name][0], b[name][0]]).all()]
    return [{"name": name} | _difference(name, a[name], b[name], groups) for name in known]


def _difference(score: str, a: Any, b: Any, groups: int) -> Row:
    difference = quantity(a - b)
    known = int(np.count_nonzero(~np.isnan((a - b)[1:])))
    words = verdict(difference, score in FEWER_IS_BETTER, doubt(groups, known, "sequences"))
    values = [quantity(each[:1])["value"] for each in (a, b)]
    return {"values": values, "difference": difference, "says": words}


def table(found: Sequence[Row]) -> list[dict[str, str]]:
    """Table rows, a score each."""
    return [
        {
            "A": row["a"],
            "B": row["b"],
            "score": BOX_TITLES[row["name"]] + (f" ({row['rule']})" if row["rule"] else ""),
            "of A": value_cell(row["values"][0]),
            "of B": value_cell(row["values"][1]),
            "A − B": interval_cell(row["difference"]),
            "in words": row["says"],
        }
        for row in found
    ]
