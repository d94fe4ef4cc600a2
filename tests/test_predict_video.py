"""`fissura predict` on videos: what is written, said and kept."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from small_videos import count_frames, picture, write_video
from toy_detector import write_toy_detector
from toy_model import write_toy_model
from typer.testing import CliRunner, Result

from fissura import console, pipeline
from fissura.cli import app


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a video and two models, and nothing else."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "belt.avi", 8, rate=20)
    write_toy_detector(tmp_path / "belt.onnx", frames=3)
    write_toy_model(tmp_path / "toy.onnx")
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["predict", *words])


def files(folder: str) -> set[str]:
    return {str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file()}


@pytest.mark.usefixtures("here")
def test_usual_formats_of_a_video() -> None:
    done = run("belt.avi", "--model", "belt.onnx", "--out", "boxes")
    assert done.exit_code == 0, done.stderr
    tables = {"images.csv", "detections.csv"}
    whole = {"config.yaml", "results.jsonl", "coco.json", "video/belt.mp4"}
    assert files("boxes") == whole | tables
    assert count_frames(Path("boxes/video/belt.mp4")) == 8
    lines = [json.loads(line) for line in Path("boxes/results.jsonl").read_text().splitlines()]
    assert [line["frame_index"] for line in lines] == list(range(8))
    assert all(len(line["detections"]) == 1 for line in lines)
    with Path("boxes/detections.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 8

    done = run("belt.avi", "--model", "toy.onnx", "--out", "cracks")
    assert done.exit_code == 0, done.stderr
    assert files("cracks") == {
        *("config.yaml", "results.jsonl", "images.csv", "cracks.csv", "video/belt.mp4")
    }


@pytest.mark.usefixtures("here")
def test_records_hold_the_settings_that_had_a_say() -> None:
    boxes, masks = (set(settings) for settings in map(settings_of, ("belt.onnx", "toy.onnx")))
    assert {"threshold", "nms_iou", "model", "engine"} <= boxes
    assert not {"guided", "crf", "refine", "min_area_px", "tile", "fps"} & boxes
    assert {"threshold", "min_area_px", "refine", "tile"} <= masks
    assert not {"guided", "crf", "nms_iou", "fps"} & masks
    assert "guided" in settings_of("toy.onnx", "--refine", "guided", "--overwrite")


def settings_of(*words: str) -> dict[str, Any]:
    folder = words[0].removesuffix(".onnx")
    done = run("belt.avi", "--formats", "jsonl", "--out", folder, "--model", *words)
    assert done.exit_code == 0, done.stderr
    return dict(records(folder)[0]["settings"])


@pytest.mark.usefixtures("here")
def test_progress_tells_frames_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("belt.avi", "--model", "belt.onnx", "--out", "few")
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert [line.split()[0] for line in lines] == ["[1/8]", "[8/8]"]
    assert all(line.endswith("frames/s") and "1 box" in line for line in lines)
    assert "boxes     8" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("stages")]
    assert re.search(r"read .* s, network .* s, .*; the bottleneck is \w+ \(in [0-9.]+ s\)$", line)
    monkeypatch.setattr(console, "EVERY_S", 0.0)
    done = run("belt.avi", "--model", "belt.onnx", "--out", "all")
    assert len([line for line in done.stdout.splitlines() if line.startswith("[")]) == 8


@pytest.mark.usefixtures("here")
def test_json_of_a_video_is_one_document() -> None:
    done = run("belt.avi", "--model", "belt.onnx", "--json")
    document = json.loads(done.stdout)
    assert len(document["results"]) == document["summary"]["boxes"] == 8
    assert document["out"] == "runs/predict/belt"
    stages = document["stages"]
    assert stages["bottleneck"] in ("read", "network", "measure", "write")
    assert all(stages[f"{name}_s"] >= 0 for name in ("read", "network", "measure", "write"))
    assert stages["elapsed_s"] >= stages["write_s"] > 0


@pytest.mark.usefixtures("here")
def test_a_cut_video_among_others_is_told_and_the_rest_done() -> None:
    data = write_video(Path("cut.avi"), 40).read_bytes()
    Path("cut.avi").write_bytes(data[: len(data) // 2])
    Path("text.mp4").write_text("no video")
    sources = ["cut.avi", "text.mp4", "belt.avi"]
    done = run(*sources, "--model", "belt.onnx", "--out", "o", "--formats", "jsonl,video")
    assert done.exit_code == 1
    first, second = done.stderr.splitlines()
    assert "cut.avi: is cut or damaged, only" in first
    assert "text.mp4: is not an MP4" in second
    results = len(Path("o/results.jsonl").read_text().splitlines())
    assert results == count_frames(Path("o/video/cut.mp4")) + 8
    assert count_frames(Path("o/video/belt.mp4")) == 8
    assert "failed    2" in done.stdout


@pytest.mark.usefixtures("here")
def test_a_failed_source_alone_is_written_as_the_model_finds() -> None:
    Path("text.mp4").write_text("no video")
    done = run("text.mp4", "--model", "belt.onnx", "--out", "o")
    assert done.exit_code == 1
    assert "boxes     0" in done.stdout
    assert "cracks" not in done.stdout
    assert files("o") == {
        *("config.yaml", "results.jsonl", "images.csv", "detections.csv", "coco.json")
    }
    assert not Path("o/video").exists()
    assert json.loads(Path("o/coco.json").read_text())["categories"]


@pytest.mark.usefixtures("here")
def test_frames_are_counted_as_frames_and_notes_are_said() -> None:
    write_video(Path("belt.ts"), 8)
    done = run("belt.ts", "--model", "belt.onnx", "--out", "o")
    assert done.exit_code == 0
    assert "frames    8" in done.stdout
    assert "pictures" not in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("fissura: note: belt.ts: 8 frames read; the file does not say")


@pytest.mark.usefixtures("here")
def test_a_film_that_cannot_be_written_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object) -> None:
            """As where the disk is full."""

        def isOpened(self) -> bool:  # noqa: N802
            return False

        fourcc = staticmethod(lambda *_: 0)

    import cv2

    monkeypatch.setattr(cv2, "VideoWriter", Broken)
    done = run("belt.avi", "--model", "belt.onnx", "--out", "o")
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert "belt.mp4: OpenCV cannot write this video" in line


@pytest.mark.usefixtures("here")
def test_interruption_keeps_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    see, seen = pipeline.Watch.see, []

    def interrupted(self: Any, step: Any) -> Any:
        seen.append(step)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return see(self, step)

    monkeypatch.setattr(pipeline.Watch, "see", interrupted)
    done = run("belt.avi", "--model", "belt.onnx", "--out", "o")
    assert done.exit_code == 130
    assert "stopped; what was finished stays" in done.stderr
    assert count_frames(Path("o/video/belt.mp4")) == 4
    assert len(Path("o/results.jsonl").read_text().splitlines()) == 4
    assert len(json.loads(Path("o/coco.json").read_text())["images"]) == 4


@pytest.mark.usefixtures("here")
def test_a_folder_of_frames_is_written_as_one_video() -> None:
    import cv2

    Path("frames").mkdir()
    for number in range(12):
        cv2.imwrite(f"frames/{number}.png", picture(number))
    done = run("frames", "--model", "belt.onnx", "--out", "o")
    assert done.exit_code == 0, done.stderr
    assert count_frames(Path("o/video/frames.mp4")) == 12


def write_numbered(*numbers: int) -> None:
    import cv2

    Path("frames").mkdir()
    for number in numbers:
        cv2.imwrite(f"frames/f_{number}.png", picture(number))


def records(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "results.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("here")
def test_frames_of_a_folder_keep_their_numbers_and_sequence() -> None:
    write_numbered(10, 11, 12, 14, 16, 17, 20)
    Path("frames/f_16.png").write_text("broken")
    done = run("frames", "--model", "belt.onnx", "--out", "o")
    assert done.exit_code == 1
    seen = [10, 11, 12, 14, 17, 20]
    found = records("o")
    assert [one["frame_index"] for one in found] == seen
    assert {one["sequence"] for one in found} == {"frames/f_*.png"}
    assert [bool(one["notes"]) for one in found] == [False, False, False, True, True, True]
    notes = [line for line in done.stderr.splitlines() if "note:" in line]
    assert "f_14.png: number 13 is missing before" in notes[0]
    assert "f_17.png: numbers 15 to 16 are missing before" in notes[1]
    coco = json.loads(Path("o/coco.json").read_text())
    assert [one["name"] for one in coco["videos"]] == ["frames/f_*.png"]
    assert [(one["video_id"], one["frame_id"]) for one in coco["images"]] == [(1, n) for n in seen]
    assert coco["images"][0]["file_name"] == "frames/f_10.png"
    assert files("o") >= {"video/frames.mp4"}


@pytest.mark.usefixtures("here")
def test_the_rate_of_a_folder_gives_times() -> None:
    import cv2

    write_numbered(5, 6, 7, 9)
    write_toy_detector(Path("one.onnx"))
    words = ["--model", "one.onnx", "--out", "o", "--formats", "jsonl,video"]
    done = run("frames", *words, "--fps", "4")
    assert done.exit_code == 0, done.stderr
    assert [one["time_s"] for one in records("o")] == [0, 0.25, 0.5, 1]
    film = cv2.VideoCapture("o/video/frames.mp4", cv2.CAP_FFMPEG)
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(4)
    assert count_frames(Path("o/video/frames.mp4")) == 5


@pytest.mark.usefixtures("here")
def test_every_tenth_frame_is_no_gap_and_another_size_is_noted() -> None:
    import cv2

    write_numbered(0, 10, 20)
    cv2.imwrite("frames/f_30.png", picture(0)[:32])
    done = run("frames", "--model", "belt.onnx", "--out", "o", "--formats", "jsonl,video")
    (line,) = done.stderr.splitlines()
    assert "f_30.png: has 96×32 pixels where the picture before it has 96×64" in line
    assert count_frames(Path("o/video/frames.mp4")) == 4


@pytest.mark.usefixtures("here")
def test_pictures_keep_the_formats_of_pictures() -> None:
    import cv2

    write_toy_detector(Path("one.onnx"))
    cv2.imwrite("a.png", picture(3))
    done = run("a.png", "--model", "one.onnx", "--out", "o")
    assert done.exit_code == 0, done.stderr
    assert "o/report.html" in done.stdout
    assert files("o") == {
        *("config.yaml", "results.json", "images.csv", "detections.csv", "coco.json"),
        *("overlay/a.png", "report.html"),
    }


@pytest.mark.usefixtures("here")
def test_mistakes_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for words, message in [
        (("nowhere.mp4",), "nowhere.mp4: there is no such file"),
        (("belt.avi", "--nms-iou", "1.5"), "setting 'nms_iou'"),
        (("belt.avi", "--refine", "crf"), "finds boxes and has no crack map to refine"),
        (("belt.avi", "--formats", "masks"), "holds no mask"),
        (("belt.avi", "--max-pixels", "100"), "over the limit of 100"),
    ]:
        done = run(*words, "--model", "belt.onnx", "--out", "o", "--overwrite")
        assert done.exit_code in (1, 2)
        assert len(done.stderr.splitlines()) == 1
        assert message in done.stderr
