"""The check names every planted fault and leaves clean pictures alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fakes import GENERATORS, NATURE, faults, pairs
from hypothesis import given
from hypothesis import strategies as st

from fissura.datasets.check import check, crops, duplicates
from fissura.types import InputError

QUICK = [kind for kind in faults.PLANTERS if kind != "crop_leak"]


@pytest.mark.parametrize("kind", QUICK)
def test_every_kind_of_fault_is_found(kind: str, tmp_path: Path) -> None:
    planted = faults.plant(tmp_path, clean=6, copies=7, kinds=[kind], side=128)
    score = faults.score(planted, check(tmp_path))
    assert score.missed == []
    assert score.false == []


def test_crops_on_both_sides_are_found_by_matching(tmp_path: Path) -> None:
    planted = faults.plant(tmp_path, clean=6, copies=3, kinds=["crop_leak"], side=256)
    assert len(faults.score(planted, check(tmp_path)).missed) == 3
    score = faults.score(planted, check(tmp_path, match_crops=True))
    assert score.missed == []
    assert score.false == []


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_clean_sets_have_no_finding(name: str, tmp_path: Path) -> None:
    GENERATORS[name](tmp_path / name, 12)
    found = check(tmp_path, name)
    assert {finding.kind for finding in found} == NATURE.get(name, set())
    assert {finding.severity for finding in found} <= {"note"}


def test_findings_are_sorted_and_become_json(tmp_path: Path) -> None:
    faults.plant(tmp_path, clean=2, copies=2, kinds=["zero_bytes", "alpha", "odd_name"], side=64)
    findings = check(tmp_path)
    assert findings == sorted(findings)
    told = json.loads(json.dumps([finding.to_dict() for finding in findings]))
    assert {"kind", "severity", "files", "message"} == told[0].keys()
    assert all(finding.message and finding.files for finding in findings)


def test_stem_in_two_splits_and_stem_without_picture(tmp_path: Path) -> None:
    planted = faults.plant(tmp_path, clean=4, copies=0, side=64)
    lists = {"train": "clean_00000\nclean_00001\n", "test": "clean_00001\nnobody\n"}
    for side, text in lists.items():
        (planted.root / "splits" / f"{side}.txt").write_text(text)
    kinds = {finding.kind: finding for finding in check(tmp_path)}
    assert kinds["split_leak"].files == ("images/clean_00001.jpg",)
    assert "nobody" in kinds["split_lists_missing"].message


@pytest.mark.parametrize(
    "name", ["wall 3", "wall?", "a:b", "-wall", "wand_ü", " wall", "tab\tname"]
)
def test_odd_names(name: str, tmp_path: Path) -> None:
    pairs.write(tmp_path, name, 0)
    findings = check(tmp_path)
    assert {finding.kind for finding in findings} == {"odd_name"}
    assert len(findings) == 2


def test_folder_without_data_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set here"):
        check(tmp_path)


class TestNearDuplicates:
    @given(st.integers(0, 2**32 - 1), st.integers(0, 7))
    def test_turned_and_mirrored_copies_are_near(self, seed: int, turn: int) -> None:
        one = np.random.default_rng(seed).integers(60, 200, (64, 64), np.uint8)
        other = one[:, ::-1] if turn >= 4 else one
        thumbs = np.stack([one, np.rot90(other, -(turn % 4))])
        assert [pair[:2] for pair in duplicates.near_pairs(thumbs)] == [(0, 1)]

    def test_blocks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(5)
        thumbs = rng.integers(60, 200, (40, 64, 64)).astype(np.uint8)
        thumbs[31], thumbs[38] = thumbs[2], thumbs[20]
        whole = duplicates.near_pairs(thumbs)
        monkeypatch.setattr(duplicates, "BLOCK", 7)
        assert duplicates.near_pairs(thumbs) == whole
        assert [pair[:2] for pair in whole] == [(2, 31), (20, 38)]

    def test_blank_pictures_are_not_alike(self) -> None:
        assert duplicates.near_pairs(np.full((5, 64, 64), 128, np.uint8)) == []


class TestRealPictures:
    def test_known_pairs_of_one_road_spot(self, shared_data: Path) -> None:
        import cv2

        def described(stem: str) -> crops.Features:
            grey = cv2.imread(str(shared_data / "cfd" / "images" / f"{stem}.jpg"), 0)
            return crops.features(grey.astype(np.uint8))

        pictures = [described(stem) for stem in ("001", "095", "004", "008", "084", "085", "002")]
        found = {(one.first, one.second) for one in crops.overlaps(pictures, exhaustive=True)}
        assert found == {(0, 1), (2, 3), (4, 5)}

    def test_crops_of_one_photograph_in_an_official_split(
        self, shared_data: Path, tmp_path: Path
    ) -> None:
        for part, suffix in (("images", ".jpg"), ("masks", ".png")):
            folder = tmp_path / "deepcrack537" / part
            folder.mkdir(parents=True)
            for stem in ("11289-1", "11289-1_test", "11152", "11194"):
                name = f"{stem}{suffix}"
                (folder / name).symlink_to(shared_data / "deepcrack537" / part / name)
        leaks = [f for f in check(tmp_path, match_crops=True) if f.kind == "split_leak"]
        files = ("11289-1.jpg", "11289-1_test.jpg")
        assert [f.files for f in leaks] == [tuple(f"deepcrack537/images/{n}" for n in files)]

    @pytest.mark.parametrize("name", ["cfd", "crack500_crops", "masonry", "quay_uav", "crackmap"])
    def test_look_alike_surfaces_are_left_alone(self, name: str, shared_data: Path) -> None:
        assert check(shared_data, name) == []
