"""Arrays in, named arrays out: the same model file run by ONNX Runtime, OpenVINO or torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fissura.pixels import OWN_STATISTICS, to_planes
from fissura.types import InputError, UInt8Image
from fissura.weights import ModelCard, companion, read_card, resolve

Outputs = dict[str, NDArray[np.float32]]
Statistics = NDArray[np.float32]
"""2×3: mean and variance of a picture by channel, as the network enlarges it."""

STATISTICS = "statistics"

ENGINES = ("auto", "onnxruntime", "openvino", "torch")
PRECISIONS = ("float32", "bf16")
LARGE_PIXELS = 2_000_000


class Engine(Protocol):
    """Runs one model on one picture at a time."""

    name: str
    card: ModelCard
    standardises: bool
    """Whether it takes a picture's own statistics into account: tiles want those of the whole."""

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


MIN_THREAD_LIMIT = 8
"""So many threads are let pass on any machine; more than cores only slow it down."""


def open_engine(
    model: str | Path = "cgnet",
    engine: str = "auto",
    precision: str = "float32",
    threads: int | None = None,
) -> Engine:
    """The model (a shipped name or a file) ready to run; `threads` defaults to all free cores.

    "auto" is ONNX Runtime, torch for a safetensors file, and OpenVINO for bf16.
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
    if chosen == "openvino":
        return OpenVinoEngine(companion(path, ".onnx"), precision, threads)
    if precision != "float32":
        raise InputError("precision: ONNX Runtime has no bf16; use --engine openvino or torch")
    return OnnxRuntimeEngine(companion(path, ".onnx"), threads)


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


class OnnxRuntimeEngine(BaseEngine):
    """The default: light, no torch."""

    name = "onnxruntime"

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime as ort

        self.card = read_card(path)
        ort.disable_telemetry_events()
        options = ort.SessionOptions()
        options.log_severity_level = 4  # Failures reach the user as one sentence, not as a log.
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Planning by pattern saves no time here and takes a third more memory at 2000×2000.
        options.enable_mem_pattern = False
        # Between runs the cores belong to whoever decodes, blends and measures.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # The binding's exceptions share no public base class.
            raise _unusable(path, self.name, error) from None
        self._input = next((given.name for given in self._session.get_inputs()), "")
        self.standardises = STATISTICS in [given.name for given in self._session.get_inputs()]
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._keep, self._give_back = ort.RunOptions(), ort.RunOptions()
        self._keep.log_severity_level = self._give_back.log_severity_level = 4
        self._give_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run_tile(self, tile: UInt8Image, statistics: Statistics) -> Outputs:
        """H×W×3 uint8 RGB at network scale → named outputs without batch axis."""
        # Giving memory back costs a seventh of the time: worth it only for what is large.
        large = tile.size > 3 * LARGE_PIXELS
        options = self._give_back if large else self._keep
        feeds = {self._input: to_planes(tile)}
        if self.standardises:
            feeds[STATISTICS] = statistics[None]
        try:
            arrays = self._session.run(None, feeds, options)
        except Exception as error:  # As above; memory that runs out comes this way too.
            raise _failed(self.card.path, self.name, tile, error) from None
        return {name: array[0] for name, array in zip(self._outputs, arrays, strict=True)}


class OpenVinoEngine(BaseEngine):
    """Fast on Intel and AMD; bf16 where the processor has it."""

    name = "openvino"

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        self.card = read_card(path)
        try:
            import openvino
        except ImportError:
            raise _missing("openvino", "openvino") from None
        # Left to itself OpenVINO picks bf16 where it can, so the precision is always stated.
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            compiled = openvino.Core().compile_model(str(path), "CPU", settings)
        except RuntimeError as error:
            raise _unusable(path, self.name, error) from None
        self._outputs = [output.any_name for output in compiled.outputs]
        self.standardises = STATISTICS in [given.any_name for given in compiled.inputs]
        self._request = compiled.create_infer_request()

    def run_tile(self, tile: UInt8Image, statistics: Statistics) -> Outputs:
        """H×W×3 uint8 RGB at network scale → named outputs without batch axis."""
        feeds: dict[int | str, NDArray[np.float32]] = {0: to_planes(tile)}
        if self.standardises:
            feeds[STATISTICS] = statistics[None]
        try:
            self._request.infer(feeds, share_inputs=True)
        except RuntimeError as error:
            raise _failed(self.card.path, self.name, tile, error) from None
        return {
            name: np.array(self._request.get_output_tensor(index).data[0], np.float32)
            for index, name in enumerate(self._outputs)
        }


class TorchEngine(BaseEngine):
    """The network itself, from safetensors; torch is imported here and only here."""

    name = "torch"

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        try:
            import safetensors  # noqa: F401
            import torch

            from fissura.models.cssr import standardises
            from fissura.models.deepcrack_zou import unpools
            from fissura.weights.network import Deployed, load_module
        except ImportError:
            raise _missing("torch", "train") from None
        torch.set_num_threads(threads)
        network, self.card = load_module(path)
        deployed: Any = Deployed(network, self.card)
        # Channels last is quicker, but rounds equal windows unequally, which un-pooling would show.
        # It suits four axes alone, and clips have five.
        plain = unpools(network) or self.card.frames > 1
        self._form = torch.contiguous_format if plain else torch.channels_last
        self._network = deployed.to(memory_format=self._form)
        self.standardises = standardises(network)
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

    def _answer(self, tile: UInt8Image, network: Callable[[Any], Any]) -> Any:
        import torch

        bf16 = torch.autocast("cpu", torch.bfloat16, enabled=self._bf16)
        try:
            batch = torch.from_numpy(np.ascontiguousarray(tile))[None].movedim(-1, 1)
            batch = batch.float().contiguous(memory_format=self._form)
            with torch.inference_mode(), bf16:
                return network(batch)
        except RuntimeError as error:  # torch's allocator says so when memory runs out
            raise _failed(self.card.path, self.name, tile, error) from None


def _choose(path: Path, precision: str) -> str:
    if precision == "bf16":
        return "openvino"
    return "torch" if path.suffix.lower() == ".safetensors" else "onnxruntime"


def _check_choice(setting: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{setting}: {value!r} is unknown; choose from {', '.join(choices)}")


def _missing(engine: str, extra: str) -> InputError:
    return InputError(
        f"engine {engine}: not installed; install it with `pip install 'fissura[{extra}]'`"
    )


def _failed(path: Path | None, engine: str, image: UInt8Image, error: Exception) -> InputError:
    height, width = image.shape[-3:-1]
    reason = " ".join(str(error).split())[:160]
    return InputError(
        f"{path}: {engine} failed on {height}×{width} pixels ({reason}); give a smaller tile"
    )


def _unusable(path: Path, engine: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:160]
    return InputError(f"{path}: {engine} cannot run this file ({reason}); export it again")
