"""Reads held_back.yaml, the one list of pictures that no training, tuning or choice may touch."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def _document() -> dict[str, Any]:
    text = files("fissura.datasets").joinpath("held_back.yaml").read_text("utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def held_back() -> dict[str, frozenset[str]]:
    """Data set -> stems (for nested sets `sequence/stem`) that are kept for the final score."""
    return {name: frozenset(stems) for name, stems in _document()["sets"].items()}


def known_overlaps() -> dict[str, frozenset[str]]:
    """Data set -> held-back stems that overlap a training picture in the source's own split."""
    return {name: frozenset(stems) for name, stems in _document()["known_overlaps"].items()}


def same_place(dataset: str) -> tuple[tuple[str, ...], ...]:
    """Photographs (or stems) of a set that show one place and must stay on one side."""
    return tuple(tuple(names) for names in _document()["same_place"].get(dataset, ()))
