"""Settings of the smallest training of a detector, and what its log says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fissura.config import build_settings
from fissura.train.config import TrainConfig

SINGLE: dict[str, Any] = {
    "model": "yolox_s",
    "arguments": {"width": 0.125},
    "data": {"frames": 1},
}


def config(root: Path, **changes: Any) -> TrainConfig:
    """A narrow network for clips of two frames; `changes` replace settings, of `data` each."""
    data = {"kind": "sequences", "root": str(root), "sets": {"belt": 1.0}, "frames": 2}
    values: dict[str, Any] = {
        "name": "tiny",
        "model": "beltcrackdet",
        "arguments": {"width": 0.125, "frames": 2},
        "data": data | {"size_hw": [64, 64], "validation_limit": 3} | changes.pop("data", {}),
        "augment": {"recipe": "clip"},
        "stages": [{"iterations": 4, "batch_size": 2, "scale": [0.9, 1.2]}],
        "loss": {"kind": "detection", "reduction": "mean"},
        "optimiser": {"lr": 2e-3},
        "ema_decay": 0.9,
        "validate_every": 4,
        "checkpoint_every": 1,
        "threads": 1,
    }
    return build_settings(TrainConfig, values | changes, "test")


def lines(out: Path) -> list[dict[str, Any]]:
    """What a run logged."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
