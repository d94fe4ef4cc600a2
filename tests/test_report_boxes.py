"""Every writer that takes boxes, fed with those of pictures, videos and streams."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from made_results import ODD_SOURCES, make_boxes
from pycocotools.coco import COCO
from small_videos import count_frames
from test_report import write

from fissura.report import open_writers
from fissura.report.parts import words
from fissura.report.schema import result_schema
from fissura.types import InputError, Result

BOX_CASES: dict[str, list[Result]] = {
    "no boxes": [make_boxes("a.jpg", 0)],
    "boxes": [make_boxes("a.jpg", 3), make_boxes("b.jpg", 1, label="tear"), make_boxes("c.jpg", 0)],
    "many": [make_boxes("a.jpg", 60)],
    "odd names": [make_boxes(name, 1, label=name[:30] or "x") for name in ODD_SOURCES],
    "video": [make_boxes("belt.mp4", i % 3, i, i / 25) for i in range(30)],
    "two videos": [make_boxes(f"{v}/x.mp4", 1, i, i / 10) for v in "ab" for i in range(3)],
    "stream with gaps": [make_boxes("rtsp://camera/1", 1, i, i / 20) for i in (3, 4, 9, 30)],
}
BOX_FORMATS = ("json", "jsonl", "csv", "coco", "geojson", "html", "overlay", "video")


@pytest.mark.parametrize("case", BOX_CASES)
@pytest.mark.parametrize("box_format", BOX_FORMATS)
def test_writes_boxes(box_format: str, case: str, tmp_path: Path) -> None:
    results = BOX_CASES[case]
    write(box_format, tmp_path, results)
    BOX_CHECKS[box_format](tmp_path, results)
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


def labels_of(results: list[Result]) -> list[str]:
    return [label for result in results for label in result.detections.labels]


def check_box_records(name: str, out_dir: Path, results: list[Result]) -> None:
    text = (out_dir / name).read_text("utf-8")
    read = (
        [json.loads(line) for line in text.split("\n")[:-1]]
        if "jsonl" in name
        else json.loads(text)
    )
    for item, result in zip(read, results, strict=True):
        jsonschema.validate(item, result_schema())
        assert item["cracks"] == []
        for found, box, score in zip(
            item["detections"], result.detections.boxes, result.detections.scores, strict=True
        ):
            np.testing.assert_allclose(found["box"], box, atol=6e-4)
            assert found["score"] == pytest.approx(float(score), abs=1e-6)
    assert [found["label"] for item in read for found in item["detections"]] == [
        words.readable(label) for label in labels_of(results)
    ]


def check_box_csv(out_dir: Path, results: list[Result]) -> None:
    assert not (out_dir / "cracks.csv").exists()
    with (out_dir / "detections.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(labels_of(results))
    assert not any(row["source"][:1] in "=+-@" for row in rows if row["source"])
    with (out_dir / "images.csv").open(encoding="utf-8", newline="") as file:
        counts = [row["detections"] for row in csv.DictReader(file)]
    assert counts == [str(len(result.detections.labels)) for result in results]


def check_box_coco(out_dir: Path, results: list[Result]) -> None:
    coco = COCO(out_dir / "coco.json")
    names = {number: category["name"] for number, category in coco.cats.items()}
    for image_id, result in enumerate(results, 1):
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        boxes = np.array([one["bbox"] for one in found]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        np.testing.assert_allclose(boxes, result.detections.boxes, atol=2e-3)
        want = [words.readable(label) for label in result.detections.labels]
        assert [names[one["category_id"]] for one in found] == want
        assert ("frame_id" in coco.imgs[image_id]) == (result.time_s is not None)


def test_coco_numbers_classes_as_the_model_does(tmp_path: Path) -> None:
    classes = ("crack", "tear", "hole")
    results = [
        make_boxes("belt.mp4", 1, i, i / 25, label=label)
        for i, label in enumerate(("hole", "tear"))
    ]
    with open_writers(["coco"], tmp_path, classes=classes) as add:
        for result in results:
            add(result)
    coco = json.loads((tmp_path / "coco.json").read_text("utf-8"))
    assert [(one["id"], one["name"]) for one in coco["categories"]] == [
        *((1, "crack"), (2, "tear"), (3, "hole"))
    ]
    assert [one["category_id"] for one in coco["annotations"]] == [3, 2]
    assert [one["file_name"] for one in coco["images"]] == ["belt.mp4#0", "belt.mp4#1"]


def check_box_geojson(out_dir: Path, results: list[Result]) -> None:
    read = json.loads((out_dir / "cracks.geojson").read_text("utf-8"))
    assert read["properties"]["pictures_without_position"] == len(results)


def check_box_html(out_dir: Path, results: list[Result]) -> None:
    page = (out_dir / "report.html").read_text("utf-8")
    videos = [result for result in results if result.time_s is not None]
    rows = len(labels_of(results))
    assert page.count("<tr data-name") == rows or videos
    assert "alert(1)</script>" not in page
    assert ("others are left out here" in page) == (len({r.source for r in videos}) < len(videos))
    assert "No box found" in page or "boxes in" in page or "1 box in" in page


def check_box_overlay(out_dir: Path, results: list[Result]) -> None:
    drawn = [cv2.imread(str(path)) for path in (out_dir / "overlay").iterdir()]
    assert len(drawn) == len(results)
    assert all((picture != 128).any() for picture in drawn)


def check_box_video(out_dir: Path, results: list[Result]) -> None:
    """Frames that a live source passed over are filled, so that time runs as it did."""
    files = list((out_dir / "video").iterdir())
    frames = [count_frames(path) for path in files]
    timed = [result for result in results if result.time_s is not None]
    if timed:
        sources = {result.source for result in timed}
        spans = [[r.frame_index for r in timed if r.source == source] for source in sources]
        assert sorted(frames) == sorted(span[-1] - span[0] + 1 for span in spans)
    else:
        assert sum(frames) == len(results)


BOX_CHECKS = {
    "json": partial(check_box_records, "results.json"),
    "jsonl": partial(check_box_records, "results.jsonl"),
    **{"csv": check_box_csv, "coco": check_box_coco, "geojson": check_box_geojson},
    **{"html": check_box_html, "overlay": check_box_overlay, "video": check_box_video},
}


@pytest.mark.parametrize("wanted", ["masks", "probability"])
def test_a_detector_has_no_map_to_write(wanted: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jpg: its result holds no"):
        write(wanted, tmp_path, BOX_CASES["boxes"])


def test_video_plays_as_fast_as_its_source(tmp_path: Path) -> None:
    write("video", tmp_path, [make_boxes("belt.mp4", 1, i, i / 12.5) for i in range(5)])
    capture = cv2.VideoCapture(str(tmp_path / "video" / "belt.mp4"), cv2.CAP_FFMPEG)
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)


def rate_of(path: Path) -> float:
    return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FPS)


def test_a_film_has_the_rate_that_its_source_names(tmp_path: Path) -> None:
    times = [0, 0.005, 0.1, 0.2]
    results = [replace(make_boxes("a.mp4", 1, i, t), fps=12.0) for i, t in enumerate(times)]
    write("video", tmp_path, results)
    assert rate_of(tmp_path / "video" / "a.mp4") == pytest.approx(12)


def test_a_burst_at_the_start_of_a_stream_does_not_rule_its_film(tmp_path: Path) -> None:
    times = [0, 0.005, *(0.1 * i for i in range(1, 12))]
    write("video", tmp_path, [make_boxes("camera:0", 1, i, t) for i, t in enumerate(times)])
    (film,) = (tmp_path / "video").iterdir()
    assert rate_of(film) == pytest.approx(10, rel=0.01)
    assert count_frames(film) == len(times)


def test_a_live_film_is_closed_now_and_then(tmp_path: Path) -> None:
    with open_writers(["video"], tmp_path) as add:
        for i in range(4):
            add(make_boxes("rtsp://camera/belt", 1, i, i * 300.0))
        assert [path.name for path in (tmp_path / "video").iterdir() if ".part" not in path.name]
    films = sorted((tmp_path / "video").iterdir())
    assert [film.name for film in films] == ["belt.mp4", "belt_000002.mp4"]
    assert [count_frames(film) for film in films] == [2, 2]


def test_a_picture_of_another_shape_is_not_squeezed(tmp_path: Path) -> None:
    first = np.full((64, 64, 3), 255, np.uint8)
    second = np.full((32, 64, 3), 255, np.uint8)
    results = [
        replace(make_boxes(f"{i}.png", 0), size_hw=image.shape[:2], image=image)
        for i, image in enumerate((first, second))
    ]
    write("video", tmp_path, results)
    (film,) = (tmp_path / "video").iterdir()
    capture = cv2.VideoCapture(str(film), cv2.CAP_FFMPEG)
    whole, barred = (capture.read()[1][:, -4:].mean(axis=(1, 2)) for _ in range(2))
    assert whole.min() > 200
    assert barred[18:46].min() > 200
    assert max(barred[:14].max(), barred[50:].max()) < 50


def test_video_takes_any_size_and_a_change_of_it(tmp_path: Path) -> None:
    results = [make_boxes("belt.mp4", 1, i, i / 25) for i in range(4)]
    for i, size_hw in enumerate([(7, 5), (121, 33), (3000, 40), (1, 1)]):
        image = np.full((*size_hw, 3), 90, np.uint8)
        results[i] = replace(results[i], size_hw=size_hw, image=image)
    write("video", tmp_path, results)
    assert count_frames(tmp_path / "video" / "belt.mp4") == 4
