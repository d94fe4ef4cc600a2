"""The training loop: one visible `for`, everything model-specific in the task.

A run folder holds config.yaml, environment.json, metrics.jsonl, last.pt (everything that a resumed
run needs, bit for bit on a CPU) and best.safetensors (the average with the best validation score).
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from fissura.config import dump_yaml, load_settings
from fissura.models import MODELS
from fissura.models.building import build_network, restart
from fissura.train.checkpoint import LAST, MovingAverage, load_checkpoint, save_checkpoint
from fissura.train.clips import ClipBatch
from fissura.train.config import SequenceSettings, TrainConfig
from fissura.train.data import Batch, batches
from fissura.train.distributed import Team, joined, share_statistics
from fissura.train.optimiser import build_optimiser
from fissura.train.schedule import learning_rate
from fissura.train.score import AnyScore, score_line
from fissura.train.tasks import BadRunError, Task
from fissura.train.work import Work, prepare
from fissura.types import InputError
from fissura.weights.network import new_card, save_safetensors
from fissura.weights.official import start_from

BEST = "best.safetensors"
FREE_ON_RESUME: Any = {
    **dict.fromkeys(("threads", "workers", "device", "checkpoint_every"), True),
    "data": {"cache_mb"},
}
"""Settings that a resumed run may have otherwise."""
BAD_RUN_AFTER = 3
"""Validations in a row without a single crack found before a run is given up."""

Report = Callable[[dict[str, Any]], None]


@dataclass
class RunState:
    """All that changes while a run goes on."""

    network: nn.Module
    average: MovingAverage
    optimiser: torch.optim.Optimizer
    iteration: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    empty_validations: int = 0
    data: str = ""

    def save(self, path: Path) -> None:
        """Write everything that a resumed run needs."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "iteration": self.iteration,
            "seconds": self.seconds,
            "best": self.best,
            "empty_validations": self.empty_validations,
            "torch_rng": torch.get_rng_state(),
            "data": self.data,
        }
        save_checkpoint(path, state)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of the same experiment on the same data."""
        state = load_checkpoint(path)
        try:
            data = state.get("data", self.data)  # runs begun before this was stored have none
            self.network.load_state_dict(state["network"])
            self.average.network.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.iteration, self.seconds = int(state["iteration"]), float(state["seconds"])
            self.empty_validations = int(state["empty_validations"])
            # Runs begun before there was a score of pictures keep their best in another entry.
            self.best = dict(state.get("best", {"f1": state.get("best_f1", -1.0)}))
            torch.set_rng_state(state["torch_rng"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"{path} belongs to another network; give the run of it") from error
        if data != self.data:
            raise InputError(
                f"resume: the frames of data.sets are no longer those that {path} was made with; "
                "put them back, or begin a new run"
            )


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    stop_at: int | None = None,
    report: Report | None = None,
) -> Path:
    """Train `config` in the run folder `out`; returns the path of the best weights.

    `resume` continues from last.pt in `out`; `stop_at` ends before that iteration as an
    interruption would. `report` gets every line of metrics.jsonl.

    Raises InputError for wrong settings or data, BadRunError when the loss or its gradient is not a
    number or nothing is found any more; last.pt then holds the last checkpoint before that.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.workers:
        cv2.setNumThreads(1)  # every worker has pictures of its own
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: no CUDA device is here; set device: cpu")
    out.mkdir(parents=True, exist_ok=True)
    end = min(stop_at or config.iterations, config.iterations)
    with joined(config.device) as team:
        _train(config, out, team, resume, end, report)
    return out / BEST


def _train(
    config: TrainConfig, out: Path, team: Team, resume: bool, end: int, report: Report | None
) -> None:
    """The loop itself; of a team only the first process validates, logs and saves."""
    state = _start(config, team, resume)
    work = prepare(state.network, config, team)
    state.data = work.data
    if resume:
        _require_same_run(config, out)
        state.restore(out / LAST)
    if team.writes:
        _forget_lines_after(out, state.iteration) if resume else _write_run(config, out)
    coming = batches(work.draw, range(state.iteration, end), config.workers)
    with _metrics(out, report, team) as log, closing(coming):
        for notice in work.notices:
            log({"iteration": state.iteration, "notice": notice})
        began = time.monotonic()
        for iteration, batch in coming:
            line = _iterate(work.task, state, config, batch.to(team.device))
            state.iteration = iteration + 1
            state.seconds += time.monotonic() - began
            log(line | {"seconds": round(state.seconds, 2)})
            if team.writes and _due(state, config.validate_every, config.iterations):
                log(_validate(work, state, config, out))
            if team.writes and _due(state, config.checkpoint_every, end):
                state.save(out / LAST)
            began = time.monotonic()


def _due(state: RunState, every: int, last: int) -> bool:
    return state.iteration % every == 0 or state.iteration == last


def _start(config: TrainConfig, team: Team, resume: bool) -> RunState:
    torch.manual_seed(config.seed)
    if config.model not in MODELS:
        raise InputError(f"model: '{config.model}' is unknown; choose one of {', '.join(MODELS)}")
    network = build_network(config.model, config.arguments, "arguments")
    if config.init == "he":
        restart(network)
    for path in () if resume else config.warm_start:
        start_from(network, config.model, path)
    if team.size > 1 and config.sync_norms:
        share_statistics(network)
    network = network.to(team.device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = build_optimiser(network, config.optimiser)
    return RunState(network, MovingAverage(network, config.ema_decay, config.ema_warmup), optimiser)


def _iterate(
    task: Task, state: RunState, config: TrainConfig, batch: Batch | ClipBatch
) -> dict[str, Any]:
    """One optimiser step; returns the line for the log."""
    rate = learning_rate(state.iteration, config.iterations, config.optimiser, config.schedule)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    parts = task.step(batch, state.iteration)
    values = {name: float(part.detach()) for name, part in parts.items()}
    if not math.isfinite(values["loss"]):
        raise BadRunError(
            f"iteration {state.iteration}: the loss is {values['loss']}; lower optimiser.lr or set "
            "optimiser.clip_norm, and resume from last.pt"
        )
    state.optimiser.zero_grad(set_to_none=True)
    # A team takes the mean of its processes' gradients; the sum is that of the whole batch.
    (task.team.size * parts["loss"]).backward()  # type: ignore[no-untyped-call]
    longest = config.optimiser.clip_norm or math.inf
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), longest)
    if not math.isfinite(norm):
        raise BadRunError(
            f"iteration {state.iteration}: the gradient is {float(norm)}; lower optimiser.lr and "
            "resume from last.pt"
        )
    state.optimiser.step()
    state.average.update(state.network, state.iteration)
    return {"iteration": state.iteration, "lr": rate} | values


def _validate(work: Work, state: RunState, config: TrainConfig, out: Path) -> dict[str, Any]:
    """Score the average; keep it where it is the best so far."""
    network = state.average.network
    score = work.validate(network)
    measure, value = score.best_by
    if value > state.best.get(measure, -math.inf):
        state.best[measure] = value
        _save_best(network, config, score, out)
    state.empty_validations = state.empty_validations + 1 if score.found_nothing else 0
    if state.empty_validations >= BAD_RUN_AFTER:
        boxes = isinstance(config.data, SequenceSettings)
        weight = "loss.obj" if boxes else "loss.class_weights for cracks"
        raise BadRunError(
            f"iteration {state.iteration}: {BAD_RUN_AFTER} validations in a row found no crack at "
            f"all; raise {weight} or lower optimiser.lr"
        )
    return {"iteration": state.iteration, "validation": score_line(score)}


def _save_best(network: nn.Module, config: TrainConfig, score: AnyScore, out: Path) -> None:
    notes: dict[str, Any] = {}
    if score.threshold is not None:
        notes = {"threshold": score.threshold, "threshold_from": "validation"}
    summary = f"{config.name}: {score.told()}"
    if config.degrade:
        summary += f", pictures reduced by {config.degrade.scale} ({config.degrade.operator})"
    if isinstance(config.data, SequenceSettings):
        data = config.data
        notes |= {"classes": data.classes, "size_hw": data.size_hw, "resize": data.resize}
    card = new_card(
        config.model,
        dict(config.arguments),
        input_scale=config.input_scale,
        trained_on=", ".join(config.data.sets),
        summary=summary,
        **notes,
    )
    save_safetensors(network, card, out / BEST)


def _write_run(config: TrainConfig, out: Path) -> None:
    if (out / "metrics.jsonl").exists():
        raise InputError(f"{out} holds an earlier run; give another --out, or --resume it")
    (out / "config.yaml").write_text(dump_yaml(config), "utf-8")
    environment = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }
    (out / "environment.json").write_text(json.dumps(environment, indent=1), "utf-8")


def _require_same_run(config: TrainConfig, out: Path) -> None:
    """A resumed run keeps its settings, but for where, how fast and how safely it goes on."""
    stored = out / "config.yaml"
    if not stored.exists():
        raise InputError(f"{stored} is not there; give the folder of an earlier run")
    before = load_settings(stored, TrainConfig).model_dump(exclude=FREE_ON_RESUME)
    for name, value in config.model_dump(exclude=FREE_ON_RESUME).items():
        if value != before[name]:
            raise InputError(
                f"resume: {name} differs from {stored}; leave the change out, or begin a new run"
            )


def _forget_lines_after(out: Path, iteration: int) -> None:
    """Drop what an interrupted run logged after its last checkpoint: it will be done again."""
    path = out / "metrics.jsonl"
    kept = []
    for text in path.read_text("utf-8").splitlines(keepends=True) if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:  # cut off while it was written
            continue
        if line["iteration"] < iteration + ("validation" in line):
            kept.append(text)
    path.write_text("".join(kept), "utf-8")


@contextmanager
def _metrics(out: Path, report: Report | None, team: Team) -> Iterator[Report]:
    """Write each line to metrics.jsonl, to TensorBoard where installed, and to `report`."""
    if not team.writes:
        yield lambda _line: None
        return
    board = _tensorboard(out)
    with (out / "metrics.jsonl").open("a", encoding="utf-8") as file:

        def log(line: dict[str, Any]) -> None:
            file.write(json.dumps(line) + "\n")
            file.flush()
            if board is not None:
                _draw(board, line)
            if report is not None:
                report(line)

        try:
            yield log
        finally:
            if board is not None:
                board.close()


def _tensorboard(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out / "tensorboard"))


def _draw(board: Any, line: dict[str, Any]) -> None:
    if "notice" in line:
        board.add_text("notice", line["notice"], line["iteration"])
        return
    values = line.get("validation", line)
    prefix = "validation" if "validation" in line else "train"
    for name, value in values.items():
        if name != "iteration":
            board.add_scalar(f"{prefix}/{name}", value, line["iteration"])
