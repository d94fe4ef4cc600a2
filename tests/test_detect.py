"""Boxes from raw outputs, of pictures, of windows of frames, and of whole sequences."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from small_videos import CELL, picture, write_video
from toy_detector import SIDE, write_toy_detector
from toy_model import write_toy_model

import fissura
from fissura import decode
from fissura.config import PredictSettings
from fissura.decode import decode_boxes, found_boxes, nms
from fissura.engines import open_engine
from fissura.pipeline import detect_clip
from fissura.types import Detections, InputError, SettingError

Floats = NDArray[np.float32]


# ---- raw outputs ---------------------------------------------------------------------------


def raw_grid(channels: int, height: int, width: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(channels, height, width)).astype(np.float32)


def test_cells_are_decoded_stride_by_stride() -> None:
    outputs = {f"boxes_raw{s}": raw_grid(7, 64 // s, 96 // s, s) for s in (8, 16, 32)}
    rows = decode_boxes(outputs, (8, 16, 32))
    assert rows.shape == (8 * 12 + 4 * 6 + 2 * 3, 7)
    row, raw = rows[8 * 12 + 2 * 6 + 5], outputs["boxes_raw16"][:, 2, 5].astype(float)
    want = [(raw[0] + 5) * 16, (raw[1] + 2) * 16, np.exp(raw[2]) * 16, np.exp(raw[3]) * 16]
    np.testing.assert_allclose(row[:4], want, rtol=1e-5)
    np.testing.assert_allclose(row[4:], 1 / (1 + np.exp(-raw[4:])), rtol=1e-5)


@pytest.mark.parametrize("outputs", [{}, {"logits": raw_grid(2, 8, 8)}, {"boxes_raw": np.zeros(6)}])
def test_a_network_that_is_no_detector_is_told(outputs: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="no boxes_raw as a detector does"):
        decode_boxes(outputs, (8,))


def plainly(boxes: Floats, scores: Floats, labels: NDArray[np.intp], iou: float) -> list[int]:
    """Suppression box by box, as its definition reads."""
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(labels[i] != labels[j] or overlap(boxes[i], boxes[j]) <= iou for j in kept):
            kept.append(i)
    return kept


def overlap(one: Floats, two: Floats) -> float:
    sides = np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, two)]
    return shared / (sum(areas) - shared) if sum(areas) > shared else 0.0


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_suppression_is_what_its_definition_says(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 25))
    # Whole pixels and few scores: overlaps are exact and ties are common.
    corners = data.draw(arrays(np.int64, (n, 2), elements=st.integers(0, 12)))
    sizes = data.draw(arrays(np.int64, (n, 2), elements=st.integers(1, 8)))
    boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)
    scores = data.draw(arrays(np.int64, n, elements=st.integers(0, 5))).astype(np.float32) / 5
    labels = data.draw(arrays(np.intp, n, elements=st.integers(0, 2)))
    iou = data.draw(st.sampled_from([0.1, 0.45, 0.7, 1.0]))
    assert nms(boxes, scores, labels, iou).tolist() == plainly(boxes, scores, labels, iou)


def test_boxes_come_best_first_and_above_the_confidence() -> None:
    raw = {"boxes_raw": raw_grid(8, 16, 16)}
    boxes, scores, labels = found_boxes(raw, (8,), 0.3, 0.5)
    assert (np.diff(scores) <= 0).all()
    assert scores.min() >= 0.3
    assert set(labels.tolist()) == {0, 1, 2}
    assert boxes.dtype == scores.dtype == np.float32
    assert len(found_boxes(raw, (8,), 0.999, 0.5)[0]) == 0


def test_numbers_that_are_none_and_giants_give_no_box_and_no_warning() -> None:
    raw = raw_grid(6, 8, 8)
    raw[4:] = 9
    raw[0, 0], raw[2, 1], raw[3, 2], raw[4, 3], raw[2:4, 4] = np.nan, np.inf, np.nan, np.nan, 1e30
    boxes, scores, _ = found_boxes({"boxes_raw": raw}, (8,), 0.5, 0.65)
    assert np.isfinite(boxes).all()
    assert np.isfinite(scores).all()


def test_a_flood_of_boxes_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MOST_CANDIDATES", 500)
    raw = raw_grid(6, 200, 200)
    raw[2:4], raw[4:] = -5, 9  # all apart and all sure
    started = time.monotonic()
    assert len(found_boxes({"boxes_raw": raw}, (8,), 0.5, 0.65)[0]) == 500
    assert time.monotonic() - started < 5


# ---- windows of frames ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("detectors")
    return {
        "picture": write_toy_detector(folder / "one.onnx"),
        "clip": write_toy_detector(folder / "three.onnx", frames=3),
        "stretch": write_toy_detector(folder / "stretch.onnx", resize="stretch"),
        "segments": write_toy_model(folder / "toy.onnx"),
    }


def greys(heights: Floats) -> list[int]:
    """The grey of the oldest frame that the toy detector saw, from the height of its boxes."""
    return [round(255 * float(np.log(height / CELL))) for height in heights]


def oldest(detections: Detections | None) -> int:
    assert detections is not None
    (grey,) = greys(detections.boxes[:, 3] - detections.boxes[:, 1])
    return grey


def detect(model: Path, *images: NDArray[np.uint8], **given: Any) -> Detections:
    return detect_clip(images, open_engine(model, threads=1), PredictSettings(**given))


def test_boxes_are_in_pixels_of_the_picture(models: dict[str, Path]) -> None:
    image = np.full((256, 384, 3), 255, np.uint8)
    image[64:96, 160:192] = 0  # one cell at a quarter of the size
    found = detect(models["picture"], image)
    middle = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    np.testing.assert_allclose(middle, [[176, 80]], atol=0.5)
    assert found.boxes[0, 2] - found.boxes[0, 0] == pytest.approx(4 * SIDE, rel=1e-3)
    assert found.labels == ("crack",)


@pytest.mark.parametrize(("model", "wide"), [("picture", 4.0), ("stretch", 2.0)])
def test_letterbox_and_stretch(models: dict[str, Path], model: str, wide: float) -> None:
    image = np.full((256, 192, 3), 255, np.uint8)
    image[64:96, 96:128] = 0
    found = detect(models[model], image)
    middle = (found.boxes[0, :2] + found.boxes[0, 2:]) / 2
    assert np.abs(middle - (112, 80)).max() < 10
    assert (found.boxes[0, 2] - found.boxes[0, 0]) == pytest.approx(wide * SIDE, rel=1e-3)


def test_the_start_of_a_sequence_is_repeated(models: dict[str, Path]) -> None:
    frames = [picture(i, ground) for i, ground in enumerate((110, 140, 170, 200))]
    assert oldest(detect(models["clip"], frames[0])) < 110  # its own square is in the mean
    alone, two, three, four = (
        detect(models["clip"], *frames[:n]).boxes[0, 3::-2] for n in (1, 2, 3, 4)
    )
    heights = [float(bottom - top) for bottom, top in (alone, two, three, four)]
    # The first three see frame 0 as the oldest, though at other places; the fourth sees frame 1.
    assert greys(np.array(heights[1:3])) == [110, 110]
    assert greys(np.array(heights[3:])) == [140]


def test_frames_of_several_sizes_fit_each_by_its_own(models: dict[str, Path]) -> None:
    large = cv2.resize(picture(0, 120), (192, 128), interpolation=cv2.INTER_NEAREST)
    found = detect(models["clip"], large, large, picture(5))
    assert oldest(found) == 120
    np.testing.assert_allclose(found.boxes[0, [0, 2]].mean(), 5.5 * CELL, atol=0.1)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_take_clips(models: dict[str, Path], engine: str) -> None:
    pytest.importorskip(engine)
    clip = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
    first = open_engine(models["clip"], "onnxruntime", threads=1).run_clip(clip)
    found = open_engine(models["clip"], engine, threads=1).run_clip(clip)
    assert found["boxes_raw"].shape == (6, 8, 12)
    np.testing.assert_allclose(found["boxes_raw"], first["boxes_raw"], atol=1e-4)


# ---- predicting ----------------------------------------------------------------------------


def test_a_result_carries_boxes_and_no_map(models: dict[str, Path]) -> None:
    (result,) = fissura.load(models["picture"], threads=1).predict(picture(2))
    assert result.detections is not None
    assert result.detections.labels == ("crack",)
    assert result.crack_map is result.mask is None
    assert result.cracks == ()
    assert result.settings["nms_iou"] == 0.65
    assert result.settings["threshold"] == 0.5
    assert (result.plot() != picture(2)).any()
    assert result.to_dict()["detections"][0]["label"] == "crack"


def test_settings_of_a_detector(models: dict[str, Path]) -> None:
    image = picture(2)
    image[16:24, 40:48] = 85  # hardly dark: score 0.73
    assert len(detect(models["picture"], image).labels) == 2
    assert len(detect(models["picture"], image, threshold=0.9).labels) == 1
    image[16:24, 48:56] = 0
    assert len(detect(models["picture"], image).labels) == 3
    assert len(detect(models["picture"], image, nms_iou=0.1).labels) == 2
    with pytest.raises(InputError, match="toydetector finds boxes and has no crack map to refine"):
        fissura.load(models["picture"], refine="guided")


def test_notes_that_do_not_fit_the_outputs_stop_the_run(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = write_toy_detector(tmp_path / "a.onnx")
    model = onnx.load(path)
    for note in model.metadata_props:
        if note.key == "fissura.classes":
            note.value = '["crack", "tear"]'
    onnx.save(model, path)
    with pytest.raises(SettingError, match=r"a\.onnx: its notes name 2 classes"):
        next(fissura.load(path).predict(picture(0)))


def test_every_frame_of_a_video_with_what_came_before(
    models: dict[str, Path], tmp_path: Path
) -> None:
    for name, ground in (("dim.avi", 150), ("light.avi", 230)):
        write_video(tmp_path / name, 6, ground=ground)
    results = list(fissura.load(models["clip"], threads=1).predict(tmp_path))
    assert [result.frame_index for result in results] == [*range(6), *range(6)]
    centres = [float(result.detections.boxes[0, [0, 2]].mean()) for result in results]
    np.testing.assert_allclose(centres, [(i % 6 + 0.5) * CELL for i in range(12)], atol=0.2)
    # From the second frame on the oldest is another than the newest; no frame of the other video
    # is ever seen.
    seen = [oldest(result.detections) for result in results]
    assert max(seen[:6]) < 160
    assert min(seen[7:]) > 220


def test_a_network_that_segments_takes_videos_too(models: dict[str, Path], tmp_path: Path) -> None:
    path = write_video(tmp_path / "wall.avi", 4)
    results = list(fissura.load(models["segments"], threads=1).predict(str(path)))
    assert [len(result.cracks) for result in results] == [1] * 4
    assert [result.time_s for result in results] == pytest.approx([0, 0.04, 0.08, 0.12], abs=2e-3)


def numbered(folder: Path, grounds: list[int], prefix: str = "") -> None:
    folder.mkdir(exist_ok=True)
    for number, ground in enumerate(grounds):
        cv2.imwrite(str(folder / f"{prefix}{number}.png"), picture(number + 1, ground))


def test_a_folder_of_numbered_frames_is_a_sequence(models: dict[str, Path], tmp_path: Path) -> None:
    numbered(tmp_path / "a", [110, 120, 130, 140, 150, 160, 170, 180, 190, 200, 210, 220])
    numbered(tmp_path / "b", [230, 235])
    predictor = fissura.load(models["clip"], threads=1)
    results = list(predictor.predict([tmp_path / "a", tmp_path / "b"]))
    assert [Path(result.source).name for result in results[9:]] == [
        *("9.png", "10.png", "11.png"),
        *("0.png", "1.png"),
    ]
    seen = [oldest(result.detections) for result in results]
    assert seen[1:12] == [110, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200]
    assert seen[13] == 230


def test_sequences_of_one_folder_are_told_apart_by_name(
    models: dict[str, Path], tmp_path: Path
) -> None:
    numbered(tmp_path, [110, 120, 130], "east_")
    numbered(tmp_path, [230, 235], "west_")
    results = list(fissura.load(models["clip"], threads=1).predict(tmp_path))
    assert [oldest(result.detections) for result in results][4:] == [230]


def test_a_frame_that_cannot_be_read_is_named_and_passed_over(
    models: dict[str, Path], tmp_path: Path
) -> None:
    numbered(tmp_path / "a", [110, 120, 130, 140, 150])
    (tmp_path / "a" / "2.png").write_bytes(b"")
    failed: list[str] = []
    predictor = fissura.load(models["clip"], threads=1)
    results = list(predictor.predict(tmp_path / "a", on_error=lambda s, _: failed.append(s)))
    assert [Path(name).name for name in failed] == ["2.png"]
    assert [oldest(result.detections) for result in results][1:] == [110, 110, 120]


def test_a_cut_video_keeps_what_was_done(models: dict[str, Path], tmp_path: Path) -> None:
    path = write_video(tmp_path / "belt.avi", 40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    sentences: list[str] = []
    predictor = fissura.load(models["clip"], threads=1)
    results = list(predictor.predict(path, on_error=lambda _, error: sentences.append(str(error))))
    assert len(results) > 20
    assert f"only {len(results)} of 40 frames" in sentences[0]
