"""Small made-up data sets, one generator for every entry of DATASETS, and planted faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fakes import crackforest, folders, pairs

GENERATORS: dict[str, Callable[[Path, int], list[str]]] = {
    "pairs": pairs.generate,
    "crackforest": crackforest.generate,
    "folders": folders.generate,
}
"""Data set -> function of folder and count that writes pictures and truths, returning names."""
