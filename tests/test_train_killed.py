"""A training that is killed in the middle and resumed ends as one that nobody disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from belt_set import write_belt_set  # noqa: E402
from conftest import ROOT  # noqa: E402

from fissura.config import build_settings, dump_yaml  # noqa: E402
from fissura.train.config import TrainConfig  # noqa: E402
from fissura.weights import read_card  # noqa: E402

ITERATIONS, EVERY = 10, 3
PATIENCE_S = 300


def settings(root: Path) -> TrainConfig:
    """Clips drawn in shuffled order and changed by chance, an average, a moving learning rate."""
    data = {"kind": "sequences", "root": str(root), "sets": {"belt": 1.0}, "frames": 2}
    values: dict[str, Any] = {
        "name": "killed",
        "model": "beltcrackdet",
        "arguments": {"width": 0.125, "frames": 2},
        "init": "he",
        "data": data | {"size_hw": [64, 64], "validation_limit": 2, "order": "shuffled"},
        "augment": {"recipe": "clip", "mirror": True, "noise": 0.5},
        "stages": [{"iterations": ITERATIONS, "batch_size": 2, "scale": [0.9, 1.2]}],
        "loss": {"kind": "detection", "reduction": "mean"},
        "optimiser": {"lr": 1e-3},
        "schedule": {"name": "cosine", "warmup": 4},
        "ema_decay": 0.9,
        "validate_every": 5,
        "checkpoint_every": EVERY,
        "threads": 1,
        "workers": 2,
    }
    return build_settings(TrainConfig, values, "test")


def start(arguments: list[str]) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "fissura", "train", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said


def lines(out: Path) -> list[dict[str, Any]]:
    """What was logged, but for the time that it took."""
    path = out / "metrics.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{name: value for name, value in one.items() if name != "seconds"} for one in found]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_and_resumed_equals_undisturbed(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(dump_yaml(settings(write_belt_set(tmp_path / "data"))), "utf-8")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start([str(config), "--out", str(whole)]))

    process = start([str(config), "--out", str(killed)])
    log, give_up = killed / "metrics.jsonl", time.monotonic() + PATIENCE_S
    while not log.exists() or log.read_text().count("\n") <= EVERY + 1:
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < give_up
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL
    assert 0 < torch.load(killed / "last.pt", weights_only=True)["iteration"] < ITERATIONS
    finish(start(["--resume", str(killed)]))

    assert lines(killed) == lines(whole)
    states = [torch.load(out / "last.pt", weights_only=True) for out in (whole, killed)]
    for state in states:
        assert state.pop("seconds") > 0
    same(*states)
    cards = [read_card(out / "best.safetensors") for out in (whole, killed)]
    assert cards[0].weights_sha256 == cards[1].weights_sha256 != ""
    assert cards[0].summary == cards[1].summary


def same(first: Any, second: Any, where: str = "last.pt") -> None:
    """Every tensor and number of the network, its average, the optimiser, the random numbers."""
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for name in first:
            same(first[name], second[name], f"{where}: {name}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for place, pair in enumerate(zip(first, second, strict=True)):
            same(*pair, f"{where}: {place}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    else:
        assert first == second, where
