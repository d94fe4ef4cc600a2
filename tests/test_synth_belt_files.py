"""Rendered belts on disk: what is written, what the verb refuses, and how the masks are split."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from fissura.cli import app
from fissura.datasets import open_dataset
from fissura.datasets.check import check
from fissura.datasets.sequences import open_sequences
from fissura.synth import BeltSeries, write_belts
from fissura.types import InputError


def test_written_sequences_are_coco_with_identities(tmp_path: Path) -> None:
    series = BeltSeries(seed=1, sequences=2, frames=3, size_wh=(128, 96))
    heard: list[int] = []
    found = write_belts(
        tmp_path, series, {"cracks_per_frame": 4.0}, lambda done, total, line: heard.append(done)
    )
    assert heard == list(range(1, 7))
    coco = json.loads((tmp_path / "annotations.json").read_text("utf-8"))
    assert found == {"videos": 2, "images": 6, "annotations": len(coco["annotations"])}
    for entry in coco["images"]:
        picture = cv2.imread(str(tmp_path / entry["file_name"]))
        path = tmp_path / entry["file_name"].replace("images", "masks").replace(".jpg", ".png")
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        assert picture.shape == (96, 128, 3)
        assert mask is not None
        assert set(np.unique(mask)) <= {0, 255}
    assert [entry["frame_id"] for entry in coco["images"]] == [0, 1, 2] * 2
    assert {entry["video_id"] for entry in coco["images"]} == {1, 2}
    assert all(entry["crack_id"] >= 1 for entry in coco["annotations"])
    frame = series.scene(1, {"cracks_per_frame": 4.0}).frame(2)
    boxes = [a["bbox"] for a in coco["annotations"] if a["image_id"] == 6]
    wanted = np.concatenate([frame.boxes[:, :2], frame.boxes[:, 2:] - frame.boxes[:, :2]], axis=1)
    assert np.array(boxes).reshape(-1, 4) == pytest.approx(wanted, abs=2e-3)


def test_belts_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    for sequences, frames in ((2, 3), (1, 1)):
        write_belts(tmp_path, BeltSeries(1, sequences, frames, (64, 64)))
        (tmp_path / "images" / "belt_000" / "notes.txt").write_text("mine")
    pictures = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.glob("*/*/*"))
    assert pictures == [
        "images/belt_000/0.jpg",
        "images/belt_000/notes.txt",
        "masks/belt_000/0.png",
    ]
    assert not (tmp_path / "images" / "belt_001").exists()


def test_a_run_that_is_broken_off_leaves_a_set(tmp_path: Path) -> None:
    def stop(done: int, total: int, line: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_belts(tmp_path, BeltSeries(1, 2, 2, (64, 64)), None, stop)
    opened = open_sequences(tmp_path)
    assert [k.sequence for k in opened.keyframes] == ["belt_000", "belt_000", "belt_001"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["annotations.json", "images", "masks"]


def test_annotations_are_written_while_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fissura.synth.belt_files.SHARE", 1e9)
    listed = []

    def look(done: int, total: int, line: str) -> None:
        listed.append(len(json.loads((tmp_path / "annotations.json").read_text())["images"]))

    write_belts(tmp_path, BeltSeries(1, 3, 2, (64, 64)), None, look)
    assert listed == [0, 0, 2, 2, 4, 4]


def test_the_verb_writes_a_set_that_opens_and_never_overwrites(tmp_path: Path) -> None:
    out = tmp_path / "belts"
    command = ["data", "synth", "belt", "--out", str(out), "--sequences", "2", "--frames", "2"]
    command += ["--size", "96x64", "--speed", "3", "--set", "cracks_per_frame=5", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 4
    opened = open_sequences(out)
    assert opened.classes == ("crack", "hole")
    assert [k.sequence for k in opened.keyframes] == ["belt_000"] * 2 + ["belt_001"] * 2
    videos = json.loads((out / "annotations.json").read_text("utf-8"))["videos"]
    assert [video["speed_mps"] for video in videos] == [3, 3]
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["clouds"], "clouds"),
        (["belt", "--size", "960"], "--size 960"),
        (["belt", "--set", "light=noon"], "light=noon"),
        (["belt", "--sequences", "0"], "--sequences"),
        (["belt", "--set", "holes"], "expected NAME=VALUE, as in texture=worn"),
        (["belt", "--set", "colour=red"], "choose from texture, view, light"),
        (["belt", "--speed", "4", "--set", "speed_mps=3"], "--speed 4 and --set speed_mps=3"),
        (["belt", "--fps", "5", "--set", "fps=5"], "--fps 5 and --set fps=5"),
        (["walls", "--sequences", "5", "--size", "64x64"], "--sequences, --size: for belts only"),
        (["walls", "--set", "holes=1"], "--set: for belts only"),
    ],
)
def test_wrong_options_of_the_verb_are_named(
    tmp_path: Path, options: list[str], named: str
) -> None:
    done = CliRunner().invoke(app, ["data", "synth", *options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


class TestMasksAsASet:
    @pytest.fixture(scope="class")
    @classmethod
    def root(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("masks") / "belts"
        write_belts(folder, BeltSeries(seed=1, sequences=10, frames=3, size_wh=(64, 64)))
        return folder

    def test_sequences_stay_whole_and_on_the_side_of_their_boxes(self, root: Path) -> None:
        sides = {side: open_dataset(root, split=side) for side in ("train", "val")}
        for side, pictures in sides.items():
            boxes = open_sequences(root, split=side).keyframes
            assert len(pictures) == len(boxes) > 0
            assert {name.split("/")[0] for name in pictures.names} == {k.sequence for k in boxes}
        assert set(sides["train"].groups).isdisjoint(sides["val"].groups)
        assert len(set(sides["train"].groups) | set(sides["val"].groups)) == 10

    def test_a_list_may_name_sequences(self, root: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(root, tmp_path / "belts")
        (copy / "splits").mkdir()
        (copy / "splits" / "test.txt").write_text("belt_003\n")
        names = open_dataset(copy, split="test").names
        assert names == ["belt_003/0", "belt_003/1", "belt_003/2"]
        assert not {"split_by_frame", "split_lists_missing"} & {f.kind for f in check(copy)}

    def test_frames_on_two_sides_are_told(self, root: Path, tmp_path: Path) -> None:
        for side, belts in (("train", (0, 1, 2)), ("val", (2, 3))):
            for number, kind in itertools.product(belts, ("images", "masks")):
                name = f"belt_{number:03d}"
                shutil.copytree(root / kind / name, tmp_path / side / kind / name)
        for double in tmp_path.glob("train/*/belt_002/2.*"):
            double.unlink()
        for single in [*tmp_path.glob("val/*/belt_002/0.*"), *tmp_path.glob("val/*/belt_002/1.*")]:
            single.unlink()
        coco = json.loads((root / "annotations.json").read_text("utf-8"))
        coco["images"] = [
            entry | {"file_name": path.relative_to(tmp_path).as_posix()}
            for entry in coco["images"]
            for path in tmp_path.glob(f"*/{entry['file_name']}")
        ]
        coco["annotations"] = []
        (tmp_path / "annotations.json").write_text(json.dumps(coco))
        (told,) = [finding for finding in check(tmp_path) if finding.kind == "split_by_frame"]
        assert told.severity == "error"
        assert "train (2 frames) and val (1 frames)" in told.message

    def test_damaged_annotations_of_videos_are_refused(self, root: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(root, tmp_path / "belts")
        text = (copy / "annotations.json").read_text("utf-8")
        (copy / "annotations.json").write_text(text[: len(text) // 2])
        with pytest.raises(InputError, match=r"annotations\.json"):
            open_dataset(copy)
