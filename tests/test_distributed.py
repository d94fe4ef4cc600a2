"""Two processes that train together do what one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from belt_set import write_belt_set  # noqa: E402
from conftest import ROOT  # noqa: E402

from fissura.config import build_settings, dump_yaml  # noqa: E402
from fissura.train.config import TrainConfig  # noqa: E402
from fissura.train.distributed import ALONE, Team  # noqa: E402
from fissura.types import InputError  # noqa: E402

SCRIPT = Path(__file__).parent / "team_run.py"


def settings(root: Path) -> TrainConfig:
    values: dict[str, Any] = {
        "name": "team",
        "model": "yolox_s",
        "arguments": {"width": 0.0625},
        "data": {
            "kind": "sequences",
            "root": str(root),
            "sets": {"belt": 1.0},
            "frames": 1,
            "size_hw": [64, 64],
            "validation_limit": 2,
        },
        "augment": {"recipe": "clip"},
        "stages": [{"iterations": 3, "batch_size": 4, "scale": [0.9, 1.2]}],
        "loss": {"kind": "detection"},
        "optimiser": {"name": "sgd", "lr": 1e-3},
        "validate_every": 3,
        "checkpoint_every": 3,
        "threads": 1,
    }
    return build_settings(TrainConfig, values, "test")


def start(out: Path, config: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(SCRIPT), str(config), str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path} | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(dump_yaml(settings(write_belt_set(tmp_path))), "utf-8")
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    running = [
        start(tmp_path / "team", config, meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    running.append(start(tmp_path / "one", config, {}))
    for process in running:
        _, said = process.communicate(timeout=500)
        assert process.returncode == 0, said

    names = ["rank0", "rank1", "rankalone"]
    first, second, alone = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in names
    )
    assert first.keys() == alone.keys()
    for name, values in first.items():
        assert torch.equal(values, second[name]), name
        assert torch.allclose(values, alone[name], rtol=1e-3, atol=1e-5), name
    losses = [
        [line["loss"] for line in lines(tmp_path / out) if "loss" in line]
        for out in ("team", "one")
    ]
    assert len(losses[0]) == 3
    assert np.allclose(*losses, rtol=1e-4)
    assert [line["validation"] for line in lines(tmp_path / "team") if "validation" in line]


def test_a_batch_is_shared_evenly() -> None:
    team = [Team(rank, 2, "cpu") for rank in range(2)]
    batch = torch.arange(6)
    assert [part.share(batch).tolist() for part in team] == [[0, 1, 2], [3, 4, 5]]
    assert torch.equal(ALONE.share(batch), batch)
    with pytest.raises(InputError, match=r"batch_size: 5 is that of all 2 processes"):
        team[0].share(batch[:5])
