"""Readers, splits and the held-back list, over made-up sets and, where present, the real ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import GENERATORS, deepcrack537, faults, khanhha, pairs
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fissura.datasets import DATASETS, grouping, listing, open_dataset
from fissura.datasets.check import check
from fissura.datasets.held_back import held_back, known_overlaps, same_place
from fissura.datasets.sequences import LAYOUTS
from fissura.datasets.stats import rough_width, stats, table
from fissura.datasets.truth import read_mask
from fissura.types import InputError

COUNT = 12


@pytest.fixture(params=sorted(DATASETS))
def fake(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, list[str]]:
    root = tmp_path / "made_up"
    return request.param, root, GENERATORS[request.param](root, COUNT)


def truth_files(root: Path) -> list[Path]:
    truths = (
        p for p in root.rglob("*") if p.suffix in {".png", ".mat"} or p.parent.name == "masks"
    )
    return sorted(p for p in truths if p.is_file())


class TestEveryDataset:
    def test_has_a_generator(self) -> None:
        assert GENERATORS.keys() == DATASETS.keys()

    def test_length_and_names(self, fake: tuple[str, Path, list[str]]) -> None:
        name, root, names = fake
        samples = DATASETS[name](root)
        assert len(samples) == COUNT
        assert samples.names == names
        assert all(path.is_file() for path in samples.paths)

    def test_items_are_pictures_with_their_truth(self, fake: tuple[str, Path, list[str]]) -> None:
        name, root, _ = fake
        for sample in DATASETS[name](root):
            assert sample.image.shape == (64, 96, 3)
            assert sample.image.dtype == np.uint8
            assert sample.mask is not None
            assert sample.mask.dtype == np.bool_
            dark = sample.image[sample.mask].mean()
            assert dark < sample.image[~sample.mask].mean() - 30
            assert not sample.mask[:2, :2].all()

    def test_missing_folder(self, fake: tuple[str, Path, list[str]]) -> None:
        name, root, _ = fake
        with pytest.raises(InputError, match="nowhere"):
            DATASETS[name](root / "nowhere")

    def test_missing_truth_is_named(self, fake: tuple[str, Path, list[str]]) -> None:
        name, root, _ = fake
        truth_files(root)[0].unlink()
        with pytest.raises(InputError, match="no mask"):
            DATASETS[name](root)

    def test_corrupt_truth_is_named(self, fake: tuple[str, Path, list[str]]) -> None:
        name, root, _ = fake
        broken = truth_files(root)[0]
        broken.write_bytes(broken.read_bytes()[:40])
        with pytest.raises(InputError, match=broken.name):
            list(DATASETS[name](root))

    def test_corrupt_picture_is_named(self, fake: tuple[str, Path, list[str]]) -> None:
        name, root, _ = fake
        samples = DATASETS[name](root)
        samples.paths[0].write_bytes(b"")
        with pytest.raises(InputError, match=samples.paths[0].name):
            samples[0]

    def test_is_recognised_without_a_name(self, fake: tuple[str, Path, list[str]]) -> None:
        name, root, _ = fake
        assert type(open_dataset(root)) is DATASETS[name]
        assert type(open_dataset(root.parent, root.name)) is DATASETS[name]


class TestSplits:
    @pytest.mark.parametrize("name", ["pairs", "folders"])
    def test_parts_are_disjoint_and_complete(self, name: str, tmp_path: Path) -> None:
        names = GENERATORS[name](tmp_path, 40)
        parts = [DATASETS[name](tmp_path, split).names for split in ("train", "val", "test")]
        assert sorted(parts[0] + parts[1] + parts[2]) == sorted(names)
        assert sorted(DATASETS[name](tmp_path, "train+val").names) == sorted(parts[0] + parts[1])

    def test_held_back_stems_of_a_known_set(self, tmp_path: Path) -> None:
        root = tmp_path / "cfd"
        for seed, name in enumerate(("001", "002", "095", "096", "097", "099", "100")):
            pairs.write(root, name, seed)
        assert DATASETS["pairs"](root, "held_back").names == ["001", "095"]
        assert not {"001", "095"} & set(DATASETS["pairs"](root, "train+val").names)

    def test_a_listed_split_gives_no_held_back_stem_to_training(self, tmp_path: Path) -> None:
        root = tmp_path / "cfd"
        for seed, name in enumerate(("001", "002", "095", "096", "097")):
            pairs.write(root, name, seed)
        (root / "splits").mkdir()
        (root / "splits" / "train.txt").write_text("002\n095\n097\n")
        (root / "splits" / "val.txt").write_text("001\n096\n")
        splits = {split: DATASETS["pairs"](root, split).names for split in ("train", "val")}
        assert splits == {"train": ["002", "097"], "val": ["096"]}

    def test_unknown_split_names_the_known(self, tmp_path: Path) -> None:
        pairs.generate(tmp_path, 4)
        with pytest.raises(InputError, match=r"no split 'tset'.*test"):
            DATASETS["pairs"](tmp_path, "tset")

    @given(
        st.lists(st.integers(0, 8), min_size=1, max_size=60),
        st.floats(0.1, 0.5),
        st.integers(0, 9),
    )
    def test_split_keeps_groups_whole(self, groups: list[int], share: float, seed: int) -> None:
        names = [f"p{i}" for i in range(len(groups))]
        labels = [f"g{g}" for g in groups]
        rest, chosen = grouping.split(names, labels, share, seed)
        assert sorted(rest + chosen) == sorted(names)
        of = dict(zip(names, labels, strict=True))
        assert not {of[n] for n in rest} & {of[n] for n in chosen}
        largest = max(labels.count(label) for label in labels)
        assert abs(len(chosen) - share * len(names)) <= largest
        assert grouping.split(names, labels, share, seed) == (rest, chosen)

    def test_join_is_transitive(self) -> None:
        joined = grouping.join({x: x for x in "abcd"}, [("c", "b"), ("b", "a")])
        assert joined == {"a": "a", "b": "a", "c": "a", "d": "d"}

    @pytest.mark.parametrize(
        ("dataset", "stem", "photograph"),
        [
            ("masonry", "a_0_10", "a_0"),
            ("crack500_crops", "20160222_081113_641_361", "20160222_081113"),
            ("crackmap", "GOPR0315_10", "GOPR0315"),
            ("quay_uav", "h1/MAX_0006_5m_11_10", "h1/MAX_0006_5m"),
            ("road_sequences", "df251_a/0003", "df251_a"),
            ("deepcrack537", "11289-10_test", "11289"),
            ("deepcrack537", "11216", "11216"),
            ("khanhha_mix", "Eugen_Muller_8980a_25_22_747_752", "Eugen_Muller_8980"),
            ("belt_defects", "stills/0242", "stills/0242"),
            ("unknown", "x_1_2", "x_1_2"),
        ],
    )
    def test_photograph_of_a_stem(self, dataset: str, stem: str, photograph: str) -> None:
        assert grouping.photograph(dataset, stem) == photograph


class TestDoubles:
    def test_two_pictures_of_one_name_are_refused(self, tmp_path: Path) -> None:
        pairs.generate(tmp_path, 2)
        first = sorted((tmp_path / "images").iterdir())[0]
        first.with_suffix(".png").write_bytes(first.read_bytes())
        with pytest.raises(InputError, match=rf"shares the name '{first.stem}' with"):
            open_dataset(tmp_path)

    def test_two_stems_up_to_the_first_dot_are_refused(self, tmp_path: Path) -> None:
        deepcrack537.write(tmp_path, "train", "a", 1)
        for stem in ("a.b", "a.c"):
            (tmp_path / "train_img" / f"{stem}.jpg").write_bytes(
                (tmp_path / "train_img" / "a.jpg").read_bytes()
            )
        with pytest.raises(InputError, match=r"a\.c\.jpg|a\.b\.jpg"):
            open_dataset(tmp_path)

    def test_two_masks_of_one_picture_are_refused(self, tmp_path: Path) -> None:
        pairs.generate(tmp_path, 2)
        first = sorted((tmp_path / "masks").iterdir())[0]
        first.with_stem(f"{first.stem}_mask").write_bytes(first.read_bytes())
        with pytest.raises(InputError, match="shares the name"):
            open_dataset(tmp_path)

    def test_one_name_in_two_parts_is_refused_and_named(self, tmp_path: Path) -> None:
        for side in ("train", "test"):
            khanhha.write(tmp_path, side, "CFD_007", len(side))
        with pytest.raises(InputError, match="shares the name 'CFD_007'"):
            open_dataset(tmp_path)
        found = [one for one in check(tmp_path) if one.kind == "ambiguous_pair"]
        assert [one.files for one in found] == [
            ("train/images/CFD_007.jpg", "test/images/CFD_007.jpg")
        ]


class TestMasks:
    def save(self, path: Path, image: Image.Image) -> np.ndarray:
        image.save(path)
        return read_mask(path)

    def test_threshold_zero_one_and_palette(self, tmp_path: Path) -> None:
        grey = np.array([[0, 127, 128, 255]], np.uint8)
        assert self.save(tmp_path / "a.png", Image.fromarray(grey)).tolist() == [[0, 0, 1, 1]]
        ones = np.array([[0, 1, 1, 0]], np.uint8)
        assert self.save(tmp_path / "b.png", Image.fromarray(ones)).tolist() == [[0, 1, 1, 0]]
        indexed = Image.fromarray(ones).convert("P")
        indexed.putpalette([255, 255, 255, 0, 0, 0])
        assert self.save(tmp_path / "c.png", indexed).tolist() == [[1, 0, 0, 1]]
        rgba = Image.fromarray(np.dstack([grey, grey, grey, grey * 0 + 255]), "RGBA")
        assert self.save(tmp_path / "d.png", rgba).tolist() == [[0, 0, 1, 1]]
        wide = grey.astype(np.uint16) * 257
        cv2.imwrite(str(tmp_path / "e.png"), wide)
        assert read_mask(tmp_path / "e.png").tolist() == [[0, 0, 1, 1]]

    def test_size_mismatch_is_named(self, tmp_path: Path) -> None:
        planted = faults.plant(tmp_path, 0, 1, ["size_mismatch"], side=64)
        with pytest.raises(InputError, match="mask is"):
            DATASETS["pairs"](planted.root)[0]


class TestHeldBack:
    def test_is_one_third_where_there_is_no_official_split(self, shared_data: Path) -> None:
        for name, stems in held_back().items():
            everything = set(open_dataset(shared_data, name).names)
            assert stems <= everything, name
            share = len(stems) / len(everything)
            assert 0.3 < share < 0.36 or name == "deepcrack537", (name, share)

    def test_official_split_and_its_overlaps(self, shared_data: Path) -> None:
        root = shared_data / "deepcrack537"
        test = frozenset((root / "splits" / "test.txt").read_text().split())
        overlaps = frozenset((root / "splits" / "test_overlaps_train.txt").read_text().split())
        assert held_back()["deepcrack537"] == test
        assert known_overlaps()["deepcrack537"] == overlaps
        assert len(open_dataset(root, split="held_back_clean")) == 217

    def test_no_group_straddles(self, shared_data: Path) -> None:
        parts = ("train", "val", "held_back")
        groups = [set(open_dataset(shared_data, split=part).groups) for part in parts]
        official = {g for one in groups for g in one if g.startswith("deepcrack537:")}
        train, val, kept = groups
        assert not train & val
        assert not (train | val) & kept - official

    def test_places_are_known_photographs(self, shared_data: Path) -> None:
        for name in held_back():
            stems = open_dataset(shared_data, name).names
            photographs = {grouping.photograph(name, stem) for stem in stems}
            assert {one for places in same_place(name) for one in places} <= photographs


class TestListingAndStats:
    def test_listing_names_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such folder of data"):
            listing(tmp_path / "nowhere")

    def test_listing(self, tmp_path: Path) -> None:
        (tmp_path / "cfd").mkdir()
        rows = {row["name"]: row for row in listing(tmp_path)}
        assert rows["cfd"]["found"]
        assert not rows["masonry"]["found"]
        assert {row["layout"] for row in rows.values()} <= DATASETS.keys() | LAYOUTS.keys()
        assert held_back().keys() <= rows.keys()

    def test_stats_of_a_made_up_set(self, tmp_path: Path) -> None:
        pairs.generate(tmp_path / "one", 6)
        figures = stats(tmp_path)
        one = figures["sets"]["one"]
        assert (one["pictures"], one["masks"], one["with_crack"]) == (6, 6, 6)
        assert one["sizes"] == [{"width": 96, "height": 64, "pictures": 6}]
        assert 0 < one["crack_share"]["mean"] < 0.2
        assert table(figures)[1][:2] == ("one", "6")

    @pytest.mark.parametrize("width", [1, 3, 5, 9, 15])
    def test_rough_width(self, width: int) -> None:
        mask = np.zeros((60, 200), np.bool_)
        mask[20 : 20 + width, :] = True
        assert rough_width(mask) == pytest.approx(width, abs=0.6)
        assert rough_width(np.zeros((4, 4), np.bool_)) is None
