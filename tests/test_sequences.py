"""Sets of boxes as key frames: every layout, windows, splits, faults, untrusted files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import sequences as fakes
from fakes.sequences import edit, kinds
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fissura.datasets.box_picture import location_map
from fissura.datasets.box_stats import box_rows, summary
from fissura.datasets.check import check
from fissura.datasets.clips import window
from fissura.datasets.held_back import held_back
from fissura.datasets.sequences import (
    LAYOUTS,
    Sequences,
    only_classes,
    open_sequences,
    read_box_sets,
    read_clip,
)
from fissura.datasets.stats import overview, tables
from fissura.types import InputError


@pytest.fixture(params=sorted(LAYOUTS))
def fake(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    return request.param, fakes.GENERATORS[request.param](tmp_path / "made_up")


def annotation_file(root: Path) -> Path:
    found = (p for suffix in (".json", ".xml", ".txt") for p in sorted(root.rglob(f"*{suffix}")))
    return next(path for path in found if path.parent.name != "Main")


class TestEveryLayout:
    def test_has_a_generator(self) -> None:
        assert fakes.GENERATORS.keys() == LAYOUTS.keys()

    def test_is_recognised_and_counted(self, fake: tuple[str, Path]) -> None:
        name, root = fake
        found = open_sequences(root)
        listed = fakes.BOXED if name == "box_lists" else fakes.FRAMES
        assert len(found) == listed
        assert "crack" in found.classes
        assert not found.stills
        assert len(found.notices) == (name == "beltcrack"), "both of its files count from 1"
        assert len({one.sequence for one in found.keyframes}) == 2
        assert len({one.image_id for one in found.keyframes}) == listed
        assert len(open_sequences(root, annotated_only=True)) == fakes.BOXED
        again = open_sequences(root, name if name != "belt_defects" else None)
        assert [one.paths for one in again.keyframes] == [one.paths for one in found.keyframes]

    def test_items_are_windows_with_their_boxes(self, fake: tuple[str, Path]) -> None:
        _, root = fake
        for keyframe in open_sequences(root, frames=3).keyframes:
            images = read_clip(keyframe)
            assert [image.shape for image in images] == [(64, 96, 3)] * 3
            assert keyframe.size_hw == (64, 96)
            assert keyframe.boxes.dtype == np.float32
            if keyframe.labels:
                assert keyframe.labels == ("crack",)
                np.testing.assert_allclose(keyframe.boxes[0], fakes.block(images[-1]), atol=1)

    def test_windows_begin_at_the_first_frame(self, fake: tuple[str, Path]) -> None:
        _, root = fake
        for keyframe in open_sequences(root, frames=5).keyframes:
            files = sorted(keyframe.paths[-1].parent.iterdir())
            places = [files.index(path) for path in keyframe.paths]
            last = keyframe.number
            assert places == [max(last - back, 0) for back in (4, 3, 2, 1, 0)]

    def test_boxes_keep_their_fractions(self, fake: tuple[str, Path]) -> None:
        name, root = fake
        boxed = open_sequences(root, annotated_only=True).keyframes
        box = next(one for one in boxed if one.sequence.endswith("a")).boxes[0]
        whole = name == "box_lists"
        assert box.tolist() == [4.0, 8.0, *((24.0, 20.0) if whole else (24.5, 20.25))]

    def test_missing_frame_is_refused_by_name(self, fake: tuple[str, Path]) -> None:
        _, root = fake
        known = open_sequences(root).keyframes
        gone = next(one.paths[-1] for one in known if one.number == 3)
        gone.unlink()
        with pytest.raises(InputError, match=gone.stem):
            open_sequences(root)
        found = open_sequences(root, missing="earlier")
        assert any(gone.stem in notice and "stands in" in notice for notice in found.notices)
        assert gone not in {path for one in found.keyframes for path in one.paths}
        after = next(one for one in found.keyframes if one.number == 4)
        assert after.paths[-3] == after.paths[-2]
        assert len(found) == len(known) - 1

    def test_corrupt_annotations_are_refused_by_name(self, fake: tuple[str, Path]) -> None:
        name, root = fake
        path = annotation_file(root)
        path.write_bytes(b"\xff\x00 nonsense /1.jpg 1,2,3,x,0\n" + path.read_bytes()[:90])
        with pytest.raises(InputError, match=path.name):
            open_sequences(root, name if name != "belt_defects" else None)
        found = check(root, name if name != "belt_defects" else None)
        assert any(finding.severity == "error" for finding in found)

    def test_corrupt_picture_is_refused_by_name(self, fake: tuple[str, Path]) -> None:
        _, root = fake
        keyframe = open_sequences(root).keyframes[1]
        keyframe.paths[-1].write_bytes(b"nothing")
        with pytest.raises(InputError, match=keyframe.paths[-1].stem):
            read_clip(keyframe)

    def test_clean_set_has_no_finding_but_unlisted_frames(self, fake: tuple[str, Path]) -> None:
        name, root = fake
        want = {"unlisted_picture"} if name == "box_lists" else set()
        assert {f.kind for f in check(root)} - {"near_duplicate", "duplicate"} == want

    def test_table_and_picture(self, fake: tuple[str, Path], tmp_path: Path) -> None:
        _, root = fake
        figures = overview(root, out=tmp_path / "out")
        rows = figures["boxes"]
        assert sum(row["boxes"] for row in rows.values()) == fakes.BOXED
        assert sum(row["sequences"] for row in rows.values()) == 2
        assert all(row["sizes"]["small"] == row["boxes"] for row in rows.values())
        assert json.loads(json.dumps(figures)) == figures
        (table,) = tables(figures)
        assert len(table) == len(rows) + 1
        with Image.open(next((tmp_path / "out").glob("*_boxes.png"))) as picture:
            assert picture.width > 1000


class TestSplits:
    @pytest.mark.parametrize("name", ["beltcrack", "box_lists", "voc_boxes"])
    def test_sides_come_from_the_annotations(self, name: str, tmp_path: Path) -> None:
        root = fakes.GENERATORS[name](tmp_path)
        for split in ("test", "held_back"):
            kept = open_sequences(root, split=split).keyframes
            assert {one.sequence.rpartition("/")[2] for one in kept} == {"b"}
        train = open_sequences(root, split="train").keyframes
        assert {one.sequence.rpartition("/")[2] for one in train} == {"a"}
        with pytest.raises(InputError, match="split val; too few sequences"):
            open_sequences(root, split="val")
        with pytest.raises(InputError, match="no split 'nobody'"):
            open_sequences(root, split="nobody")

    def test_lists_may_name_sequences(self, tmp_path: Path) -> None:
        root = fakes.coco(tmp_path)
        (root / "splits").mkdir()
        (root / "splits" / "train.txt").write_text("a\n")
        (root / "splits" / "test.txt").write_text("b\nnobody\n")
        found = open_sequences(root, split="test")
        assert {one.sequence for one in found.keyframes} == {"b"}
        assert any("nobody" in notice for notice in found.notices)
        assert kinds(root)["split_lists_missing"].files == ("splits/test.txt",)

    def test_validation_takes_whole_sequences(self, tmp_path: Path) -> None:
        document = fakes.Document()
        document.videos = [{"id": n, "name": f"belt {n}"} for n in range(10)]
        for video in range(10):
            for number in range(4):
                shot = fakes.Shot("a", number, None)
                name = f"images/{video}/{number}.png"
                fakes.write_picture(tmp_path / name, shot)
                document.add(name, shot, video_id=video, frame_id=number)
        document.write(tmp_path / "annotations.json")
        val, train = (open_sequences(tmp_path, split=split) for split in ("val", "train"))
        names = [{one.sequence for one in part.keyframes} for part in (val, train)]
        assert names[0].isdisjoint(names[1])
        assert len(names[0] | names[1]) == 10
        assert 4 <= len(val) <= 8

    @pytest.mark.parametrize("name", ["coco", "beltcrack", "voc_boxes"])
    def test_a_split_by_frame_is_refused(self, name: str, tmp_path: Path) -> None:
        root = fakes.GENERATORS[name](tmp_path)
        if name == "coco":
            (root / "splits").mkdir()
            for side, places in (("train", range(0, 9, 2)), ("test", range(1, 9, 2))):
                names = "\n".join(f"a/{100 + 7 * n:04d}" for n in places)
                (root / "splits" / f"{side}.txt").write_text(names)
        elif name == "voc_boxes":
            test = root / "ImageSets" / "Main" / "test.txt"
            test.write_text(test.read_text() + "\na/000003")
            train = test.with_name("train.txt")
            train.write_text(train.read_text().replace("a/000003\n", ""))
        else:
            move_two_frames(root)
        with pytest.raises(InputError, match=r"split by frame|frames of one sequence"):
            open_sequences(root)
        assert kinds(root)["split_by_frame"].severity == "error"

    def test_real_sequences_are_held_back_whole(self, shared_data: Path) -> None:
        for name, count in (("belt_defects", 46), ("road_sequences", 22), ("quay_uav", 73)):
            kept, rest = (
                open_sequences(shared_data, name, split) for split in ("held_back", "train+val")
            )
            assert len(kept) == count == len(held_back()[name])
            sides = [{one.sequence for one in part.keyframes} for part in (kept, rest)]
            assert sides[0].isdisjoint(sides[1])
            assert kept.stills == (name == "quay_uav")


def move_two_frames(root: Path) -> None:
    """Frames 3 and 4 of sequence a to the test side."""
    train, test = sorted((root / "annotations").rglob("*.json"), reverse=True)
    moved: list[dict[str, Any]] = []

    def take(document: dict[str, Any]) -> None:
        moved.extend(document["images"][3:5])
        del document["images"][3:5]
        ids = {image["id"] for image in document["images"]}
        document["annotations"] = [a for a in document["annotations"] if a["image_id"] in ids]

    def give(document: dict[str, Any]) -> None:
        for number, image in enumerate(moved, 900):
            new = image["file_name"].replace("train/a", "test/a")
            (root / new).parent.mkdir(exist_ok=True)
            (root / image["file_name"]).rename(root / new)
            document["images"].append({**image, "id": number, "file_name": new})

    edit(train, take)
    edit(test, give)


class TestOrderOfFrames:
    def test_gaps_are_told_and_windows_take_what_is_there(self, tmp_path: Path) -> None:
        root = fakes.beltcrack(tmp_path)
        (root / "annotations" / "train" / "instances_train14ks.json").unlink()
        document = fakes.Document()
        for number in (0, 1, 2, 6, 7):
            shot = fakes.Shot("c", number, (1.0, 2, 3, 4))
            fakes.write_picture(root / f"images/train/c/{number}.jpg", shot)
            document.add(f"images/train/c/{number}.jpg", shot)
        document.write(root / "annotations" / "train" / "coco.json")
        found = open_sequences(root, split="train", frames=4)
        stems = {one.number: [int(path.stem) for path in one.paths] for one in found.keyframes}
        assert stems[6] == [0, 1, 2, 6]
        assert stems[7] == [1, 2, 6, 7]
        assert any("no frames between 2 and 6" in notice for notice in found.notices)
        assert kinds(root)["frame_gap"].severity == "note"

    def test_frames_without_an_entry_are_in_the_windows(self, tmp_path: Path) -> None:
        root = fakes.box_lists(tmp_path)
        third = next(one for one in open_sequences(root).keyframes if one.number == 3)
        assert [int(path.stem) for path in third.paths] == [0, 0, 1, 2, 3]

    def test_suffix_and_size_may_differ(self, tmp_path: Path) -> None:
        root = fakes.beltcrack(tmp_path)
        path = root / "images/train/a/2.jpg"
        with Image.open(path) as image:
            image.resize((48, 32)).save(path.with_suffix(".PNG"))
        path.unlink()

        def say(document: dict[str, Any]) -> None:
            document["images"][2] |= {"width": 48, "height": 32}

        edit(root / "annotations/train/instances_train14ks.json", say)
        third = open_sequences(root, split="train", frames=2).keyframes[3]
        assert [image.shape[:2] for image in read_clip(third)] == [(32, 48), (64, 96)]

    def test_two_files_of_one_number_are_refused(self, tmp_path: Path) -> None:
        root = fakes.beltcrack(tmp_path)
        fakes.write_picture(root / "images/train/a/002.png", fakes.Shot("a", 2, None))
        with pytest.raises(InputError, match="both frame 2"):
            open_sequences(root)

    def test_size_that_the_file_contradicts(self, tmp_path: Path) -> None:
        root = fakes.coco(tmp_path)
        edit(root / "annotations.json", lambda document: document["images"][0].update(width=192))
        with pytest.raises(InputError, match="is 96×64, its annotations say 192×64"):
            read_clip(open_sequences(root).keyframes[0])
        assert kinds(root)["size_mismatch"].files == ("images/a/0100.png",)

    @given(st.integers(1, 9), st.integers(1, 30))
    def test_windows(self, length: int, count: int) -> None:
        frames = tuple((number, Path(str(number))) for number in range(count))
        for place in range(count):
            found = [int(path.name) for path in window(frames, place, length)]
            assert len(found) == length
            assert found[-1] == place
            assert found == [max(place - back, 0) for back in range(length - 1, -1, -1)]

    def test_pictures_are_shared_and_cannot_be_spoilt(self, tmp_path: Path) -> None:
        found = open_sequences(fakes.coco(tmp_path)).keyframes
        one, two = read_clip(found[3]), read_clip(found[4])
        assert one[-1] is two[-2]
        with pytest.raises(ValueError, match="read-only"):
            one[-1][0] = 0


class TestClasses:
    def test_a_tear_is_a_crack(self, tmp_path: Path) -> None:
        found = open_sequences(fakes.belt_defects(tmp_path))
        assert found.classes == ("crack", "hole")

    def test_only_some_classes(self, shared_data: Path) -> None:
        every = open_sequences(shared_data, "belt_defects")
        assert every.classes == ("hole", "impact_damage", "puncture", "crack", "wear")
        cracks = only_classes(every, ["crack"])
        assert len(cracks) == len(every) == 134
        assert sum(len(one.labels) for one in cracks.keyframes) == 174
        short = open_sequences(shared_data, "belt_defects", classes=["hole"], annotated_only=True)
        assert {label for one in short.keyframes for label in one.labels} == {"hole"}
        with pytest.raises(InputError, match="no class 'rust'; there are hole"):
            only_classes(every, ["rust"])


class TestOtherLayouts:
    def test_numbered_stills_are_told(self, tmp_path: Path) -> None:
        root = fakes.beltcrack(tmp_path)
        found = open_sequences(root, "coco", split="train")
        assert found.stills
        assert all(len(set(one.paths)) == 1 for one in found.keyframes)
        assert any("beltcrack takes folders" in notice for notice in found.notices)

    def test_annotations_may_name_paths_below_or_above(self, tmp_path: Path) -> None:
        root = fakes.beltcrack(tmp_path)
        for path in (root / "annotations").rglob("*.json"):
            text = path.read_text()
            prefix = "data\\\\set\\\\images\\\\" if "test" in path.name else ""
            edit(path, lambda d: None)
            path.write_text(text.replace('"images/', f'"{prefix}'))
        assert len(open_sequences(root)) == fakes.FRAMES

    def test_shared_image_ids_are_given_anew(self, tmp_path: Path) -> None:
        found = open_sequences(fakes.beltcrack(tmp_path))
        assert [one.image_id for one in found.keyframes] == list(range(1, fakes.FRAMES + 1))
        assert not found.own_ids

    def test_several_sets_must_be_named(self, tmp_path: Path) -> None:
        fakes.coco(tmp_path / "one")
        fakes.beltcrack(tmp_path / "two")
        assert len(read_box_sets(tmp_path)) == 2
        with pytest.raises(InputError, match="several sets"):
            open_sequences(tmp_path)
        assert len(open_sequences(tmp_path, "two")) == fakes.FRAMES
        with pytest.raises(InputError, match="no such set"):
            open_sequences(tmp_path, "three")
        with pytest.raises(InputError, match="no such folder"):
            open_sequences(tmp_path / "nowhere")

    def test_no_boxes_here(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no boxes here; expected one of the layouts"):
            open_sequences(tmp_path)


class TestFigures:
    def test_real_table(self, shared_data: Path) -> None:
        (found,) = read_box_sets(shared_data, "road_sequences")
        rows = {name: summary(pictures) for name, pictures in box_rows(found).items()}
        kept = rows["road_sequences held_back"]
        assert (kept["images"], kept["sequences"], kept["boxes"]) == (22, 2, 126)
        assert sum(row["boxes"] for row in rows.values()) == 425

    def test_location_map_of_one_box(self, tmp_path: Path) -> None:
        root = fakes.coco(tmp_path)

        def whole(document: dict[str, Any]) -> None:
            for one in document["annotations"]:
                one["bbox"] = [0, 0, 48, 64]

        edit(root / "annotations.json", whole)
        (found,) = read_box_sets(root)
        covered = location_map(found.pictures)
        assert covered[:, :24].min() == pytest.approx(fakes.BOXED / fakes.FRAMES)
        assert covered[:, 24:].max() == 0


def test_frames_must_be_one_at_least(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1"):
        open_sequences(fakes.coco(tmp_path), frames=0)


def test_sequences_know_their_length(tmp_path: Path) -> None:
    found = open_sequences(fakes.coco(tmp_path))
    assert isinstance(found, Sequences)
    assert len(found) == len(found.keyframes)
