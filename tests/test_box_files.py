"""Broken and hostile annotations of boxes: named by the check, refused or told by the reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import sequences as fakes
from fakes.sequences import edit, kinds

from fissura.datasets.documents import MAX_XML_BYTES
from fissura.datasets.sequences import open_sequences
from fissura.types import InputError

Change = Callable[[dict[str, Any]], None]
BROKEN: dict[str, tuple[Change, str, bool]] = {
    "outside": (lambda d: d["annotations"][0].update(bbox=[200, 2, 9, 9]), "box_outside", False),
    "beyond": (lambda d: d["annotations"][0].update(bbox=[90, 2, 9, 9]), "box_beyond", False),
    "empty": (lambda d: d["annotations"][0].update(bbox=[5, 2, 0, 9]), "empty_box", False),
    "three numbers": (
        lambda d: d["annotations"][0].update(bbox=[5, 2, 0]),
        "bad_annotations",
        True,
    ),
    "no number": (
        lambda d: d["annotations"][0].update(bbox=[float("nan"), 2, 0, 9]),
        "bad_annotations",
        True,
    ),
    "same box": (
        lambda d: d["annotations"].append({**d["annotations"][0], "id": 77}),
        "doubled_box",
        False,
    ),
    "same id": (lambda d: d["annotations"][1].update(id=1), "doubled_id", False),
    "same picture": (lambda d: d["images"][1].update(id=1), "doubled_picture", True),
    "same file": (
        lambda d: d["images"][1].update(file_name="images/a/0100.png"),
        "doubled_picture",
        True,
    ),
    "same frame": (lambda d: d["images"][1].update(frame_id=0), "doubled_frame", True),
    "no frame": (lambda d: d["images"][1].pop("frame_id"), "bad_annotations", True),
    "no category": (lambda d: d["annotations"][0].update(category_id=9), "unknown_category", True),
    "no picture": (lambda d: d["annotations"][0].update(image_id=999), "unknown_picture", True),
    "outside the set": (lambda d: d["images"][0].update(file_name="../../x.jpg"), "bad_path", True),
    "crowd": (lambda d: d["annotations"][0].update(iscrowd=1), "crowd_box", False),
    "not there": (
        lambda d: d["images"][0].update(file_name="images/a/7.png"),
        "missing_frame",
        True,
    ),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_annotations_are_named(name: str, tmp_path: Path) -> None:
    change, kind, refused = BROKEN[name]
    root = fakes.coco(tmp_path)
    edit(root / "annotations.json", change)
    assert kind in kinds(root)
    if refused:
        with pytest.raises(InputError, match=r"annotations\.json: .+; "):
            open_sequences(root)
        return
    found = open_sequences(root)
    assert kind == "doubled_id" or len(found.notices) == 1
    left = {"box_outside", "empty_box", "crowd_box"}
    boxes = sum(len(one.labels) for one in found.keyframes)
    assert boxes == fakes.BOXED - (kind in left) + (kind == "doubled_box")


class TestUntrusted:
    def test_paths_never_leave_the_set(self, tmp_path: Path) -> None:
        root = fakes.beltcrack(tmp_path / "set")
        secret = tmp_path / "secret.jpg"
        fakes.write_picture(secret, fakes.Shot("a", 0, None))
        for text in (str(secret), "../secret.jpg", "images/../../secret.jpg"):

            def point(document: dict[str, Any], text: str = text) -> None:
                document["images"][0]["file_name"] = text

            edit(root / "annotations/train/instances_train14ks.json", point)
            with pytest.raises(InputError, match="train14ks"):
                open_sequences(root)

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 100_000,
            '{"images": ' + "[" * 50_000,
            '{"images": [' + "1," * 50_000 + '1], "categories": []}',
            '{"images": [], "categories": [], "annotations": {"a": 1}}',
            '{"images": [{"id": 1e400, "file_name": "x"}], "categories": []}',
            '{"images": [{"id": ' + "9" * 9_000 + ', "file_name": "x"}], "categories": []}',
            '{"images": [{"id": [1], "file_name": "x"}], "categories": []}',
            '{"images": [{"id": 1, "file_name": "\\u0000"}], "categories": []}',
        ],
    )
    def test_hostile_json(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "annotations.json").write_text(text + ' "images"')
        with pytest.raises(InputError, match=r"annotations\.json"):
            open_sequences(tmp_path, "coco")

    def test_entities_and_size_of_xml(self, tmp_path: Path) -> None:
        root = fakes.voc_boxes(tmp_path)
        path = root / "Annotations" / "a" / "000001.xml"
        good = path.read_text()
        entity = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        for text in (entity + good.replace("crack", "&x;"), good + " " * MAX_XML_BYTES):
            path.write_text(text)
            with pytest.raises(InputError, match=r"000001\.xml: (has a document type|over)"):
                open_sequences(root)

    @pytest.mark.parametrize("line", ["x.jpg 1,2,3", "x.jpg 1,2,3,4,5 nan,1,2,3,0", "a" * 70_000])
    def test_hostile_lists(self, line: str, tmp_path: Path) -> None:
        root = fakes.box_lists(tmp_path)
        path = root / "annotations" / "train" / "instances_train14ks.txt"
        path.write_text(path.read_text() + line + "\n")
        with pytest.raises(InputError, match="instances_train14ks"):
            open_sequences(root)
