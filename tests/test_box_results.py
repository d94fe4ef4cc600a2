"""Files of COCO results: whose ids they hold, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_belts import DarkFinder, results_of, write_belts

from fissura.datasets.sequences import open_sequences
from fissura.evaluate import EvaluateSettings, evaluate
from fissura.evaluate.boxes import results
from fissura.evaluate.boxes.results import category_names, read_results
from fissura.types import InputError

FEW = EvaluateSettings(resamples=0)
CRACK, HOLE = {"id": 1, "name": "crack"}, {"id": 2, "name": "hole"}


@pytest.fixture
def belts(tmp_path: Path) -> Path:
    return write_belts(tmp_path / "belts")


def save(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), "utf-8")
    return path


def document(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "annotations.json").read_text("utf-8"))
    return found


def in_two_files(belts: Path, first: list[Any], second: list[Any]) -> Path:
    """The set with sequence a in one file and the others in a second one."""
    whole = document(belts)
    (belts / "annotations.json").unlink()
    for name, videos, categories in (("a", {1}, first), ("b", {2, 3}, second)):
        images = [one for one in whole["images"] if one["video_id"] in videos]
        ids, by_name = {one["id"] for one in images}, {c["name"]: c["id"] for c in categories}
        boxes = [
            one | {"category_id": by_name[{3: "hole", 7: "crack"}[one["category_id"]]]}
            for one in whole["annotations"]
            if one["image_id"] in ids
        ]
        part = {"images": images, "annotations": boxes, "categories": categories}
        save(belts / f"annotations_{name}.json", whole | part)
    return belts


def found_in(belts: Path, entries: list[Any], classes: tuple[str, ...]) -> list[int]:
    data = open_sequences(belts)
    given = save(belts.parent / "given.json", entries)
    labels: list[int] = read_results(given).of(data, classes)[0].label.tolist()
    return labels


def test_files_that_name_the_classes_in_another_order(belts: Path) -> None:
    in_two_files(belts, [CRACK], [{"id": 2, "name": "hole"}, CRACK])
    one = {"image_id": 100, "bbox": [0, 0, 9, 9], "score": 0.9}
    entries = [one | {"category_id": 1}, one | {"category_id": 2}]
    assert found_in(belts, entries, ("crack", "hole")) == [0, 1]


def test_files_that_disagree_about_an_id_are_refused(belts: Path, tmp_path: Path) -> None:
    in_two_files(belts, [CRACK, HOLE], [{"id": 1, "name": "hole"}, {"id": 2, "name": "crack"}])
    given = save(tmp_path / "given.json", results_of_any(belts))
    for source in (given, DarkFinder()):
        with pytest.raises(InputError, match=r"_b\.json: category 1 is hole, in .*_a\.json it is"):
            evaluate(source, belts, None, None, "coco", tmp_path / "out", FEW)
        assert not (tmp_path / "out").exists()


def results_of_any(belts: Path) -> list[dict[str, Any]]:
    return [{"image_id": 101, "category_id": 1, "bbox": [8, 8, 16, 16], "score": 0.9}]


def test_a_renamed_class_beside_its_new_name(tmp_path: Path) -> None:
    belts = write_belts(tmp_path / "belt_defects")
    whole = document(belts)
    names = [{"id": 3, "name": "tear"}, {"id": 7, "name": "crack"}, {"id": 9, "name": "hole"}]
    save(belts / "annotations.json", whole | {"categories": names})
    data = open_sequences(belts, "belt_defects")
    assert data.classes == ("crack", "hole")
    assert category_names(data) == {3: "crack", 7: "crack", 9: "hole"}
    assert set(found_in(belts, results_of(belts), data.classes)) == {0}


def test_classes_of_sets_without_ids_count_from_one(tmp_path: Path, belts: Path) -> None:
    (belts / "annotations.json").unlink()
    (belts / "classes.txt").write_text("hole\ncrack\n", "utf-8")
    (belts / "boxes.txt").write_text("images/a/0.png 1,1,9,9,1\n", "utf-8")
    assert category_names(open_sequences(belts)) == {1: "hole", 2: "crack"}


GOOD = '{"image_id": 100, "category_id": 7, "bbox": [1, 1, 9, 9], "score": 1}'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"[{GOOD} {GOOD}]", "no comma"),
        (f"[{GOOD}] garbage", "follows the list"),
        (f"[{GOOD}] \n ]", "follows the list"),
        (f"[{GOOD},]", "cannot be read"),
        (f"[,{GOOD}]", "cannot be read"),
        (f"[{GOOD}", "no end"),
        (f"[{GOOD},", "no end"),
        (" ", "no end"),
    ],
)
@pytest.mark.parametrize("chunk", [len(GOOD), len(GOOD) + 2, 10_000])
def test_lists_that_are_no_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str, chunk: int
) -> None:
    monkeypatch.setattr(results, "CHUNK", chunk)
    path = tmp_path / "given.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=says):
        read_results(path)


def test_white_space_of_any_length_between_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "CHUNK", len(GOOD))
    path, gap = tmp_path / "given.json", "\n" * 300
    path.write_text(f"{gap}[{gap}{GOOD}{gap},{gap}{GOOD}{gap}]{gap}", "utf-8")
    assert read_results(path).score.tolist() == [1, 1]


def test_a_file_without_the_pictures_of_validation(belts: Path, tmp_path: Path) -> None:
    of_test = [one for one in results_of(belts) if one["image_id"] >= 103]
    given = save(tmp_path / "given.json", of_test)
    settings = EvaluateSettings(resamples=0, validation="val")
    with pytest.raises(InputError, match=r"--validation val: .*given\.json holds no boxes on the"):
        evaluate(given, belts, None, "test", "operating-point", tmp_path / "out", settings)
