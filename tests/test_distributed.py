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
TEAM_VARIABLES = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


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


@pytest.mark.slow
def test_torchrun_trains_what_one_process_trains(tmp_path: Path) -> None:
    root = write_belt_set(tmp_path)
    small = [
        f"data.root={root}",
        "data.sets={belt: 1.0}",
        "data.classes=[crack]",
        "arguments.classes=1",
        "data.size_hw=[96, 96]",
        "data.validation_limit=2",
        "stages=[{iterations: 2, batch_size: 4}]",
        "optimiser={name: sgd, lr: 1e-6}",  # larger steps enlarge what rounding leaves
        "validate_every=2",
        "checkpoint_every=2",
    ]
    changes = [part for change in small for part in ("--set", change)]
    command = [
        "-m",
        "fissura",
        "train",
        str(ROOT / "configs" / "beltcrackdet_smoke.yaml"),
        *changes,
    ]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    said = {
        "team": finished([*torchrun, *command, "--json", "--out", str(tmp_path / "team")]),
        "one": finished([*command, "--json", "--out", str(tmp_path / "one")]),
    }
    for name, text in said.items():
        assert json.loads(text)["weights"] == str(tmp_path / name / "best.safetensors")
        assert (tmp_path / name / "best.safetensors").is_file()
        assert [line["iteration"] for line in lines(tmp_path / name)] == [0, 1, 2]
    written = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in said]
    assert written[0] == written[1]
    losses = [[line["loss"] for line in lines(tmp_path / name)[:2]] for name in said]
    assert np.allclose(*losses, rtol=1e-3)


def finished(arguments: list[str]) -> str:
    """Standard output of a Python process that must end well."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    alone = {key: value for key, value in os.environ.items() if key not in TEAM_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env=alone | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_batch_is_shared_evenly() -> None:
    team = [Team(rank, 2, "cpu") for rank in range(2)]
    batch = torch.arange(6)
    assert [part.share(batch).tolist() for part in team] == [[0, 1, 2], [3, 4, 5]]
    assert torch.equal(ALONE.share(batch), batch)
    with pytest.raises(InputError, match=r"batch_size: 5 is that of all 2 processes"):
        team[0].share(batch[:5])
