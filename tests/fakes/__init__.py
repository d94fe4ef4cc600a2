"""Small made-up data sets, one generator for every entry of DATASETS, and planted faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fakes import (
    crack500,
    crack_index,
    crackforest,
    deepcrack537,
    folders,
    khanhha,
    pairs,
)

GENERATORS: dict[str, Callable[[Path, int], list[str]]] = {
    "pairs": pairs.generate,
    "crackforest": crackforest.generate,
    "deepcrack537": deepcrack537.generate,
    "khanhha": khanhha.generate,
    "crack500": crack500.generate,
    "crack_index": crack_index.generate,
    "folders": folders.generate,
}
"""Data set -> function of folder and count that writes pictures and truths, returning names."""

NATURE: dict[str, set[str]] = {"khanhha": {"lossy_masks"}, "crack_index": {"thin_truth"}}
"""Data set -> kinds of notes that a check rightly has on a sound copy of it."""
