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
        with pytest.raises(InputError, match=r"test \(2 frames\) and train \(1 frame\)"):
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


class TestListsOfVoc:
    @pytest.fixture
    def lists(self, tmp_path: Path) -> Path:
        home = fakes.voc_boxes(tmp_path) / "ImageSets" / "Main"
        (home / "train.txt").unlink()
        return home

    @pytest.mark.parametrize("name", ["belt_test", "test-2024", "crack_test", "Testing"])
    def test_their_names_may_be_longer(self, name: str, lists: Path, tmp_path: Path) -> None:
        (lists / "test.txt").rename(lists / f"{name}.txt")
        assert sequences(tmp_path, "test") == {"b"}
        assert sequences(tmp_path, "train") == {"a"}

    def test_lists_of_one_class_are_told(self, lists: Path, tmp_path: Path) -> None:
        (lists / "crack_test.txt").write_text("b/000000  1\na/000000 -1\n")
        found = open_sequences(tmp_path)
        assert sequences(tmp_path, "test") == {"b"}
        assert any("crack_test.txt: lists pictures of one" in words for words in found.notices)
        assert kinds(tmp_path)["left_out"].severity == "note"

    @pytest.mark.parametrize("text", ["b\n", "b/000000 1\r\n\r\nb/000003 -1\r\nb\r\n"])
    def test_lines_are_pictures_and_sequences(self, text: str, lists: Path, tmp_path: Path) -> None:
        (lists / "test.txt").write_text(text)
        assert sequences(tmp_path, "test") == {"b"}
        assert len(open_sequences(tmp_path, split="test")) == fakes.LENGTHS["b"]

    def test_names_may_hold_spaces(self, lists: Path, tmp_path: Path) -> None:
        for top in ("JPEGImages", "Annotations"):
            (tmp_path / top / "b").rename(tmp_path / top / "belt 1")
        (lists / "test.txt").write_text("belt 1\n")
        assert sequences(tmp_path, "test") == {"belt 1"}

    @pytest.mark.parametrize("side", ["test", "val", "train"])
    def test_a_list_of_nothing_known_is_refused(
        self, side: str, lists: Path, tmp_path: Path
    ) -> None:
        (lists / "test.txt").unlink()
        (lists / f"{side}.txt").write_text("nobody\n")
        with pytest.raises(InputError, match=rf"{side}\.txt: names no annotated .+'nobody'; mend"):
            open_sequences(tmp_path)
        assert kinds(tmp_path)["split_list_unknown"].files == (f"ImageSets/Main/{side}.txt",)

    def test_the_list_is_named(self, lists: Path, tmp_path: Path) -> None:
        path = lists / "test.txt"
        path.write_text(path.read_text() + "\nnobody")
        assert kinds(tmp_path)["split_lists_missing"].files == ("ImageSets/Main/test.txt",)
        (notice,) = open_sequences(tmp_path).notices
        assert notice == f"{path}: names 'nobody', no annotated picture or sequence; mend the list"

    def test_other_xml_files_are_left_out(self, lists: Path, tmp_path: Path) -> None:
        (tmp_path / "Annotations" / "about.xml").write_text("<notes/>")
        found = open_sequences(tmp_path)
        assert len(found) == fakes.FRAMES
        assert any("about.xml: holds no <annotation>; left out" in n for n in found.notices)


class TestFilesOfCoco:
    def test_other_names_beside_instances_are_read(self, tmp_path: Path) -> None:
        root = fakes.beltcrack(tmp_path)
        home = root / "annotations"
        train, test = sorted(home.rglob("*.json"), reverse=True)
        train.rename(home / "instances_train.json")
        test.rename(home / "val.json")
        (home / "captions_train.json").write_text('{"images": [], "annotations": []}')
        (home / "scores.json").write_text('{"images": 3}')
        found = open_sequences(root, "beltcrack")
        assert len(found) == fakes.FRAMES
        assert sequences(root, "val", "beltcrack") == {"b"}
        left = [words for words in found.notices if words.endswith("left out")]
        assert [Path(words.partition(": ")[0]).stem for words in left] == [
            "captions_train",
            "scores",
        ]


def sequences(root: Path, split: str, layout: str | None = None) -> set[str]:
    """Names of the sequences of a split, without their folders."""
    found = open_sequences(root, layout, split=split).keyframes
    return {one.sequence.rpartition("/")[2] for one in found}


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
