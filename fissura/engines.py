"""Arrays in, named arrays out: the same model file run by ONNX Runtime, OpenVINO or torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fissura.graphs import Arrays, Graph, GraphError, OnnxRuntimeGraph, OpenVinoGraph
from fissura.pixels import OWN_STATISTICS, to_planes
from fissura.types import InputError, UInt8Image
from fissura.weights import ModelCard, companion, resolve
from fissura.weights.files import IR_SUFFIX
from fissura.weights.parts import Parts, find_parts, read_whole

Outputs = dict[str, NDArray[np.float32]]
Features = Mapping[str, Any]
"""What a network keeps of one frame, in arrays of the engine's own kind."""
Statistics = NDArray[np.float32]
"""2×3: mean and variance of a picture by channel, as the network enlarges it."""

STATISTICS = "statistics"

ENGINES = ("auto", "onnxruntime", "openvino", "torch")
PRECISIONS = ("float32", "bf16")
ROUNDED = ("fp16", "int8")


class Engine(Protocol):
    """Runs one model on one picture at a time."""

    name: str
    card: ModelCard
    standardises: bool
    """Whether it takes a picture's own statistics into account: tiles want those of the whole."""
    streams: bool
    """Whether it can run a clip frame by frame, each of them once."""

    def run(self, image: UInt8Image) -> Outputs:
        """H×W×3 uint8 RGB at network scale → named outputs without batch axis."""
        ...

    def run_clip(self, clip: UInt8Image) -> Outputs:
        """The same for a network of T frames: T×H×W×3, oldest first."""
        ...

    def run_tile(self, tile: UInt8Image, statistics: Statistics) -> Outputs:
        """As `run`, for a tile of a picture with these statistics, of an engine `standardises`."""
        ...

    def draw(self, tile: UInt8Image) -> NDArray[np.float32]:
        """The output `image` alone, 3×sH×sW."""
        ...

    def run_frame(self, image: UInt8Image) -> Features:
        """What one frame H×W×3 tells by itself, of an engine that `streams`."""
        ...

    def fuse(self, frames: Sequence[Features]) -> Outputs:
        """Of T frames, oldest first, what `run_clip` gives, of an engine that `streams`."""
        ...

    def rest(self) -> None:
        """Gives back the memory that a large picture took; called when all of it was seen."""
        ...


MIN_THREAD_LIMIT = 8
"""So many threads are let pass on any machine; more than cores only slow it down."""


def open_engine(
    model: str | Path = "cgnet",
    engine: str = "auto",
    precision: str = "float32",
    threads: int | None = None,
) -> Engine:
    """The model (a shipped name or a file) ready to run; `threads` defaults to all free cores.

    "auto" is ONNX Runtime, torch for a safetensors file, OpenVINO for its own and for bf16.
    """
    _check_choice("engine", engine, ENGINES)
    _check_choice("precision", precision, PRECISIONS)
    most = max(os.cpu_count() or 1, MIN_THREAD_LIMIT)
    if threads is not None and not 1 <= threads <= most:
        raise InputError(f"threads: {threads} is not in 1 to {most}; leave it out for all cores")
    path = resolve(model)
    threads = threads or available_cores()
    chosen = _choose(path, precision) if engine == "auto" else engine
    if chosen == "torch":
        return TorchEngine(companion(path, ".safetensors"), precision, threads)
    opens: Callable[[Path], Graph]
    if chosen == "openvino":
        if find_spec("openvino") is None:
            raise _missing("openvino", "openvino")
        opens = partial(OpenVinoGraph, precision=precision, threads=threads)
        return GraphEngine(_for_openvino(path), "openvino", opens)
    if precision != "float32":
        raise InputError("precision: ONNX Runtime has no bf16; use --engine openvino or torch")
    opens = partial(OnnxRuntimeGraph, threads=threads)
    return GraphEngine(companion(path, ".onnx"), "onnxruntime", opens)


def available_cores() -> int:
    """Physical cores that this process may use; two threads of one core count once."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = set()
    for cpu in os.sched_getaffinity(0):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text().strip())
        except OSError:
            cores.add(str(cpu))
    return len(cores)


class BaseEngine:
    """All ways of running: an array keeps its time axis, if it has one, on the way in."""

    standardises = False
    streams = False

    def run(self, image: UInt8Image) -> Outputs:
        """H×W×3 uint8 RGB at network scale → named outputs without batch axis."""
        return self.run_tile(image, OWN_STATISTICS[0])

    def run_tile(self, tile: UInt8Image, statistics: Statistics) -> Outputs:
        """As `run`, for a tile of a picture with these statistics, of an engine `standardises`."""
        raise NotImplementedError

    def draw(self, tile: UInt8Image) -> NDArray[np.float32]:
        """The output `image` alone, 3×sH×sW."""
        return self.run(tile)["image"]

    def run_clip(self, clip: UInt8Image) -> Outputs:
        """The same for a network of T frames: T×H×W×3, oldest first."""
        return self.run(clip)

    def run_frame(self, image: UInt8Image) -> Features:
        """What one frame H×W×3 tells by itself, of an engine that `streams`."""
        raise NotImplementedError

    def fuse(self, frames: Sequence[Features]) -> Outputs:
        """Of T frames, oldest first, what `run_clip` gives, of an engine that `streams`."""
        raise NotImplementedError

    def rest(self) -> None:
        """Gives back the memory that a large picture took; called when all of it was seen."""


class GraphEngine(BaseEngine):
    """An exported file in ONNX Runtime or OpenVINO; with its two parts beside it, it streams."""

    def __init__(self, path: Path, name: str, opens: Callable[[Path], Graph]) -> None:
        self.name, self._opens = name, opens
        self.card = read_whole(path)
        parts = find_parts(path, self.card)
        self.streams = parts is not None
        if parts is not None:
            self._frame, self._fusion = (opens(part) for part in parts)
            self._check_parts(parts)
        else:
            self.standardises = STATISTICS in self._whole.inputs

    def _check_parts(self, parts: Parts) -> None:
        wanted = {f"{name}{t}" for t in range(self.card.frames) for name in self._frame.outputs}
        if set(self._fusion.inputs) != wanted or len(self._frame.inputs) != 1:
            raise InputError(
                f"{parts.fusion}: takes other values than {parts.frame.name} gives; export"
                f" {Path(self.card.path or '').name} again"
            )

    @cached_property
    def _whole(self) -> Graph:
        """The network of all frames at once, which streaming does without."""
        assert self.card.path is not None
        return self._opens(self.card.path)

    def run_tile(self, tile: UInt8Image, statistics: Statistics) -> Outputs:
        """H×W×3 uint8 RGB at network scale → named outputs without batch axis."""
        feeds = {next(iter(self._whole.inputs), ""): to_planes(tile)}
        if self.standardises:
            feeds[STATISTICS] = statistics[None]
        return self._first(self._whole, feeds, tile)

    def run_frame(self, image: UInt8Image) -> Features:
        """H×W×3 of the network's size → what the frame tells by itself, N=1 in every array."""
        self._require_streams()
        return self._run(self._frame, {self._frame.inputs[0]: to_planes(image)}, image)

    def fuse(self, frames: Sequence[Features]) -> Outputs:
        """What `run_frame` gave for T frames, oldest first → outputs for the last."""
        self._require_streams()
        feeds = {f"{name}{t}": each[name] for t, each in enumerate(frames) for name in each}
        return self._first(self._fusion, feeds)

    def rest(self) -> None:
        """As `Engine.rest`."""
        if not self.card.classes:
            with suppress(GraphError):  # what was found is no less true with less memory free
                self._whole.rest()

    def _require_streams(self) -> None:
        if not self.streams:
            raise InputError(
                f"{self.card.name} on {self.name} does not stream: it has no two graphs for single"
                " frames; give it whole pictures or clips"
            )

    def _first(self, graph: Graph, feeds: Arrays, image: UInt8Image | None = None) -> Outputs:
        return {name: values[0] for name, values in self._run(graph, feeds, image).items()}

    def _run(self, graph: Graph, feeds: Arrays, image: UInt8Image | None) -> Arrays:
        try:
            return graph.run(feeds)
        except GraphError as error:
            raise _failed(self.card.path, self.name, image, error) from None


class TorchEngine(BaseEngine):
    """The network itself, from safetensors; torch is imported here and only here."""

    name = "torch"

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        try:
            import safetensors  # noqa: F401
            import torch

            from fissura.models.cssr import standardises
            from fissura.models.deepcrack_zou import unpools
            from fissura.weights.deploy import simplify
            from fissura.weights.network import Deployed, load_module, streams
            from fissura.weights.winograd import with_winograd
        except ImportError:
            raise _missing("torch", "train") from None
        torch.set_num_threads(threads)
        network, self.card = load_module(path)
        simplify(network, self.card.network_hw, fused=True)
        if self.card.classes and precision == "float32":
            with_winograd(network)
        deployed: Any = Deployed(network, self.card)
        # Channels last is quicker, but rounds equal windows unequally, which un-pooling would show.
        plain = unpools(network)
        self._form = torch.contiguous_format if plain else torch.channels_last
        self._network = deployed.to(memory_format=self._form)
        self.standardises = standardises(network)
        self.streams = streams(network)
        self._bf16 = precision == "bf16"

    def run_tile(self, tile: UInt8Image, statistics: Statistics) -> Outputs:
        """H×W×3 uint8 RGB at network scale → named outputs without batch axis."""
        import torch

        given = [torch.from_numpy(statistics)[None]] if self.standardises else []
        outputs = self._answer(tile, lambda batch: self._network(batch, *given))
        return {name: values[0].float().contiguous().numpy() for name, values in outputs.items()}

    def draw(self, tile: UInt8Image) -> NDArray[np.float32]:
        """The output `image` alone, 3×sH×sW; nothing is segmented."""
        image = self._answer(tile, self._network.draw)[0].float().contiguous().numpy()
        return np.asarray(image, np.float32)

    def run_frame(self, image: UInt8Image) -> Features:
        """H×W×3 → what the frame tells by itself, as tensors."""
        features: Features = self._answer(image, self._network.per_frame)
        return features

    def fuse(self, frames: Sequence[Features]) -> Outputs:
        """What `run_frame` gave for T frames, oldest first → outputs for the last."""
        outputs = self._run(lambda: self._network.fuse(frames))
        return {name: values[0].float().contiguous().numpy() for name, values in outputs.items()}

    def _answer(self, tile: UInt8Image, network: Callable[[Any], Any]) -> Any:
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(tile))[None].movedim(-1, 1)
        form = self._form if batch.ndim == 4 else torch.contiguous_format
        return self._run(lambda: network(batch.float().contiguous(memory_format=form)), tile)

    def _run(self, network: Callable[[], Any], tile: UInt8Image | None = None) -> Any:
        import torch

        bf16 = torch.autocast("cpu", torch.bfloat16, enabled=self._bf16)
        try:
            with torch.inference_mode(), bf16:
                return network()
        except RuntimeError as error:  # torch's allocator says so when memory runs out
            raise _failed(self.card.path, self.name, tile, error) from None


def _for_openvino(path: Path) -> Path:
    """A file of its own or of ONNX: the one given, or else one beside it."""
    if path.suffix.lower() == IR_SUFFIX:
        return path
    beside = path.with_suffix(IR_SUFFIX)
    only = beside.is_file() and not path.with_suffix(".onnx").is_file()
    return companion(path, IR_SUFFIX if only else ".onnx")


def _choose(path: Path, precision: str) -> str:
    if precision == "bf16" or path.suffix.lower() == IR_SUFFIX:
        return "openvino"
    return "torch" if path.suffix.lower() == ".safetensors" else "onnxruntime"


def _check_choice(setting: str, value: str, choices: tuple[str, ...]) -> None:
    if setting == "precision" and value in ROUNDED:
        raise InputError(
            f"precision: {value} is that of a file; write one with `fissura export --precision"
            f" {value}` and give it as the model"
        )
    if value not in choices:
        raise InputError(f"{setting}: {value!r} is unknown; choose from {', '.join(choices)}")


def _missing(engine: str, extra: str) -> InputError:
    return InputError(
        f"engine {engine}: not installed; install it with `pip install 'fissura[{extra}]'`"
    )


def _failed(
    path: Path | None, engine: str, image: UInt8Image | None, error: Exception
) -> InputError:
    reason = " ".join(str(error).split())[:160]
    if image is None:
        return InputError(f"{path}: {engine} failed on these frames ({reason}); export it again")
    height, width = image.shape[-3:-1]
    return InputError(
        f"{path}: {engine} failed on {height}×{width} pixels ({reason}); give a smaller tile"
    )
