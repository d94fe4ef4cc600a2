"""Splits of sets of boxes: whole sequences, whatever the lists name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fakes import sequences as fakes
from fakes.sequences import kinds

from fissura.datasets.sequences import open_sequences
from fissura.types import InputError


class TestSomeFramesOfASequence:
    @pytest.mark.parametrize("side", ["test", "val"])
    def test_a_list_of_some_is_refused(self, side: str, tmp_path: Path) -> None:
        root = fakes.coco(tmp_path)
        (root / "splits").mkdir()
        names = "\n".join(f"a/{100 + 7 * n:04d}" for n in (1, 4, 7))
        (root / "splits" / f"{side}.txt").write_text(names)
        words = rf"the sequence a is split by frame between {side} \(3 frames\) and train \(6 fr"
        for split in ("train", side, None):
            with pytest.raises(InputError, match=words if side == "test" else "a is split by fr"):
                open_sequences(root, split=split)
        assert kinds(root)["split_by_frame"].severity == "error"

    def test_frames_that_no_split_holds_are_no_leak(self, tmp_path: Path) -> None:
        root = fakes.coco(tmp_path)
        (root / "splits").mkdir()
        (root / "splits" / "train.txt").write_text("a/0100\na/0107\na/0114\n")
        (root / "splits" / "test.txt").write_text("b\n")
        assert len(open_sequences(root, split="train")) == 3
        assert "split_by_frame" not in kinds(root)

    def test_frames_of_a_held_back_sequence(self, tmp_path: Path) -> None:
        root = tmp_path / "belt_defects"
        document = fakes.Document()
        for number in (735, 738, 1111):
            shot = fakes.Shot("a", number, None)
            name = f"images/fixed_pink_a/{number:04d}.png"
            fakes.write_picture(root / name, shot)
            document.add(name, shot, video_id=1, frame_id=number)
        document.videos = [{"id": 1, "name": "fixed_pink_a"}]
        document.write(root / "annotations.json")
        with pytest.raises(InputError, match=r"test \(2 frames\) and train \(1 frames\)"):
            open_sequences(root, split="train")


class TestNamesOfFrames:
    @pytest.mark.parametrize("name", ["frame_{}", "Frame{:04d}", "f-{}", "{home}_{:03d}"])
    @pytest.mark.parametrize("layout", ["beltcrack", "box_lists", "voc_boxes"])
    def test_numbers_after_a_word_are_frames(self, layout: str, name: str, tmp_path: Path) -> None:
        root = rename(fakes.GENERATORS[layout](tmp_path), name)
        found = open_sequences(root, layout, frames=3)
        assert {one.sequence.rpartition("/")[2] for one in found.keyframes} == {"a", "b"}
        assert sorted({one.number for one in found.keyframes})[:2] == [0, 1]
        third = next(one for one in found.keyframes if one.number == 3)
        assert len(set(third.paths)) == 3

    @pytest.mark.parametrize("layout", ["beltcrack", "coco"])
    def test_other_numbered_names_are_told(self, layout: str, tmp_path: Path) -> None:
        root = rename(fakes.beltcrack(tmp_path), "crack_{}")
        found = open_sequences(root, layout)
        assert found.stills
        assert any("are numbered" in notice for notice in found.notices)
        assert kinds(root)["no_sequence"].severity == "note"


def rename(root: Path, name: str) -> Path:
    """Give every frame another name, in the annotations too; lists of splits are removed."""

    def new(home: str, stem: str) -> str:
        return name.format(int(stem), home=home)

    for path in (root / "ImageSets").rglob("*.txt"):
        path.unlink()
    for path in [path for path in root.rglob("*.*") if path.stem.isdecimal()]:
        path.rename(path.with_stem(new(path.parent.name, path.stem)))
    for path in (root / "annotations").rglob("*.*"):
        text = path.read_text()
        path.write_text(re.sub(r"(a|b)/(\d+)(?=\.)", lambda m: f"{m[1]}/{new(m[1], m[2])}", text))
    return root
