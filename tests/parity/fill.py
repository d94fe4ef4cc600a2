"""Deterministic parameters and inputs, so that parity fixtures need no weight files.

A fixture names every entry of a published implementation's state dict with its shape and how it
was filled; `filled` rebuilds exactly those arrays anywhere, from the entry's name alone. Loading
them through the project's checkpoint importer must then reproduce the fixture's recorded outputs.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np


def fill(name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Return the array for one state-dict entry, determined by its name, shape and kind.

    kind:
      weight   normal, scaled by sqrt(2 / fan_in), fan_in: the product of all axes but the first
      scale    uniform in [0.5, 1.5): 1-D gains (norm weight, PReLU slope), running variances
      offset   normal times 0.1: biases, running means, zero-initialised scalars
      counter  integer zero: num_batches_tracked
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if kind == "weight":
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        return (rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(np.float32)
    if kind == "scale":
        return (rng.random(shape) + 0.5).astype(np.float32)
    if kind == "offset":
        return (rng.standard_normal(shape) * 0.1).astype(np.float32)
    if kind == "counter":
        return np.zeros(shape, np.int64)
    raise ValueError(f"unknown fill kind {kind!r} for {name!r}")


def kind_of(name: str, shape: tuple[int, ...], is_float: bool) -> str:
    """Choose the fill kind the way every fixture here does."""
    leaf = name.rsplit(".", 1)[-1]
    if not is_float or leaf == "num_batches_tracked":
        return "counter"
    if leaf == "running_var" or (leaf == "weight" and len(shape) == 1):
        return "scale"
    if len(shape) <= 1:
        return "offset"
    return "weight"


def filled(keys_file: str | Path) -> dict[str, np.ndarray]:
    """Rebuild a fixture's state dict from its keys.json.

    keys.json: a list of [name, shape, kind]; entries of kind 'constant' (fixed buffers such as
    wavelet filters or index tables, which the implementation computes itself) are left out.
    """
    entries = json.loads(Path(keys_file).read_text())
    return {
        name: fill(name, tuple(shape), kind) for name, shape, kind in entries if kind != "constant"
    }


def image(seed: int, *shape: int) -> np.ndarray:
    """Return a deterministic input of the given shape, float32 uniform in [0, 1)."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)
