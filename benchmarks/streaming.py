"""A streaming detector over a rendered belt: equal to the whole network, once per frame, how fast.

    python benchmarks/streaming.py --size 512x512 --threads 2
    python benchmarks/streaming.py --width 0.125 --size 64x96 --frames 50 --rounds 3 --threads 1

First `--frames` frames go through the stream one by one, while the passes of the backbone and the
memory are counted; then the network as its class stands answers the windows of every
`--compare-every`th frame, and logits and boxes are compared. Then all engines take the next frame
in turn with a naive reference (`naive_belt.py`: eager float32, channels first, five backbone passes
a window), frame to boxes, letterbox and suppression included. Weights are random unless `--model`
names a file; without its exported graphs beside it, they are written to a temporary folder, and an
int8 export with them.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from naive import NETWORKS, Reference
from ways import export_int8, frame_by_frame, open_engines

from fissura.benchmark import NaiveEngine, interleave
from fissura.config import PredictSettings
from fissura.decode import decode_boxes, found_boxes
from fissura.detect import Window
from fissura.engines import BaseEngine, Engine, available_cores, open_engine
from fissura.export import export_model
from fissura.letterbox import Letterbox
from fissura.models import MODELS
from fissura.models.yolox import Body
from fissura.synth import BeltScene
from fissura.types import UInt8Image
from fissura.weights import ModelCard, read_card
from fissura.weights.network import new_card, save_safetensors
from fissura.weights.parts import parts_of

SURE = 50
"""So many cells of the first frame are above the threshold where weights are random."""

GAIN, QUIET = 1.6, 0.4
"""Of weights, by the inputs of a sum: maps neither fade nor grow."""

EARLY = 100

CALIBRATED, FEWEST = 12, 16
"""Windows of a belt that int8 takes its ranges from, and so many frames hold them."""

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def random_detector(name: str, width: float, size_hw: tuple[int, int], folder: Path) -> Path:
    """A network whose frames and branches all tell, as a file."""
    torch.manual_seed(0)
    network = MODELS[name](width=width).eval()
    for part, values in network.state_dict().items():
        if part.endswith("running_var"):
            values.uniform_(0.5, 2)
        elif values.ndim == 4:
            # What the graph layer takes must be small: it multiplies neighbours.
            gain = QUIET if part.startswith("neck.tar.") else GAIN
            spread = 0.5 if "_preds" in part else (gain / values[0].numel()) ** 0.5
            values.normal_(0, spread)
    path = folder / f"{name}.safetensors"
    save_safetensors(network, new_card(name, {"width": width}, size_hw=size_hw), path)
    return path


class Plain(BaseEngine):
    """A network without streaming behind the interface of an engine."""

    def __init__(self, runner: Any) -> None:
        self.name, self.card, self.run = runner.name, runner.card, runner.run


@dataclass
class Counts:
    """What one frame after the other cost."""

    passes: int = 0
    peak_early_mb: float = 0.0
    peak_mb: float = 0.0


def stream_all(
    engine: Engine, frames: Iterator[UInt8Image], settings: PredictSettings, log: Path
) -> Counts:
    """All frames through one window; raw outputs go to a file, so that nothing grows here."""
    counts, window, forward = Counts(), Window(engine.card), Body.forward

    def counted(self: Body, x: torch.Tensor) -> Any:
        counts.passes += len(x)
        return forward(self, x)

    Body.forward = counted  # type: ignore[method-assign]
    fuse = engine.fuse
    with log.open("wb") as file:

        def kept(features: Any) -> Any:
            raw = fuse(features)
            file.write(raw["boxes_raw"].tobytes())
            return raw

        engine.fuse = kept  # type: ignore[method-assign]
        for number, frame in enumerate(frames, 1):
            window.push(frame)
            window.detect(engine, settings)
            if number == EARLY:
                counts.peak_early_mb = peak_mb()
    engine.fuse, Body.forward = fuse, forward  # type: ignore[method-assign]
    counts.peak_mb = peak_mb()
    return counts


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(
    offline: NaiveEngine, scene: BeltScene, log: Path, every: int
) -> tuple[int, float, int]:
    """Windows compared, largest difference by magnitude, frames with other boxes."""
    card, shape = offline.card, (-1, *raw_shape(offline))
    streamed = np.fromfile(log, np.float32).reshape(shape)
    box = Letterbox(scene.size_wh[::-1], card.network_hw, card.resize)
    largest, others, numbers = 0.0, 0, range(0, len(streamed), every)
    for number in numbers:
        places = [max(number - back, 0) for back in reversed(range(card.frames))]
        clip = np.stack([box.apply(scene.frame(place).image) for place in places])
        raw = offline.run(clip)["boxes_raw"]
        gap = float(np.abs(raw - streamed[number]).max() / np.abs(raw).max())
        largest = max(largest, gap)
        others += not same_boxes(raw, streamed[number], card)
    return len(numbers), largest, others


def raw_shape(engine: NaiveEngine) -> tuple[int, ...]:
    """Of the output for one window."""
    height, width = engine.card.network_hw
    return 5 + len(engine.card.classes), height // 8, width // 8


def same_boxes(one: Any, two: Any, card: ModelCard) -> bool:
    """As many boxes after suppression, each at the place of one of the others, to 1e-3 of it.

    From a score on that no cell has up to rounding: of some fifty the widest gap.
    """
    rows = decode_boxes({"boxes_raw": one}, card.strides)
    scores = np.sort(rows[:, 4] * rows[:, 5:].max(axis=1))[::-1][SURE - 10 : SURE + 11]
    widest = int(np.argmax(scores[:-1] - scores[1:]))
    limits = float(scores[widest : widest + 2].mean()), card.nms_iou
    first, second = (
        found_boxes({"boxes_raw": raw}, card.strides, *limits)[0] for raw in (one, two)
    )
    near = np.isclose(first[:, None], second, rtol=1e-3, atol=0.05).all(axis=2)
    return len(first) == len(second) and bool(near.any(axis=0).all() and near.any(axis=1).all())


def threshold_of(engine: Engine, frame: UInt8Image) -> float:
    """A score with room to both sides that leaves `SURE` cells of a frame."""
    window = [engine.run_frame(frame)] * engine.card.frames
    rows = decode_boxes(engine.fuse(window), engine.card.strides)
    scores = np.sort(rows[:, 4] * rows[:, 5:].max(axis=1))[-SURE - 1 :]
    return float(np.clip(scores[:2].mean(), 1e-6, 1 - 1e-6))


def open_all(path: Path, int8: Path, threads: int) -> dict[str, Engine]:
    """The naive reference first, the whole network in its own class, then whatever streams."""
    opened: dict[str, Engine] = {}
    if read_card(path).name in NETWORKS:
        opened["naive window"] = Plain(Reference(path))
    opened["class, window"] = Plain(NaiveEngine(path, threads))
    for name, engine in open_engines(path, int8, threads):
        opened[f"{name}, streaming"] = engine
    return opened


def windows(scene: BeltScene, frames: int) -> list[UInt8Image]:
    """The last windows of a belt, which int8 takes its ranges from."""
    ends = range(len(scene), max(frames - 1, len(scene) - CALIBRATED), -1)
    return [
        np.stack([scene.frame(number).image for number in range(end - frames, end)]) for end in ends
    ]


def time_all(
    engines: dict[str, Engine],
    frames: list[UInt8Image],
    settings: PredictSettings,
    rounds: int,
    clock: Callable[[], float],
) -> Iterator[str]:
    """Markdown rows: frame to boxes with every engine in turn."""
    gaps = differences(engines, frames)
    steps = [one_step(engine, frames, settings) for engine in engines.values()]
    seconds = interleave(steps, rounds, clock)
    for column, name in enumerate(engines):
        own = seconds[:, column]
        low, ratio, high = np.percentile(seconds[:, 0] / own, [25, 50, 75])
        median, p95 = np.percentile(own, [50, 95])
        yield (
            f"| {name} | {1 / median:.2f} | {1e3 * median:.0f} | {1e3 * p95:.0f} |"
            f" {ratio:.2f} ({low:.2f} to {high:.2f}) | {gaps[name]:.1e} |"
        )


def differences(engines: dict[str, Engine], frames: list[UInt8Image]) -> dict[str, float]:
    """Of every engine's logits from the first one's, by the largest of these, on one window."""
    raws = {}
    for name, engine in engines.items():
        window = frames[: engine.card.frames]
        whole = not engine.streams
        found = engine.run_clip(np.stack(window)) if whole else frame_by_frame(engine, window)
        raws[name] = found["boxes_raw"]
    first = next(iter(raws.values()))
    return {
        name: float(np.abs(raw - first).max() / np.abs(first).max()) for name, raw in raws.items()
    }


def one_step(
    engine: Engine, frames: list[UInt8Image], settings: PredictSettings
) -> Callable[[], object]:
    """Takes the next frame, with a full window before it."""
    window, count = Window(engine.card), 0
    for frame in frames[: engine.card.frames]:
        window.push(frame)
    window.detect(engine, settings)

    def step() -> object:
        nonlocal count
        count += 1
        window.push(frames[(engine.card.frames + count) % len(frames)])
        return window.detect(engine, settings)

    return step


def report(path: Path, options: argparse.Namespace, folder: Path) -> int:
    """Prints both parts; 1 where streaming is not the whole network."""
    card = read_card(path)
    scene = BeltScene(7, card.network_hw[::-1], options.frames)
    engine = open_engine(path, "torch", threads=options.threads)
    settings = PredictSettings(threshold=threshold_of(engine, scene.frame(0).image))
    images = (frame.image for frame in scene)
    counts = stream_all(engine, images, settings, folder / "raw")
    calls = counts.passes / options.frames
    print(f"frames {options.frames}, backbone passes a frame {calls:.2f}")
    early = f"{counts.peak_early_mb:.0f} MB at frame {EARLY}, " if counts.peak_early_mb else ""
    print(f"peak memory {early}{counts.peak_mb:.0f} MB at the last")
    offline = NaiveEngine(path, options.threads)
    count, largest, others = compare(offline, scene, folder / "raw", options.compare_every)
    print(
        f"{count} windows compared: logits differ by {largest:.1e} of the largest at most,"
        f" {others} frames with other boxes\n"
    )
    del engine, offline
    int8 = export_int8(path, folder, windows(scene, card.frames))
    first = [scene.frame(number).image for number in range(min(16, options.frames))]
    engines = open_all(path, int8, options.threads)
    print("| network | frames/s | median ms to boxes | p95 ms | ratio (quartiles) | difference |")
    print("|-|-|-|-|-|-|")
    for row in time_all(engines, first, settings, options.rounds, CLOCKS[options.clock]):
        print(row, flush=True)
    return int(largest > 1e-5 or others > 0 or calls != 1)


def main() -> int:
    """Makes or finds the network, then reports."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--model", type=Path, help="a safetensors file; default random weights")
    parser.add_argument("--name", default="beltcrackdet", help="network with random weights")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--size", default="512x512", help="height x width of what it sees")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--compare-every", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20, help="timed frames of each engine")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    if options.frames < FEWEST:
        parser.error(f"--frames: {FEWEST} or more, which int8 takes its ranges from")
    height, width = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = options.model or random_detector(
            options.name, options.width, (height, width), folder
        )
        return report(_with_graphs(path, folder), options, folder)


def _with_graphs(path: Path, folder: Path) -> Path:
    """The file in the folder, its exported graphs beside it."""
    onnx = path.with_suffix(".onnx")
    graphs = [onnx, *parts_of(onnx)]
    complete = all(graph.is_file() for graph in graphs)
    for given in [path, *(graphs if complete else [])]:
        if given.parent != folder:
            shutil.copy(given, folder)
    if not complete:
        print(f"export: {export_model(path, folder / onnx.name)}")
    return folder / path.name


if __name__ == "__main__":
    sys.exit(main())
