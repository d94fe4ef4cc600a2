"""One exported graph, opened by ONNX Runtime or OpenVINO: named arrays in, named arrays out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fissura.types import InputError

Arrays = dict[str, NDArray[np.float32]]

LARGE_VALUES = 6_000_000
"""From inputs of so many numbers on memory is given back when the graph rests."""


class GraphError(Exception):
    """A run that failed, with the engine's own words."""


class Graph(Protocol):
    """Takes and gives arrays with a batch axis."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, feeds: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """Every input by name → every output by name, the caller's own; GraphError if it fails."""
        ...

    def rest(self) -> None:
        """Gives back the memory that large inputs took, before something else is done."""
        ...


class OnnxRuntimeGraph:
    """By ONNX Runtime: light, no torch. `model` holds the bytes of a file that is not there yet."""

    def __init__(self, path: Path, threads: int = 0, model: bytes | None = None) -> None:
        import onnxruntime as ort

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
                model or str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # The binding's exceptions share no public base class.
            raise _unusable(path, "onnxruntime", error) from None
        self.inputs = tuple(given.name for given in self._session.get_inputs())
        self.outputs = tuple(output.name for output in self._session.get_outputs())
        self._keep, self._give_back = ort.RunOptions(), ort.RunOptions()
        self._keep.log_severity_level = self._give_back.log_severity_level = 4
        self._give_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._holds = False

    def run(self, feeds: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """As `Graph.run`."""
        self._holds |= max(values.size for values in feeds.values()) > LARGE_VALUES
        return self._run(feeds, self._keep)

    def rest(self) -> None:
        """As `Graph.rest`: ONNX Runtime does so only at the end of a run, so a small one is made.

        Done after every tile it costs a tenth of the time of a large picture.
        """
        if self._holds:
            inputs = {one.name: one.shape for one in self._session.get_inputs()}
            feeds = {name: np.ones(_small(shape), np.float32) for name, shape in inputs.items()}
            self._run(feeds, self._give_back)
            self._holds = False

    def _run(self, feeds: Mapping[str, NDArray[np.float32]], options: Any) -> Arrays:
        try:
            arrays = self._session.run(None, dict(feeds), options)
        except Exception as error:  # As above; memory that runs out comes this way too.
            raise GraphError(str(error)) from None
        return dict(zip(self.outputs, arrays, strict=True))


def _small(shape: Sequence[int | str | None]) -> list[int]:
    """A shape with 1 for the batch and 32 for other free sides."""
    return [side if isinstance(side, int) else 32 if axis else 1 for axis, side in enumerate(shape)]


class OpenVinoGraph:
    """By OpenVINO: fast on Intel and AMD; bf16 where the processor has it. `model` as above."""

    def __init__(
        self,
        path: Path,
        precision: str = "float32",
        threads: int = 0,
        model: bytes | None = None,
    ) -> None:
        try:
            import openvino
        except ImportError as error:  # of an installation that is damaged
            raise InputError(
                f"engine openvino: does not load ({error}); install it again"
            ) from None
        core = openvino.Core()

        # Left to itself OpenVINO picks bf16 where it can, so the precision is always stated.
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            given = str(path) if model is None else read_by_openvino(model)
            compiled = core.compile_model(given, "CPU", settings)
        except RuntimeError as error:
            raise _unusable(path, "openvino", error) from None
        self.inputs = tuple(one.any_name for one in compiled.inputs)
        self.outputs = tuple(output.any_name for output in compiled.outputs)
        self._request = compiled.create_infer_request()

    def run(self, feeds: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """As `Graph.run`."""
        try:
            self._request.infer(dict(feeds), share_inputs=True)
        except RuntimeError as error:
            raise GraphError(str(error)) from None
        return {
            name: np.array(self._request.get_output_tensor(index).data, np.float32)
            for index, name in enumerate(self.outputs)
        }

    def rest(self) -> None:
        """As `Graph.rest`; OpenVINO keeps its own."""


def read_by_openvino(model: bytes) -> Any:
    """An ONNX file's bytes as OpenVINO's model; from memory it would drop inputs without a use."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        return openvino.Core().read_model(path)


def _unusable(path: Path, engine: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:160]
    return InputError(f"{path}: {engine} cannot run this file ({reason}); export it again")
