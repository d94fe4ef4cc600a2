"""Annotations that are far too large, or hold numbers that no picture has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes import sequences as fakes
from fakes.sequences import edit, kinds

from fissura.datasets import box_lists, boxes
from fissura.datasets.sequences import open_sequences, read_box_sets
from fissura.types import InputError

LIST = "annotations/train/instances_train14ks.txt"


def change_list(root: Path, more: str) -> Path:
    path = root / LIST
    path.write_text(path.read_text() + more)
    return path


class TestSize:
    @pytest.mark.parametrize("limit", ["MAX_PICTURES", "MAX_BOXES"])
    def test_lists_end_somewhere(
        self, limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = fakes.box_lists(tmp_path)
        open_sequences(root)
        monkeypatch.setattr(box_lists, limit, 5)
        with pytest.raises(InputError, match=r"14ks\.txt: over \d+ pictures or \d+ boxes; split"):
            open_sequences(root)

    def test_files_end_somewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(box_lists, "MAX_TEXT_BYTES", 2000)
        root = fakes.box_lists(tmp_path)
        change_list(root, "\n" * 2000)
        with pytest.raises(
            InputError, match=r"14ks\.txt: over 2000 bytes are no annotations; split"
        ):
            open_sequences(root)

    def test_coco_files_end_somewhere(self, tmp_path: Path) -> None:
        image = '{"id":1,"file_name":"a"}'
        text = f'{{"categories":[],"images":[{image}{("," + image) * boxes.MAX_PICTURES}]}}'
        (tmp_path / "annotations.json").write_text(text)
        with pytest.raises(InputError, match=r"\.json: images: List should have at most 250000"):
            open_sequences(tmp_path)

    def test_classes_end_somewhere(self, tmp_path: Path) -> None:
        lists = fakes.box_lists(tmp_path / "lists")
        (lists / "classes.txt").write_text("crack\n" * 20_000)
        with pytest.raises(InputError, match=r"classes\.txt: over 100000 bytes"):
            open_sequences(lists)
        root = fakes.coco(tmp_path / "coco", ("crack",) * 10_001)
        with pytest.raises(InputError, match="categories: List should have at most 10000"):
            open_sequences(root)

    def test_many_faults_are_counted_but_not_kept(self, tmp_path: Path) -> None:
        root = fakes.box_lists(tmp_path)
        change_list(root, "images/train/a/0.jpg 1,1,2,2,0\n" * 500)
        (found,) = read_box_sets(root)
        assert len(found.faults) < 200
        with pytest.raises(InputError, match=r"train/a/0 is listed twice \(and 498 more"):
            open_sequences(root)
        assert "498 more" in kinds(root)["doubled_picture"].message


NUMBERS: dict[str, tuple[str, dict[str, Any]]] = {
    "id": ("images", {"id": 2**70}),
    "video_id": ("images", {"video_id": 2**70}),
    "frame_id": ("images", {"frame_id": 2**70}),
    "width": ("images", {"width": 10**400}),
    "height": ("images", {"height": 10**7}),
    "image_id": ("annotations", {"image_id": -(2**70)}),
    "bbox": ("annotations", {"bbox": [0, 0, 1e300, 1e300]}),
    "category": ("categories", {"id": 2**70}),
    "name": ("categories", {"name": "cr\x1b[31mack"}),
}


class TestNumbers:
    @pytest.mark.parametrize("name", NUMBERS)
    def test_none_is_beyond_reason(self, name: str, tmp_path: Path) -> None:
        root = fakes.coco(tmp_path)
        part, values = NUMBERS[name]
        edit(root / "annotations.json", lambda document: document[part][0].update(values))
        with pytest.raises(
            InputError, match=rf"\.json: {part}\.0\.\w+.*: (Inp|has c).+; mend the f"
        ):
            open_sequences(root)

    @pytest.mark.parametrize("text", ["1" * 400, "9" * 5000])
    def test_names_of_many_digits(self, text: str, tmp_path: Path) -> None:
        root = fakes.box_lists(tmp_path)
        change_list(root, f"images/train/a/{text}.jpg 1,1,9,9,0\n")
        with pytest.raises(InputError, match="is not there"):
            open_sequences(root)

    @pytest.mark.parametrize("layout", ["box_lists", "voc_boxes"])
    def test_coordinates(self, layout: str, tmp_path: Path) -> None:
        root = fakes.GENERATORS[layout](tmp_path)
        path = root / (LIST if layout == "box_lists" else "Annotations/a/000000.xml")
        path.write_text(path.read_text().replace("24", "99999999", 1))
        with pytest.raises(InputError, match=rf"{path.name}: .+ beyond 1000000"):
            open_sequences(root)

    def test_names_of_classes(self, tmp_path: Path) -> None:
        root = fakes.voc_boxes(tmp_path / "voc")
        path = root / "Annotations/a/000000.xml"
        path.write_text(path.read_text().replace("crack", "cr\x7fack"))
        with pytest.raises(InputError, match="object 1 has no name"):
            open_sequences(root)
        lists = fakes.box_lists(tmp_path / "lists")
        (lists / "classes.txt").write_text("cr\x1back\n")
        with pytest.raises(InputError, match=r"classes\.txt: line 1 has control characters; mend"):
            open_sequences(lists)


class TestBoxesOutside:
    """Where the annotations do not say how large a picture is, its file does."""

    @pytest.mark.parametrize("layout", ["box_lists", "coco", "voc_boxes"])
    def test_are_left_out(self, layout: str, tmp_path: Path) -> None:
        root = fakes.GENERATORS[layout](tmp_path)
        if layout == "box_lists":
            path = root / LIST
            lines = path.read_text().splitlines()
            lines[0] += " 500,500,600,600,0 90,2,200,9,0"
            path.write_text("\n".join(lines))
        elif layout == "coco":
            edit(root / "annotations.json", without_sizes)
        else:
            path = root / "Annotations/a/000000.xml"
            text = path.read_text()
            size = text[text.index("<size>") : text.index("</size>") + 7]
            box = fakes.OBJECT.format(500, 500, 600, 600) + fakes.OBJECT.format(90, 2, 200, 9)
            path.write_text(text.replace(size, "").replace("</annotation>", f"{box}</annotation>"))
        found = open_sequences(root)
        first = next(one for one in found.keyframes if one.sequence.endswith("a"))
        assert len(first.labels) == 2
        assert first.boxes.max() == 200
        assert any("lies outside its picture of 96×64; left out" in n for n in found.notices)
        assert any("reaches beyond its picture of 96×64; kept" in n for n in found.notices)
        assert {"box_outside", "box_beyond"} <= kinds(root).keys()

    def test_a_damaged_picture_is_named_when_it_is_opened(self, tmp_path: Path) -> None:
        root = fakes.box_lists(tmp_path)
        (root / "images/train/a/0.jpg").write_bytes(b"nothing")
        with pytest.raises(InputError, match=r"a/0\.jpg"):
            open_sequences(root)
        assert read_box_sets(root)


def without_sizes(document: dict[str, Any]) -> None:
    for image in document["images"]:
        del image["width"], image["height"]
    more = [[500, 500, 100, 100], [90, 2, 110, 7]]
    for number, bbox in enumerate(more, 700):
        one = {"id": number, "image_id": 1, "category_id": 1, "bbox": bbox}
        document["annotations"].append(one)


def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    root = fakes.coco(tmp_path)
    (root / "annotations.json").write_text(json.dumps({"images": "", "categories": []}))
    with pytest.raises(InputError) as error:
        open_sequences(root)
    assert str(error.value).count("mend the file") == 1
    assert kinds(root)["bad_annotations"].message.count("mend the file") == 1


class TestLists:
    def test_pictures_are_numbered_without_gaps(self, tmp_path: Path) -> None:
        root = fakes.box_lists(tmp_path)
        path = root / LIST
        path.write_text("\n\n\n" + path.read_text().replace("\n", "\n\n"))
        found = open_sequences(root)
        assert found.own_ids
        assert sorted(one.image_id for one in found.keyframes) == list(range(1, len(found) + 1))

    def test_paths_with_commas_and_spaces(self, tmp_path: Path) -> None:
        root = fakes.box_lists(tmp_path)
        for name in ("x,y z,w.jpg", "x 1,2.png"):
            fakes.write_picture(root / "images/train" / name, fakes.Shot("a", 0, None))
        home = "/home/some one/BeltCrack/images/train"
        change_list(root, f"{home}/x,y z,w.jpg\n{home}/x 1,2.png 1,1,9,9,0\n")
        found = {one.sequence: len(one.labels) for one in open_sequences(root).keyframes}
        assert found["train/x,y z,w"] == 0
        assert found["train/x 1,2"] == 1

    def test_lists_whose_first_box_stands_late_or_nowhere(self, tmp_path: Path) -> None:
        root = fakes.box_lists(tmp_path)
        for number in range(3):
            shot = fakes.Shot("a", number, None)
            fakes.write_picture(root / f"images/val/c/{number}.jpg", shot)
            fakes.write_picture(root / f"images/val/d/{number}.jpg", shot)
        path = root / "annotations" / "val" / "instances_val.txt"
        path.parent.mkdir()
        path.write_text("images/val/c/0.jpg\n" + "\n" * 70_000 + "images/val/c/1.jpg 1,1,9,9,0\n")
        assert len(open_sequences(root, split="val")) == 2
        path.write_text("images/val/c/0.jpg\nimages/val/c/1.jpg\nimages/val/d/0.jpg")
        assert len(open_sequences(root, split="val")) == 3
