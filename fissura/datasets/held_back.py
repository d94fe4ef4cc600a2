"""Reads held_back.yaml, the one list of pictures that no training, tuning or choice may touch."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from fissura.datasets.grouping import photograph

ELSEWHERE = {
    "khanhha": {
        "CFD_": "cfd",
        "CRACK500_": "crack500_crops",
        "DeepCrack_": "deepcrack537",
        "": "khanhha_mix",
    },
    "crack500": {"": "crack500_crops"},
}
"""Larger set -> beginning of its names -> the listed set that holds pictures of it."""


@cache
def _document() -> dict[str, Any]:
    text = files("fissura.datasets").joinpath("held_back.yaml").read_text("utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def held_back() -> dict[str, frozenset[str]]:
    """Data set -> stems (for nested sets `sequence/stem`) that are kept for the final score."""
    return {name: frozenset(stems) for name, stems in _document()["sets"].items()}


def kept_back(dataset: str, names: Iterable[str]) -> frozenset[str] | None:
    """Names of a set that are held back; of a larger set whole photographs; None if unlisted."""
    listed = held_back()
    if dataset in listed:
        return listed[dataset]
    if dataset not in ELSEWHERE:
        return None
    kept = {
        photograph(dataset, start + stem.removesuffix("_test"))
        for start, of in ELSEWHERE[dataset].items()
        for stem in listed[of]
    }
    return frozenset(name for name in names if photograph(dataset, name) in kept)


def known_overlaps() -> dict[str, frozenset[str]]:
    """Data set -> held-back stems that overlap a training picture in the source's own split."""
    return {name: frozenset(stems) for name, stems in _document()["known_overlaps"].items()}


def same_place(dataset: str) -> tuple[tuple[str, ...], ...]:
    """Photographs (or stems) of a set that show one place and must stay on one side."""
    places = _document()["same_place"]
    own = [tuple(names) for names in places.get(dataset, ())]
    for start, of in ELSEWHERE.get(dataset, {}).items():
        for names in places.get(of, ()):
            own.append(tuple(photograph(dataset, start + name) for name in names))
    return tuple(own)
