"""Every way to run a network here: its class, and each engine with each precision."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fissura.benchmark import NaiveEngine, Workload, prepare
from fissura.engines import Engine, open_engine
from fissura.export import export_model
from fissura.export.onnx import export_onnx
from fissura.types import UInt8Image
from fissura.weights import companion, resolve
from fissura.weights.network import load_module

ENGINES = (
    ("torch", "float32"),
    ("torch", "bf16"),
    ("onnxruntime", "float32"),
    ("onnxruntime", "int8"),
    ("openvino", "float32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
"""What an int8 file leaves in float32 runs in bf16 where the engine has it."""

ROUNDED = (
    ("float32", "onnxruntime", "float32"),
    ("float32", "torch", "float32"),
    ("float32", "openvino", "float32"),
    ("fp16", "onnxruntime", "float32"),
    ("float32", "openvino", "bf16"),
    ("float32", "torch", "bf16"),
    ("int8", "onnxruntime", "float32"),
    ("int8", "openvino", "float32"),
    ("int8", "openvino", "bf16"),
)
"""Precision of the file, engine, and its precision; the first is what others are compared with."""

Answer = dict[str, np.ndarray]


class Way(NamedTuple):
    """One way to run a network on a workload: what it gives, and what is timed.

    One that is `exact` differs by rounding in 32 bits alone.
    """

    answer: Callable[[], Answer]
    step: Callable[[], object]
    exact: bool = True


def open_ways(path: Path, workload: Workload, folder: Path) -> dict[str, Way]:
    """The class of the network first; int8 takes its ranges from other noise, in the folder."""
    assert workload.threads is not None
    picture = workload.picture()
    naive = NaiveEngine(path, workload.threads)
    ways = {"class, eager": Way(partial(naive.run, picture), partial(naive.run, picture))}
    other = np.random.default_rng(1).integers(0, 256, picture.shape, np.uint8)
    int8 = export_int8(path, folder, [other])
    for name, engine in open_engines(path, int8, workload.threads):
        exact = name.endswith("float32")
        ways[name] = Way(partial(engine.run, picture), prepare(engine, workload), exact)
        if engine.streams:
            step = prepare(engine, replace(workload, stream=True))
            answer = partial(frame_by_frame, engine, picture)
            ways[f"{name}, streaming"] = Way(answer, step, exact)
    return ways


def open_engines(path: Path, int8: Path, threads: int) -> Iterator[tuple[str, Engine]]:
    """All engines that are installed, of a safetensors file with its exports beside it."""
    for name, precision in ENGINES:
        if not importlib.util.find_spec(name):
            continue
        if precision != "int8":
            yield f"{name} {precision}", open_engine(path, name, precision, threads)
        elif name == "openvino":
            yield f"{name} int8 and bf16", open_engine(int8, name, "bf16", threads)
        else:
            yield f"{name} int8", open_engine(int8, name, threads=threads)


def open_rounded(
    model: str | Path, calibrate: Sequence[str], folder: Path, threads: int
) -> Iterator[tuple[str, Engine]]:
    """The model in every engine and precision, exported to the folder where it must be."""
    source = companion(resolve(model), ".safetensors")
    for numbers, name, precision in ROUNDED:
        path = source if name == "torch" else folder / f"{numbers}.onnx"
        if not path.is_file():
            own = calibrate if numbers == "int8" else ()
            agreement = export_model(source, path, precision=numbers, calibrate=own)
            print(f"{path.name}, {path.stat().st_size / 1e6:.2f} MB: {agreement}", flush=True)
        said = "" if numbers == "float32" else f", {numbers} file"
        yield f"{name} {precision}{said}", open_engine(path, name, precision, threads)


def export_int8(path: Path, folder: Path, pictures: Sequence[UInt8Image]) -> Path:
    """NAME.int8.onnx in the folder, of NAME.safetensors, with its ranges from the pictures."""
    module, card = load_module(path)
    out = folder / f"{path.stem}.int8.onnx"
    export_onnx(module, card, out, precision="int8", calibration=pictures)
    return out


def frame_by_frame(engine: Engine, clip: Sequence[UInt8Image]) -> Answer:
    """The outputs for a clip, every frame by itself first."""
    return engine.fuse([engine.run_frame(frame) for frame in clip])
