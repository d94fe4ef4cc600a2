"""Faults of region masks: what is scored must be there, and must not be the truth again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fissura.datasets.check.files import Known, Say, sizes
from fissura.datasets.check.finding import Finding
from fissura.datasets.check.traps import read_or_none
from fissura.datasets.layout import Part
from fissura.types import BoolMask

LEAST_SHARE = 0.1


def region_faults(one: Part, known: Known, say: Say) -> Iterator[Finding]:
    """Region masks that are missing, of another size, empty, small, or the label itself."""
    regions, labels = dict(one.regions), dict(one.masks or ())
    small, copied = list[Path](), list[Path]()
    for name, path in one.pictures if regions else ():
        region = regions.get(name)
        if region is None:
            yield say("missing_region", "error", [path], "no region mask of this name; add it")
            continue
        yield from sizes(known[path], known[region], say)
        marked = read_or_none(region)
        if marked is None:
            continue
        if not marked.any():
            yield say("empty_region", "error", [region], "nothing is scored here; remake the mask")
        elif _is_label(marked, labels.get(name)):
            copied.append(region)
        elif marked.mean() < LEAST_SHARE:
            small.append(region)
    if copied:
        message = (
            f"{len(copied)} region masks mark the label's own pixels, so a map white all over would"
            " be perfect; remake them or rename their folder"
        )
        yield say("region_is_label", "error", copied, message)
    if small:
        message = f"{len(small)} region masks cover less than {LEAST_SHARE:.0%} of their pictures"
        yield say("small_region", "warning", small, f"{message}; check that they are regions")


def _is_label(region: BoolMask, label: Path | None) -> bool:
    truth = read_or_none(label) if label else None
    return truth is not None and not region.all() and np.array_equal(region, truth)
