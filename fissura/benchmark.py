"""How fast one model runs, or two side by side: latency, throughput, memory, cost, stages.

Times cover what an engine does with a picture already at network scale: uint8 in, arrays out. The
stages are those of a whole run beside it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fissura.costs import Cost, cost_of, stage_times
from fissura.engines import ENGINES, BaseEngine, Engine, Features, available_cores, open_engine
from fissura.export.check import compare
from fissura.types import InputError, SettingError, UInt8Image
from fissura.weights import ModelCard, companion, resolve

NAIVE = "naive"
WARM_UP = 2
STAGE_PICTURES = 5


@dataclass(frozen=True)
class Workload:
    """What is timed: `frames` runs on noise of `size_hw` with `threads` (None: all free cores).

    `size_hw` None is 1024×1024, or what a detector sees. `memory` has two that are compared run
    once more, each in a process of its own. `clip` frames are given at once, or with `stream` one
    by one, to the first of two: then the time is that of one new frame.
    """

    size_hw: tuple[int, int] | None = None
    frames: int = 20
    threads: int | None = None
    precision: str = "float32"
    memory: bool = True
    clip: int = 1
    stream: bool = False

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise InputError(f"frames: {self.frames} is too few; give 1 or more")
        if min(self.network_hw) < 1:
            raise InputError(f"size: {self.size_hw} is empty; give height and width above 0")

    @property
    def network_hw(self) -> tuple[int, int]:
        """Height and width that are timed."""
        return self.size_hw or (1024, 1024)

    def fitted(self, card: ModelCard) -> Workload:
        """The same for a detector's size and number of frames, where it is one."""
        size_hw = self.size_hw or (card.network_hw if card.classes else None)
        return replace(self, size_hw=size_hw, clip=card.frames)

    def picture(self) -> UInt8Image:
        """The same noise every time: H×W×3, or T×H×W×3."""
        times = (self.clip,) if self.clip > 1 else ()
        shape = (*times, *self.network_hw, 3)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@dataclass(frozen=True)
class Timing:
    """One model on one engine.

    `peak_memory_mb` is that of the whole process, for two that are compared that of one in which
    each runs alone; None where unknown. `stages_ms` of one picture of a whole run, where the model
    alone is timed.
    """

    model: str
    engine: str
    precision: str
    size_hw: tuple[int, int]
    frames: int
    threads: int
    median_ms: float
    p95_ms: float
    megapixels_per_s: float
    cost: Cost
    streams: bool = False
    peak_memory_mb: float | None = None
    stages_ms: dict[str, float] | None = None

    def __str__(self) -> str:
        height, width = self.size_hw
        memory = f", peak {self.peak_memory_mb:.0f} MB" if self.peak_memory_mb else ""
        streams = ", streaming" if self.streams else ""
        lines = [
            f"{self.model} on {self.engine} {self.precision}, {height}×{width}{streams},"
            f" {self.threads} threads: median {self.median_ms:.1f} ms, p95 {self.p95_ms:.1f} ms,"
            f" {self.megapixels_per_s:.2f} MP/s{memory}; {self.cost}"
        ]
        if self.stages_ms:
            slowest = max(self.stages_ms, key=self.stages_ms.__getitem__)
            told = ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.stages_ms.items())
            lines.append(f"one picture, stage by stage: {told}; the bottleneck is {slowest}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Comparison:
    """Two models run in turn: how often `first` runs in the time that `second` needs for one.

    `ratio` is the median of the paired ratios, `ratio_low` and `ratio_high` their quartiles;
    `largest_difference` and `p99_difference` of the outputs are those of `export.check`, None where
    the outputs differ in form.
    """

    first: Timing
    second: Timing
    ratio: float
    ratio_low: float
    ratio_high: float
    largest_difference: float | None
    p99_difference: float | None

    def __str__(self) -> str:
        speed = (
            f"the first is {self.ratio:.2f} times as fast"
            f" (quartiles {self.ratio_low:.2f} to {self.ratio_high:.2f})"
        )
        parts = [speed]
        if self.first.peak_memory_mb and self.second.peak_memory_mb:
            share = self.first.peak_memory_mb / self.second.peak_memory_mb
            parts.append(f"{share:.2f} of the memory")
        if self.largest_difference is None:
            parts.append("outputs of another form")
        else:
            parts.append(f"largest difference {self.largest_difference:.1e}")
            parts.append(f"99 % within {self.p99_difference:.1e}")
        return f"{self.first}\n{self.second}\n{'; '.join(parts)}"


def benchmark(model: str | Path, engine: str = "auto", workload: Workload | None = None) -> Timing:
    """Times one model on one engine."""
    workload = workload or Workload()
    opened = open_engine(model, engine, workload.precision, workload.threads)
    workload = workload.fitted(opened.card)
    run = prepare(opened, workload)
    _reset_peak_memory()
    (seconds,) = interleave([run], workload.frames).T
    found = _timing(opened, workload, workload.precision, seconds, _peak_memory_mb())
    return replace(found, stages_ms=_stages_ms(opened, workload))


def _stages_ms(engine: Engine, workload: Workload) -> dict[str, float] | None:
    pictures = min(workload.frames, STAGE_PICTURES)
    try:
        spent = stage_times(engine, workload.network_hw, pictures)
    except SettingError:  # It finds no cracks, only enlarges.
        return None
    return {name: 1e3 * seconds for name, seconds in spent.seconds.items()}


def prepare(engine: Engine, workload: Workload) -> Callable[[], Any]:
    """A function that runs the engine once on the workload; streaming, on one new frame."""
    picture = workload.picture()
    if not workload.stream:
        return lambda: engine.run(picture)
    if not engine.streams:
        raise InputError(
            f"--stream: {engine.card.name} on {engine.name} does not stream; choose a detector of"
            " several frames, exported with its two parts, or --engine torch"
        )
    frames = deque(picture)
    ring: deque[Features] = deque(map(engine.run_frame, frames), len(frames))

    def step() -> Any:
        frames.rotate(-1)
        ring.append(engine.run_frame(frames[-1]))
        return engine.fuse(list(ring))

    return step


def _whole(engine: Engine, workload: Workload) -> Callable[[UInt8Image], Any]:
    """The outputs for all frames of a picture, which `prepare` may be in the middle of."""
    if not workload.stream:
        return engine.run
    return lambda clip: engine.fuse([engine.run_frame(frame) for frame in clip])


def versus(
    model: str | Path, engine: str, other: str, workload: Workload | None = None
) -> Comparison:
    """Times two models in turn, so that other load on the machine falls on both.

    `other` is "naive" (the network's class, eager float32, from the same weights), or MODEL,
    MODEL:ENGINE or :ENGINE, which runs in float32.
    """
    workload = workload or Workload()
    opening: list[Callable[[], Engine]] = [
        partial(open_engine, model, engine, workload.precision, workload.threads),
        partial(_open_other, model, other, workload.threads),
    ]
    first, second = (opens() for opens in opening)
    workload = workload.fitted(first.card)
    picture = workload.picture()
    windows = replace(workload, stream=False)
    runs = [prepare(first, workload), prepare(second, windows)]
    seconds = interleave(runs, workload.frames)
    low, middle, high = np.percentile(seconds[:, 1] / seconds[:, 0], [25, 50, 75])
    try:
        gap = compare(_whole(first, workload), second.run, [picture])
    except ValueError:
        gap = None
    works = zip(opening, (workload, windows), strict=True)
    peaks = [peak_alone(opens, work) if work.memory else None for opens, work in works]
    return Comparison(
        _timing(first, workload, workload.precision, seconds[:, 0], peaks[0]),
        _timing(second, windows, "float32", seconds[:, 1], peaks[1]),
        float(middle),
        float(low),
        float(high),
        gap.largest_difference if gap else None,
        gap.p99_difference if gap else None,
    )


def interleave(
    runs: Sequence[Callable[[], Any]],
    frames: int,
    clock: Callable[[], float] = time.perf_counter,
) -> NDArray[np.float64]:
    """Seconds of every run, frames × runs: in turn, every other round backwards."""
    for _ in range(WARM_UP):
        for run in runs:
            run()
    seconds = np.zeros((frames, len(runs)))
    for row in range(frames):
        order = range(len(runs)) if row % 2 == 0 else reversed(range(len(runs)))
        for column in order:
            start = clock()
            runs[column]()
            seconds[row, column] = clock() - start
    return seconds


def peak_alone(opens: Callable[[], Engine], workload: Workload) -> float | None:
    """Peak resident MB of a fresh process that opens an engine and runs it; None where unknown."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_peak_of, opens, workload).result()
    except BrokenProcessPool:  # The system ended it, most likely for want of memory.
        return None


def _peak_of(opens: Callable[[], Engine], workload: Workload) -> float | None:
    run = prepare(opens(), workload)
    for _ in range(WARM_UP):
        run()
    return _peak_memory_mb()


class NaiveEngine(BaseEngine):
    """The network's class as it stands: eager, float32, channels first, nothing folded."""

    name = NAIVE

    def __init__(self, path: Path, threads: int) -> None:
        try:
            import torch

            from fissura.export.runs import torch_run
            from fissura.weights.network import Deployed, load_module
        except ImportError:
            raise InputError(
                "--vs naive: needs torch; install it with `pip install 'fissura[train]'`"
            ) from None
        torch.set_num_threads(threads)
        network, card = load_module(path)
        self.card: ModelCard = card
        self._run = torch_run(Deployed(network, card))

    def run(self, image: UInt8Image) -> dict[str, NDArray[np.float32]]:
        """H×W×3 uint8 RGB at network scale → named outputs without batch axis."""
        outputs: Mapping[str, NDArray[np.float32]] = self._run(image)
        return dict(outputs)


def _open_other(model: str | Path, other: str, threads: int | None) -> Engine:
    if other == NAIVE:
        return NaiveEngine(companion(resolve(model), ".safetensors"), threads or available_cores())
    name, _, engine = other.rpartition(":")
    if engine not in ENGINES:  # A path may hold colons of its own.
        name, engine = other, "auto"
    return open_engine(name or model, engine, "float32", threads)


def _timing(
    engine: Engine,
    workload: Workload,
    precision: str,
    seconds: NDArray[np.float64],
    peak_memory_mb: float | None = None,
) -> Timing:
    median, p95 = np.percentile(seconds, [50, 95])
    height, width = workload.network_hw
    return Timing(
        model=engine.card.title,
        engine=engine.name,
        precision=precision,
        size_hw=workload.network_hw,
        frames=workload.frames,
        threads=workload.threads or available_cores(),
        median_ms=1e3 * float(median),
        p95_ms=1e3 * float(p95),
        megapixels_per_s=height * width / 1e6 / float(median),
        cost=cost_of(engine.card, workload.network_hw, workload.stream),
        streams=workload.stream,
        peak_memory_mb=peak_memory_mb,
    )


def _reset_peak_memory() -> None:
    """Linux starts its peak afresh on this; elsewhere the peak covers the whole process so far."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory_mb() -> float | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    peaks = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peaks[0]) / 1024 if peaks else None
