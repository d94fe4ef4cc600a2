"""Frame by frame is clip by clip: exactly, at any start, with frames left out, in every engine."""

from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_detectors import SIZE_HW, exported_into, saved
from small_videos import write_video
from toy_detector import write_toy_detector
from toy_model import write_toy_model

import fissura
from fissura.config import PredictSettings
from fissura.detect import Window
from fissura.engines import Engine, open_engine
from fissura.synth import BeltScene
from fissura.types import InputError

pytest.importorskip("torch")

Image = NDArray[np.uint8]

DETECTORS = ("beltcrackdet", "beltcrackdet_lite")
ENGINES = ("torch", "onnxruntime", "openvino")
CLOSE = {"torch": 1e-5, "onnxruntime": 1e-4, "openvino": 1e-4}
"""Of the logits' largest magnitude."""
SURE = 0.3


@pytest.fixture(scope="module")
def frames() -> list[Image]:
    scene = BeltScene(5, SIZE_HW[::-1], 24, speed_mps=3.0)
    return [frame.image for frame in scene]


@pytest.fixture(scope="module", params=DETECTORS)
def model(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(request.param, tmp_path_factory.mktemp("detector"), lively=True)


@pytest.fixture(scope="module", params=DETECTORS)
def exported(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_into(request.param, tmp_path_factory.mktemp("exported"))


def offline(engine: Engine, kept: list[Image], newest: int) -> NDArray[np.float32]:
    """What the whole network gives for a window that ends at `newest`, its start repeated."""
    places = [max(newest - back, 0) for back in reversed(range(engine.card.frames))]
    return engine.run_clip(np.stack([kept[k] for k in places]))["boxes_raw"]


class Recorder:
    """An engine that remembers what it last answered."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.card, self.streams = engine, engine.card, engine.streams
        self.name, self.standardises = engine.name, engine.standardises
        self.raw: Any = None
        self.frames_seen = 0

    def run_frame(self, image: Image) -> Any:
        self.frames_seen += 1
        return self._engine.run_frame(image)

    def fuse(self, frames: Any) -> Any:
        self.raw = self._engine.fuse(frames)
        return self.raw


def check(engine: Engine, sequences: list[list[Image]]) -> None:
    """Sequences one after the other through one window, against the whole network."""
    recorder, window = Recorder(engine), Window(engine.card)
    chosen = PredictSettings(threshold=SURE)
    for kept in sequences:
        window.clear()
        for newest, image in enumerate(kept):
            window.push(image)
            found = window.detect(recorder, chosen)
            whole = offline(engine, kept, newest)
            gap = np.abs(recorder.raw["boxes_raw"] - whole).max()
            assert gap <= CLOSE[engine.name] * np.abs(whole).max()
            wanted = boxes_of(whole, engine)
            assert len(found.scores) == len(wanted)
            np.testing.assert_allclose(found.boxes, wanted, rtol=1e-3, atol=0.05)
    assert recorder.frames_seen == sum(map(len, sequences))


def boxes_of(whole: NDArray[np.float32], engine: Engine) -> NDArray[np.float32]:
    from fissura.decode import found_boxes

    return found_boxes({"boxes_raw": whole}, engine.card.strides, SURE, engine.card.nms_iou)[0]


starts_and_drops = st.lists(
    st.tuples(st.integers(0, 15), st.lists(st.booleans(), min_size=1, max_size=8)),
    min_size=1,
    max_size=3,
)


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(starts_and_drops)
def test_streaming_is_the_whole_network(
    model: Path, frames: list[Image], drawn: list[tuple[int, list[bool]]]
) -> None:
    engine = open_engine(model, threads=1)
    assert engine.streams
    sequences = [
        [frames[start + k] for k, kept in enumerate(keep) if kept] for start, keep in drawn
    ]
    check(engine, sequences)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_exported_graphs_stream_as_the_whole_network(
    exported: Path, frames: list[Image], name: str
) -> None:
    pytest.importorskip(name)
    engine = open_engine(exported, name, threads=1)
    assert engine.streams
    check(engine, [frames[:7], frames[9:18:2]])
    raw = offline(engine, frames, 6)
    exact = offline(open_engine(exported, "torch", threads=1), frames, 6)
    assert np.abs(raw - exact).max() <= 1e-4 * np.abs(exact).max()


def test_every_frame_of_the_window_tells(model: Path, frames: list[Image]) -> None:
    """Or the tests above would say little."""
    engine = open_engine(model, threads=1)
    features = [engine.run_frame(image) for image in frames[: engine.card.frames]]
    raw = engine.fuse(features)["boxes_raw"]
    for k in range(engine.card.frames):
        others = [*features[:k], engine.run_frame(frames[-1]), *features[k + 1 :]]
        assert np.abs(engine.fuse(others)["boxes_raw"] - raw).max() > 1e-3 * np.abs(raw).max()


def test_the_backbone_runs_once_a_frame(
    model: Path, frames: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fissura.models.yolox import Body

    calls, forward = [], Body.forward

    def counted(self: Body, x: Any) -> Any:
        calls.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(Body, "forward", counted)
    stream = fissura.stream(model, threads=1)
    for image in frames:
        stream(image)
    assert calls == [1] * len(frames)


def test_what_is_remembered_does_not_grow(model: Path, frames: list[Image]) -> None:
    engine = open_engine(model, threads=1)
    alive: list[weakref.ref[Any]] = []

    class Watched(Recorder):
        def run_frame(self, image: Image) -> Any:
            features = super().run_frame(image)
            alive.extend(weakref.ref(values) for values in features.values())
            return features

    window, watched = Window(engine.card), Watched(engine)
    for image in frames:
        window.push(image)
        window.detect(watched, PredictSettings(threshold=SURE))
    gc.collect()
    kept = [each for each in alive if each() is not None]
    assert len(kept) == len(alive) * engine.card.frames // len(frames)
    assert kept == alive[-len(kept) :]


def test_a_stream_predicts_what_a_video_does(model: Path, tmp_path: Path) -> None:
    from fissura.video import open_video

    path = write_video(tmp_path / "belt.avi", 7)
    results = list(fissura.load(model, threads=1, threshold=SURE).predict(path))
    stream = fissura.stream(model, threads=1, threshold=SURE)
    with open_video(path, 10**7) as video:
        given = [step[-1] for step in video]
    for _ in range(2):
        for result, frame in zip(results, given, strict=True):
            found = stream(frame.image)
            assert found.detections is not None
            assert result.detections is not None
            np.testing.assert_array_equal(found.detections.boxes, result.detections.boxes)
            assert found.frame_index == result.frame_index
        stream.reset()
    assert stream.settings.threshold == SURE
    assert stream.engine.name == "torch"


def test_sequences_are_told_apart_only_by_a_reset(model: Path, frames: list[Image]) -> None:
    stream = fissura.stream(model, threads=1, threshold=SURE)
    first = [stream(image).detections for image in frames[:3]]
    other = stream(frames[0]).detections
    stream.reset()
    again = [stream(image).detections for image in frames[:3]]
    for before, after in zip(first, again, strict=True):
        np.testing.assert_array_equal(before.boxes, after.boxes)
    assert len(other.scores) != len(first[0].scores) or (other.scores != first[0].scores).any()


def test_any_network_streams(tmp_path: Path) -> None:
    """One that segments sees each frame alone; a detector without its two graphs sees windows."""
    for path in (
        write_toy_model(tmp_path / "toy.onnx"),
        write_toy_detector(tmp_path / "clip.onnx", frames=3, size_hw=SIZE_HW),
    ):
        stream = fissura.stream(path, threads=1)
        assert not stream.engine.streams
        results = [stream(np.full((*SIZE_HW, 3), 200, np.uint8)) for _ in range(4)]
        assert all(result.size_hw == SIZE_HW for result in results)
        with pytest.raises(InputError, match="does not stream"):
            stream.engine.run_frame(np.zeros((*SIZE_HW, 3), np.uint8))
        assert [result.frame_index for result in results] == [0, 1, 2, 3]


def test_a_name_without_weights_is_one_sentence() -> None:
    with pytest.raises(InputError, match="no model 'no_such_network'"):
        fissura.stream("no_such_network")
    with pytest.raises(InputError, match=r"nosuch\.onnx: there is no such file"):
        fissura.stream("nosuch.onnx")


# ---- the two files beside ------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return exported_into("beltcrackdet_lite", tmp_path)


def renoted(path: Path, **notes: str) -> None:
    """The same graph with other notes."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(path)
    for note in graph.metadata_props:
        key = note.key.removeprefix("fissura.")
        note.value = notes.get(key, note.value)
    onnx.save(graph, path)


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["frame", "fusion"])
def test_one_without_the_other_is_refused(pair: Path, missing: str) -> None:
    part = pair.with_name(f"{pair.stem}.{missing}.onnx")
    part.unlink()
    with pytest.raises(InputError, match=rf"{part.name}: is missing, and {pair.name} streams"):
        open_engine(pair)


@pytest.mark.slow
def test_without_both_the_whole_network_sees_windows(pair: Path, frames: list[Image]) -> None:
    streamed = fissura.stream(pair, threads=1, threshold=SURE)
    found = [streamed(image).detections for image in frames[:6]]
    for part in ("frame", "fusion"):
        pair.with_name(f"{pair.stem}.{part}.onnx").unlink()
    windows = fissura.stream(pair, threads=1, threshold=SURE)
    assert not windows.engine.streams
    for image, boxes in zip(frames, found, strict=False):
        again = windows(image).detections
        np.testing.assert_allclose(again.boxes, boxes.boxes, rtol=1e-3, atol=0.05)


@pytest.mark.slow
def test_parts_that_do_not_belong_are_named(pair: Path) -> None:
    frame, fusion = (pair.with_name(f"{pair.stem}.{part}.onnx") for part in ("frame", "fusion"))
    kept = {path: path.read_bytes() for path in (frame, fusion)}
    for path, notes, message in [
        (frame, {"weights_sha256": '"0"'}, "holds other weights than"),
        (frame, {"size_hw": "[128, 64]"}, "is for frames of 128×64, .* for 64×96"),
        (fusion, {"threshold": "0.9"}, "its notes differ from those of"),
        (fusion, {"together": "of another export"}, "its notes differ from those of"),
        (fusion, {"part": "frame"}, "does not hold the fusion graph of"),
        (fusion, {"size_hw": "[1]"}, "its note 'size_hw.* is not valid"),
    ]:
        renoted(path, **notes)
        with pytest.raises(InputError, match=rf"{path.name}: {message}") as caught:
            open_engine(pair)
        assert "\n" not in str(caught.value)
        path.write_bytes(kept[path])
    shutil.copy(pair, frame)
    with pytest.raises(InputError, match=rf"{frame.name}: does not hold the frame graph"):
        open_engine(pair)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_graph_of_another_network_is_named(pair: Path, tmp_path: Path, engine: str) -> None:
    """Even with notes that fit."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip(engine)
    frame = pair.with_name(f"{pair.stem}.frame.onnx")
    (tmp_path / "other").mkdir()
    other = exported_into("beltcrackdet", tmp_path / "other").with_suffix(".frame.onnx")
    notes, graph = onnx.load(frame).metadata_props, onnx.load(other)
    del graph.metadata_props[:]
    graph.metadata_props.extend(notes)
    onnx.save(graph, frame)
    with pytest.raises(InputError, match=r"fusion\.onnx: takes other values than .*frame\.onnx"):
        open_engine(pair, engine)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["frame", "fusion"])
def test_a_part_is_no_model(pair: Path, part: str) -> None:
    with pytest.raises(InputError, match="is one of the two graphs of a streaming detector"):
        fissura.load(pair.with_name(f"{pair.stem}.{part}.onnx"))


@pytest.mark.slow
def test_the_check_is_kept_in_all_three(pair: Path) -> None:
    import json

    from fissura.weights.files import read_metadata

    for path in pair.parent.glob("*.onnx"):
        note = json.loads(read_metadata(path)["fissura.export_check"])
        assert note["largest_difference"] <= 1e-4
        assert note["pictures"] == 2
    assert len(list(pair.parent.glob("*.onnx"))) == 3
