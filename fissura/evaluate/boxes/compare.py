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
        for a, b in zip(rows[0], theirs, strict=True):
            if a["class"] != "all":
                continue
            for score in (s for s in BOX_HEADLINE if s in a["scores"] and s in b["scores"]):
                both = a["scores"][score], b["scores"][score]
                if np.isnan(both[0][0]) and np.isnan(both[1][0]):
                    continue
                found.append(
                    {"a": names[0], "b": name, "rule": a["rule"], "name": score}
                    | _difference(score, *both, groups)
                )
    return found


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
