"""The parts of a data set that are scored by themselves as well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fissura.datasets.held_back import known_overlaps
from fissura.evaluate.job import Job, Key
from fissura.types import InputError

OVERLAP_LIST = Path("splits") / "test_overlaps_train.txt"


def find_subsets(job: Job, pictures: Sequence[Key]) -> dict[str, NDArray[np.intp]]:
    """All pictures; each set of several; all but the listed or known overlaps with training."""
    index = np.arange(len(pictures))
    subsets = {"all": index}
    sets = np.array([of for of, _ in pictures])
    if len(set(sets)) > 1:
        subsets |= {str(name): index[sets == name] for name in dict.fromkeys(sets)}
    out, origin = _left_out(job, pictures)
    keep = index[[picture not in out for picture in pictures]]
    if 0 < len(keep) < len(index):
        subsets[f"without the {len(index) - len(keep)} {origin}"] = keep
    elif job.settings.without is not None:
        raise InputError(f"{origin}: names none or all of the scored pictures; check the list")
    return subsets


def _left_out(job: Job, pictures: Sequence[Key]) -> tuple[set[Key], str]:
    listed = job.settings.without or job.data / OVERLAP_LIST
    known = "that overlap a training picture"
    if job.settings.without is None and not listed.is_file():
        overlaps = known_overlaps()
        return {(of, name) for of, name in pictures if name in overlaps.get(of, ())}, known
    try:
        names = {line.strip() for line in listed.read_text("utf-8").splitlines()}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listed}: cannot be read; give a text file of names") from error
    origin = known if job.settings.without is None else f"named in {listed.name}"
    return {(of, name) for of, name in pictures if name in names}, origin
