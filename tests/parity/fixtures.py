"""Recorded outputs of the originals: found, loaded and compared array by array.

A fixture folder holds golden.json (what each array is, tolerances), golden.npz (the arrays) and
keys.json (the original's state dict, rebuilt by `fill`). They are looked for in `fixtures/` here,
or in the folder that the environment variable FISSURA_PARITY names.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import fill

HERE = Path(__file__).resolve().parent / "fixtures"
IMAGE = re.compile(r"fill\.image\(([\d, ]+)\)")


@dataclass
class Fixture:
    """One folder of recorded arrays, and the account of what was compared."""

    folder: Path
    golden: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    compared: dict[str, float] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """Which published system it records."""
        return str(self.golden["system"])

    def describe(self, name: str) -> str:
        """What golden.json says about an array."""
        return str(self.golden["arrays"][name]["desc"])

    def state(self) -> dict[str, NDArray[Any]]:
        """The state dict, plainly filled."""
        return fill.filled(self.folder / "keys.json")

    def close(self, name: str, got: NDArray[Any], *, atol: float = 0.0, rtol: float = 0.0) -> None:
        """`got` equals the recorded array within atol + rtol × its largest magnitude."""
        want = self.arrays[name]
        assert got.shape == want.shape, f"{name}: shape {got.shape}, recorded {want.shape}"
        difference = np.abs(got.astype(np.float64) - want.astype(np.float64))
        largest = float(difference.max(initial=0))
        allowed = atol + rtol * float(np.abs(want).max(initial=0))
        assert np.isfinite(got).all(), f"{name}: not every value is finite"
        assert largest <= allowed, f"{name}: differs by {largest:.3g}, allowed {allowed:.3g}"
        self.compared[name] = largest

    def leave(self, name: str, reason: str) -> None:
        """Account for an array that is an input or cannot be compared."""
        self.left[name] = reason

    def account(self) -> str:
        """How many arrays were compared and which were left, with the reason."""
        head = f"{self.folder.name}: {len(self.compared)} of {len(self.arrays)} arrays compared"
        return "\n  ".join([head, *(f"left {name}: {why}" for name, why in self.left.items())])


def find(system: str) -> list[Path]:
    """Folders of the fixtures of one system."""
    root = Path(os.environ.get("FISSURA_PARITY") or HERE)
    golden = sorted(root.glob("*/golden.json"))
    return [path.parent for path in golden if json.loads(path.read_text())["system"] == system]


def load(folder: Path) -> Fixture:
    """Read one fixture folder; every array must be described."""
    golden = json.loads((folder / "golden.json").read_text())
    with np.load(folder / "golden.npz") as arrays:
        fixture = Fixture(folder, golden, dict(arrays))
    assert set(golden["arrays"]) == set(fixture.arrays)
    return fixture


def image_in(text: str) -> NDArray[np.float32]:
    """The array that a `fill.image(seed, shape…)` inside `text` stands for."""
    found = IMAGE.search(text)
    assert found, f"no fill.image(…) in {text!r}"
    seed, *shape = (int(part) for part in found[1].split(","))
    return fill.image(seed, *shape)
