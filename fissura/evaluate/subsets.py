"""The parts of a data set that are scored by themselves as well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fissura.datasets.held_back import known_overlaps
from fissura.evaluate.job import Job, Key, keys
from fissura.sources import IMAGE_SUFFIXES
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
    if job.settings.without is not None:
        return _named(listed, pictures, "is scored"), f"named in {listed.name}"
    if listed.is_file():
        return _named(listed, keys(job.samples(None)), "is in the data set"), known
    overlaps = known_overlaps()
    return {(of, name) for of, name in pictures if name in overlaps.get(of, ())}, known


def _named(listed: Path, pictures: Sequence[Key], where: str) -> set[Key]:
    """The pictures named in a text file, a line each: by name, with or without set and suffix."""
    try:
        lines = [line.strip() for line in listed.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listed}: cannot be read; give a text file of names") from error
    known: dict[str, set[Key]] = {}
    for of, name in pictures:
        for written in (name, f"{of}/{name}"):
            known.setdefault(written, set()).add((of, name))
    found = {line: known.get(line) or known.get(_without_suffix(line)) for line in lines if line}
    unknown = [line for line, them in found.items() if them is None]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise InputError(
            f"{listed}: names {', '.join(map(repr, unknown[:3]))}{more}, but no such picture"
            f" {where}; write names as they stand in the data set"
        )
    return {key for them in found.values() for key in them or ()}


def _without_suffix(name: str) -> str:
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else name
