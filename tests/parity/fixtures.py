"""Recorded outputs of the originals: found, loaded and compared array by array.

A fixture folder holds golden.json (what each array is, tolerances), golden.npz (the arrays) and
keys.json (the original's state dict, rebuilt by `fill`). They are looked for in `fixtures/` here,
or in the folder that the environment variable FISSURA_PARITY names, whatever their own folders are
called: the system (or method) stands in golden.json, or else is the folder's name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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

    def describe(self, name: str) -> str:
        """What golden.json says about an array."""
        return str(self.golden["arrays"][name]["desc"])

    def state(self) -> dict[str, NDArray[Any]]:
        """The state dict, plainly filled."""
        return fill.filled(self.folder / "keys.json")

    def close(self, name: str, got: NDArray[Any], *, atol: float = 0.0, rtol: float = 0.0) -> None:
        """`got` equals the recorded array within atol + rtol × its largest magnitude."""
        if name not in self.arrays:
            return  # this fixture was recorded without it
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
        if name in self.arrays:
            self.left[name] = reason

    def holds(self, prefix: str) -> bool:
        """Whether golden.json names an array of that kind."""
        return any(name.startswith(prefix) for name in self.golden["arrays"])

    def forgotten(self) -> list[str]:
        """Arrays that golden.json names and that were neither compared nor left."""
        return sorted(set(self.golden["arrays"]) - set(self.compared) - set(self.left))

    def account(self) -> str:
        """How many arrays were compared and which were left, with the reason."""
        head = f"{self.folder.name}: {len(self.compared)} of {len(self.arrays)} arrays compared"
        return "\n  ".join([head, *(f"left {name}: {why}" for name, why in self.left.items())])


def root(default: Path = HERE) -> Path:
    """Where fixtures are looked for."""
    return Path(os.environ.get("FISSURA_PARITY") or default)


def systems(folder: Path) -> dict[Path, str]:
    """Every fixture below `folder` with the published system that it records."""
    golden = {path.parent: json.loads(path.read_text()) for path in folder.glob("*/golden.json")}
    return {
        path: str(told.get("system") or told.get("method", path.name)).lower()
        for path, told in sorted(golden.items())
    }


def find(system: str, default: Path = HERE) -> list[Path]:
    """Folders of the fixtures of one system."""
    return [path for path, name in systems(root(default)).items() if name == system]


def load(folder: Path) -> Fixture:
    """Read one fixture folder; every array must be described."""
    golden = json.loads((folder / "golden.json").read_text())
    if isinstance(golden["arrays"], list):
        golden["arrays"] = {about["name"]: about for about in golden["arrays"]}
    with np.load(folder / "golden.npz") as arrays:
        fixture = Fixture(folder, golden, dict(arrays))
    assert set(golden["arrays"]) == set(fixture.arrays)
    return fixture


def check_all(
    folder: Path,
    checks: Mapping[str, Callable[[Fixture], None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Run the check of every kind of array that the fixture holds; none may be forgotten."""
    fixture = load(folder)
    for prefix, check in checks.items():
        if fixture.holds(prefix):
            check(fixture)
    with capsys.disabled():
        print(f"\n{fixture.account()}")
    assert fixture.compared
    assert not fixture.forgotten()


def image_in(text: str) -> NDArray[np.float32]:
    """The array that a `fill.image(seed, shape…)` inside `text` stands for."""
    found = IMAGE.search(text)
    assert found, f"no fill.image(…) in {text!r}"
    seed, *shape = (int(part) for part in found[1].split(","))
    return fill.image(seed, *shape)


def labels_in(text: str) -> NDArray[np.int64]:
    """The 0/1 labels that a "fill.image(seed, shape…) > t" inside `text` stands for."""
    found = re.search(r"\) > ([\d.]+)", text)
    assert found, f"no fill.image(…) > t in {text!r}"
    return (image_in(text) > float(found[1])).astype(np.int64)
