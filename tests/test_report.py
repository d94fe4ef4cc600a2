"""Every writer, fed alike: what it leaves behind for none, few, odd and interrupted results."""

from __future__ import annotations

import csv
import gc
import json
import re
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_results import ODD_SOURCES, make_crack, make_result
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from small_videos import count_frames

from fissura.report import WRITERS, draw, prepare_output, result_to_dict
from fissura.report.parts import plates, words
from fissura.report.parts.files import Names, safe_stem
from fissura.report.parts.rle import crack_rle
from fissura.report.schema import result_schema, schema_text
from fissura.types import InputError, Quantity, Result, Scale

SCHEMA_FILE = Path(__file__).parent.parent / "docs" / "result.schema.json"
WHOLE_FILES = {"json": "results.json", "geojson": "cracks.geojson"}
FOLDERS = ("masks", "probability", "overlay", "enlarged")

CASES: dict[str, list[Result]] = {
    "nothing": [],
    "no cracks": [make_result(f"{i}.jpg", cracks=0) for i in range(2)],
    "pixels": [make_result("a.jpg", 2), make_result("b.jpg", 1)],
    "millimetres": [make_result("a.jpg", 3, mm_per_px=0.4, gps=(47.37, 8.54))],
    "hairlines": [make_result("a.jpg", 2, mm_per_px=0.4, hairline=True)],
    "mixed": [make_result("a.jpg", 2, 0.4), make_result("b.jpg", 1), make_result("c.jpg", 0)],
    "odd names": [make_result(name, 1) for name in ODD_SOURCES],
}


@pytest.fixture(params=sorted(WRITERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def write(name: str, out_dir: Path, results: Iterable[Result]) -> None:
    with WRITERS[name](out_dir) as writer:
        for result in results:
            writer.write(result)


def check(name: str, out_dir: Path, results: list[Result]) -> None:
    """Whatever the format, it reads back and holds every result."""
    CHECKS[name](out_dir, results)
    left = [path for path in out_dir.rglob("*") if path.suffix == ".part"]
    assert not left


def check_json(out_dir: Path, results: list[Result]) -> None:
    read = json.loads((out_dir / "results.json").read_text("utf-8"))
    for item in read:
        jsonschema.validate(item, result_schema())
    assert [len(item["cracks"]) for item in read] == [len(result.cracks) for result in results]


def check_jsonl(out_dir: Path, results: list[Result]) -> None:
    read = [
        json.loads(line) for line in (out_dir / "results.jsonl").read_text("utf-8").split("\n")[:-1]
    ]
    assert read == [result_to_dict(result) for result in results]


def check_csv(out_dir: Path, results: list[Result]) -> None:
    with (out_dir / "cracks.csv").open(encoding="utf-8", newline="") as file:
        cracks = list(csv.DictReader(file))
    with (out_dir / "images.csv").open(encoding="utf-8", newline="") as file:
        images = list(csv.DictReader(file))
    assert len(cracks) == sum(len(result.cracks) for result in results)
    assert [int(row["cracks"]) for row in images] == [len(result.cracks) for result in results]
    assert not any(row["source"].startswith(("=", "+", "-", "@")) for row in cracks + images)


def check_coco(out_dir: Path, results: list[Result]) -> None:
    coco = COCO(out_dir / "coco.json")
    assert sorted(coco.imgs) == list(range(1, len(results) + 1))
    for image_id, result in enumerate(results, 1):
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        union = np.zeros(result.size_hw, bool)
        for annotation in found:
            pixels = coco.annToMask(annotation).astype(bool)
            assert annotation["area"] == pixels.sum()
            assert annotation["bbox"] == list(coco_mask.toBbox(annotation["segmentation"]))
            union |= pixels
        assert np.array_equal(union, result.mask)


def check_geojson(out_dir: Path, results: list[Result]) -> None:
    read = json.loads((out_dir / "cracks.geojson").read_text("utf-8"))
    placed = [result for result in results if result.gps]
    assert read["properties"]["pictures_with_position"] == len(placed)
    assert read["properties"]["pictures_without_position"] == len(results) - len(placed)
    for feature, result in zip(read["features"], placed, strict=True):
        assert tuple(feature["geometry"]["coordinates"]) == result.gps[::-1]
        assert feature["properties"]["crack_count"] == len(result.cracks)


def check_html(out_dir: Path, results: list[Result]) -> None:
    page = (out_dir / "report.html").read_text("utf-8")
    assert page.count("<tr data-name") == sum(len(result.cracks) for result in results)
    assert page.count("data:image/jpeg") >= len(results)
    keys = re.findall(r'<td class="n[^"]*" data-k="([^"]*)"', page)
    assert all(np.isfinite(float(key)) for key in keys)
    assert "alert(1)</script>" not in page
    assert 'src="http' not in page
    assert page.rstrip().endswith("</html>")


def check_folder(folder: str, out_dir: Path, results: list[Result]) -> None:
    files = sorted((out_dir / folder).iterdir())
    assert len(files) == len(results)
    size = (240, 320) if folder in ("overlay", "enlarged") else (120, 160)
    assert all(p.suffix == ".png" and cv2.imread(str(p)).shape[:2] == size for p in files)


def check_video(out_dir: Path, results: list[Result]) -> None:
    """Pictures follow each other folder by folder."""
    assert sum(map(count_frames, out_dir.glob("video/*"))) == len(results)


CHECKS = {
    **{"json": check_json, "jsonl": check_jsonl, "csv": check_csv, "coco": check_coco},
    **{"geojson": check_geojson, "video": check_video},
    "html": check_html,
    **{folder: partial(check_folder, folder) for folder in FOLDERS},
}


@pytest.mark.parametrize("case", CASES)
def test_writes_what_it_was_given(name: str, case: str, tmp_path: Path) -> None:
    write(name, tmp_path / "new" / "folder", CASES[case])
    check(name, tmp_path / "new" / "folder", CASES[case])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interruption_keeps_what_was_done(
    name: str, error: type[BaseException], tmp_path: Path
) -> None:
    done = CASES["mixed"]

    def interrupted() -> Iterator[Result]:
        yield from done
        raise error

    with pytest.raises(error):
        write(name, tmp_path, interrupted())
    check(name, tmp_path, done)


def test_memory_does_not_grow_with_results(name: str, tmp_path: Path) -> None:
    result = make_result("x.jpg", 2, mm_per_px=0.4, gps=(1.0, 2.0))
    grown = []
    with WRITERS[name](tmp_path) as writer:
        writer.write(result)
        for _ in range(3):  # the interpreter's own tables grow now and then, a writer's every time
            tracemalloc.start()
            for _ in range(30):
                writer.write(result)
            gc.collect()
            grown.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
    held = result.enlarged.nbytes if name == "video" else 0  # the frame that awaits the next
    assert min(grown) < 30 * 1000 + held


@pytest.mark.parametrize("name", ["json", "geojson"])
def test_streamed_json_is_valid_after_every_result(name: str, tmp_path: Path) -> None:
    with WRITERS[name](tmp_path) as writer:
        for count in range(4):
            json.loads((tmp_path / WHOLE_FILES[name]).read_text("utf-8"))
            writer.write(make_result(f"{count}.jpg", gps=(1.0, 2.0)))


@pytest.mark.parametrize(
    ("name", "array"),
    [("masks", "mask"), ("probability", "crack_map"), ("overlay", "image"), ("enlarged",) * 2],
)
def test_missing_array_is_named(name: str, array: str, tmp_path: Path) -> None:
    bare = replace(make_result("pier.jpg"), **{array: None})
    with pytest.raises(InputError, match=rf"pier.jpg.*{array}"):
        write(name, tmp_path, [bare])


def test_masks_and_probabilities_read_back(tmp_path: Path) -> None:
    result = make_result("pier.jpg")
    write("masks", tmp_path, [result])
    write("probability", tmp_path, [result])
    mask = cv2.imread(str(tmp_path / "masks" / "pier.png"), cv2.IMREAD_UNCHANGED)
    levels = cv2.imread(str(tmp_path / "probability" / "pier.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask, np.where(result.mask, 255, 0))
    assert np.abs(levels / 255 - result.crack_map).max() <= 0.5 / 255 + 1e-6


def test_json_gives_pixels_and_no_arrays() -> None:
    result = make_result(mm_per_px=0.4)
    record = result_to_dict(result)
    jsonschema.validate(json.loads(json.dumps(record)), result_schema())
    union = sum(coco_mask.decode(crack["rle"]) for crack in record["cracks"])
    assert np.array_equal(union > 0, result.mask)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**record, "surprise": 1}, result_schema())


def test_schema_file_is_current() -> None:
    assert SCHEMA_FILE.read_text("utf-8") == schema_text(), (
        "run: python -m fissura.report.schema docs/result.schema.json"
    )


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_run_lengths_equal_pycocotools(data: st.DataObject) -> None:
    side = st.integers(1, 40)
    size_hw = data.draw(st.tuples(side, side))
    mask = data.draw(arrays(bool, size_hw))
    mask[data.draw(st.integers(0, size_hw[0] - 1)), data.draw(st.integers(0, size_hw[1] - 1))] = 1
    expected = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    found = crack_rle(make_crack(mask), size_hw)
    assert found["counts"] == expected["counts"].decode()
    assert found["size"] == expected["size"]


def test_run_lengths_of_a_large_picture() -> None:
    mask = np.zeros((3000, 4000), bool)
    mask[1500:1503, 5:3990] = True
    rle = crack_rle(make_crack(mask), mask.shape)
    assert np.array_equal(coco_mask.decode(rle).astype(bool), mask)


@given(st.lists(st.one_of(st.sampled_from(ODD_SOURCES), st.text(max_size=12)), max_size=25))
def test_names_never_collide_and_stay_inside(sources: list[str]) -> None:
    names = Names()
    stems = [names.stem(replace(make_result(), source=source)) for source in sources]
    assert len({stem.casefold() for stem in stems}) == len(sources)
    for stem in stems:
        assert stem == Path(stem).name
        assert len(f"{stem}.png.part".encode()) <= 255
        assert not set(stem) & set('<>:"/\\|?*\n\0')


def test_second_picture_of_a_name_takes_its_folder_along() -> None:
    names = Names()
    sources = ("a/x.jpg", "b/x.jpg", "b/x.jpg")
    stems = [names.stem(replace(make_result(), source=source)) for source in sources]
    assert stems == ["x", "b-x", "b-x-2"]
    assert safe_stem("IMG_2024.05.01.jpeg") == "IMG_2024.05.01"


@pytest.mark.parametrize("overwrite", [False, True])
def test_output_folder(tmp_path: Path, overwrite: bool) -> None:
    prepare_output(tmp_path / "new" / "out", overwrite)
    prepare_output(tmp_path / "new" / "out", overwrite)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file"):
        prepare_output(tmp_path / "file", overwrite)
    if overwrite:
        prepare_output(tmp_path, overwrite)
    else:
        with pytest.raises(InputError, match="overwrite"):
            prepare_output(tmp_path, overwrite)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1234.5, "px", "1,234 px"),
        (41.25, "px", "41.2 px"),
        (0.1834, "mm", "0.183 mm"),
        (12340.0, "mm", "12.3 m"),
        (0.0, "mm", "0 mm"),
        (2500.0, "mm²", "25.0 cm²"),
    ],
)
def test_amounts_read_well(value: float, unit: str, text: str) -> None:
    assert words.amount(value, unit) == text


def test_unresolved_quantity_gives_its_bound() -> None:
    assert words.quantity(Quantity(None, 0.0, 0.31, "mm")) == "< 0.31 mm"


@given(st.floats(1e-3, 1e6))
def test_scale_bar_has_a_round_length(longest: float) -> None:
    length = plates.round_length(longest)
    assert 0.39 * longest <= length <= longest * (1 + 1e-6)


@pytest.mark.parametrize("side", [1, 7, 64, 3000])
def test_draw_takes_any_size_and_leaves_the_picture_alone(side: int) -> None:
    mask = np.zeros((side, max(1, side // 2)), bool)
    mask[side // 2, :] = True
    image = np.full((*mask.shape, 3), 128, np.uint8)
    result = replace(
        make_result(),
        **{"size_hw": mask.shape, "mask": mask, "crack_map": None, "enlarged": None},
        image=image,
        cracks=(make_crack(mask, 1, 0.5),),
        scale=Scale(0.5, 0.01, "given"),
    )
    drawn = draw(result)
    assert drawn.shape == image.shape
    assert (image == 128).all()
    assert (drawn != image).any()


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_outline_shows_on_any_ground(ground: int) -> None:
    result = make_result(cracks=1)
    picture = np.full((*result.size_hw, 3), ground, np.uint8)
    drawn = draw(replace(result, image=picture, enlarged=None)).astype(int).sum(axis=2)
    assert drawn.max() - drawn.min() > 250
