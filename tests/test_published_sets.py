"""Sets as their authors publish them: odd names, indexes, regions, splits and known traps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import crack500, crack_index, deepcrack537, khanhha
from fakes.picture import pair, save

from fissura.datasets import DATASETS, grouping, open_dataset
from fissura.datasets.check import Finding, check
from fissura.datasets.held_back import held_back, known_overlaps
from fissura.types import InputError


def kinds(root: Path, dataset: str | None = None) -> dict[str, Finding]:
    return {finding.kind: finding for finding in check(root, dataset)}


class TestIndexSets:
    def test_lists_are_the_splits_and_copies_are_grouped(self, tmp_path: Path) -> None:
        crack_index.generate(tmp_path, 9)
        assert len(open_dataset(tmp_path, split="test")) == 3
        train = open_dataset(tmp_path, split="train+val")
        assert len(train) == 6
        assert train.groups[0] == f"{tmp_path.name}:DSCN6000"

    @pytest.mark.parametrize(
        ("stem", "photograph"),
        [
            ("6192_rot3_crop5_mirror2", "6192"),
            ("DSCN6428_crop2", "DSCN6428"),
            ("crack_plus_test_image/DSCN6428_rot8_crop1", "DSCN6428"),
            ("DSCN6428", "DSCN6428"),
        ],
    )
    def test_photograph_of_an_augmented_name(self, stem: str, photograph: str) -> None:
        assert grouping.photograph("cracktree260", stem) == photograph

    def test_region_is_read_and_must_be_complete(self, tmp_path: Path) -> None:
        crack_index.generate(tmp_path, 3)
        region = open_dataset(tmp_path)[0].region
        assert region is not None
        assert region.dtype == np.bool_
        assert not region[:, :12].any()
        assert region[:, 12:].all()
        broken = sorted((tmp_path / "region").iterdir())
        save(broken[0], np.zeros((64, 96), np.uint8))
        save(broken[1], np.full((32, 48), 255, np.uint8))
        samples = open_dataset(tmp_path)
        with pytest.raises(InputError, match=rf"{broken[0].name}: the region mask is empty"):
            samples[0]
        with pytest.raises(InputError, match="region mask is 48×32"):
            samples[1]
        broken[2].unlink()
        with pytest.raises(InputError, match="no region mask"):
            open_dataset(tmp_path)
        found = kinds(tmp_path)
        assert {"empty_region", "missing_region", "size_mismatch"} <= found.keys()
        assert found["empty_region"].files == (f"region/{broken[0].name}",)

    @pytest.mark.parametrize(
        ("folders", "name", "split"),
        [
            (("Stone331", "Stone331_gt", "Stone331_mask"), "stone331", "test"),
            (("CRKWH100", "CRKWH100_GT", None), "crkwh100", "test"),
            (("CrackLS315_image", "CrackLS315_label", None), "crackls315", "test"),
            (("CrackTree260/image", "CrackTree260/mask", None), "cracktree260", "train"),
            (("Stone331/images", "Stone331/gt", "Stone331/region"), "stone331", "test"),
        ],
    )
    def test_folders_without_an_index(
        self, folders: tuple[str, str, str | None], name: str, split: str, tmp_path: Path
    ) -> None:
        for seed, stem in enumerate(("a", "b", "c", "d")):
            image, mask = pair(seed, thin=True)
            save(tmp_path / folders[0] / f"{stem}.jpg", image)
            save(tmp_path / folders[1] / f"{stem}_gt.bmp", mask)
            if folders[2]:
                save(tmp_path / folders[2] / f"{stem}.bmp", np.full_like(mask, 255))
        samples = open_dataset(tmp_path)
        assert {entry.set for entry in samples.entries} == {name}
        assert samples.names == ["a", "b", "c", "d"]
        assert (samples[0].region is None) is (folders[2] is None)
        assert set(open_dataset(tmp_path, split=split).names) <= set(samples.names)
        assert kinds(tmp_path).keys() == {"thin_truth"}

    def test_sets_side_by_side_are_read_apart(self, tmp_path: Path) -> None:
        crack_index.generate(tmp_path / "one", 3)
        deepcrack537.generate(tmp_path / "two", 3)
        samples = open_dataset(tmp_path)
        assert {entry.set for entry in samples.entries} == {"one", "deepcrack537"}
        assert check(tmp_path) == sorted(check(tmp_path))

    def test_validation_crops_of_training_pictures_are_named(self, tmp_path: Path) -> None:
        for side, name in (("train", "DSCN1_rot0_crop1_mirror2"), ("val", "DSCN1_crop4")):
            image, label = crack_index.write(tmp_path, name, len(side))
            (tmp_path / f"{side}_example.txt").write_text(f"{image} {label}\n")
        found = kinds(tmp_path)["photograph_leak"]
        assert "DSCN1" in found.message
        assert len(found.files) == 2

    def test_a_picture_in_both_lists_is_named(self, tmp_path: Path) -> None:
        paths = crack_index.write(tmp_path, "a", 1)
        for side in ("train", "test"):
            (tmp_path / f"{side}_index.txt").write_text(" ".join(paths))
        assert "train and test" in kinds(tmp_path)["split_leak"].message

    def test_grey_labels_are_binarised_and_named(self, tmp_path: Path) -> None:
        crack_index.generate(tmp_path, 2)
        label = sorted((tmp_path / "crack_train_mask").iterdir())[0]
        values = cv2.imread(str(label), 0)
        values[0, :3] = (100, 127, 128)
        save(label, values)
        mask = open_dataset(tmp_path)[0].mask
        assert mask is not None
        assert mask[0, :3].tolist() == [False, False, True]
        assert kinds(tmp_path)["stray_values"].files == (f"crack_train_mask/{label.name}",)


class TestDeepCrack:
    def test_suffixes_dots_and_subfolders(self, tmp_path: Path) -> None:
        for seed, (stem, suffix) in enumerate(
            (("a.copy", ".JPG"), ("b", ".jpeg"), ("far/c", ".bmp"), ("d", ".png"))
        ):
            image, label = deepcrack537.write(tmp_path, "train", stem, seed, suffix)
            label.rename(label.with_name(image.name.split(".")[0] + ".png"))
        samples = open_dataset(tmp_path)
        assert samples.names == ["a", "b", "d", "far/c"]
        assert all(sample.mask is not None and sample.mask.any() for sample in samples)

    def test_binary_copies(self, tmp_path: Path) -> None:
        for seed, stem in enumerate(("a", "b", "c")):
            _, label = deepcrack537.write(tmp_path, "train", stem, seed)
            copy = label.with_name(f"{stem}_binary_label.png")
            save(copy, cv2.imread(str(label), 0) // 255)
        (tmp_path / "train_lab" / "c.png").unlink()
        samples = open_dataset(tmp_path)
        assert len(samples) == 3
        assert [e.mask.name for e in samples.entries if e.mask][2] == "c_binary_label.png"
        assert samples[2].mask is not None
        assert samples[2].mask.any()
        assert {f.kind for f in check(tmp_path)} == {"zero_one_mask"}
        save(tmp_path / "train_lab" / "b_binary_label.png", np.ones((64, 96), np.uint8))
        found = kinds(tmp_path)["copies_disagree"]
        assert found.files == ("train_lab/b.png", "train_lab/b_binary_label.png")

    def test_official_names_are_those_of_the_held_back_list(self, tmp_path: Path) -> None:
        root = tmp_path / "DeepCrack"
        for side in ("train", "test"):
            deepcrack537.write(root, side, "11289-1", len(side))
        deepcrack537.write(root, "test", "11289-11", 5)
        deepcrack537.write(root, "test", "11194", 6)
        samples = open_dataset(tmp_path)
        assert samples.names == ["11289-1", "11194", "11289-1_test", "11289-11"]
        assert {entry.set for entry in samples.entries} == {"deepcrack537"}
        assert set(open_dataset(tmp_path, split="test").names) <= held_back()["deepcrack537"]
        assert open_dataset(tmp_path, split="held_back_clean").names == ["11194"]
        assert "11289-1_test" in known_overlaps()["deepcrack537"]
        assert "11289" in kinds(tmp_path)["photograph_leak"].message

    def test_another_set_in_this_layout_keeps_its_name(self, tmp_path: Path) -> None:
        root = tmp_path / "walls"
        for side, stem in (("train", "1"), ("test", "1"), ("test", "2")):
            deepcrack537.write(root, side, stem, len(side) + int(stem))
        samples = open_dataset(root)
        assert samples.names == ["1", "1_test", "2"]
        assert {entry.set for entry in samples.entries} == {"walls"}
        assert open_dataset(root, split="held_back").names == ["1_test", "2"]

    def test_the_real_set_in_the_official_layout(self, shared_data: Path, tmp_path: Path) -> None:
        source = shared_data / "deepcrack537"
        test = frozenset((source / "splits" / "test.txt").read_text().split())
        for image in (source / "images").iterdir():
            side = "test" if image.stem in test else "train"
            stem = image.stem.removesuffix("_test")
            for folder, suffix, file in (
                ("img", ".jpg", image),
                ("lab", ".png", source / "masks" / f"{image.stem}.png"),
            ):
                link = tmp_path / f"{side}_{folder}" / f"{stem}{suffix}"
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(file)
        for split, count in (("train", 255), ("val", 45), ("test", 237), ("held_back_clean", 217)):
            ours = open_dataset(source, split=split)
            theirs = open_dataset(tmp_path, split=split)
            assert len(theirs) == count
            assert set(theirs.names) == set(ours.names)


class TestMergedSet:
    def test_sources_are_sets_and_masks_are_binary(self, tmp_path: Path) -> None:
        khanhha.generate(tmp_path, 6)
        samples = open_dataset(tmp_path)
        assert samples.entries[0].set == "khanhha/CFD"
        assert samples.groups[0] == "khanhha:002"
        assert all(sample.mask is not None and sample.mask.mean() < 0.2 for sample in samples)

    @pytest.mark.parametrize(
        ("stem", "photograph"),
        [
            ("CFD_001", "001"),
            ("forest_001", "001"),
            ("CRACK500_20160222_081011_1_361", "20160222_081011"),
            ("DeepCrack_11289-1", "11289"),
            ("GAPS384_train_0514_541_1", "GAPS384_train_0514"),
            ("Rissbilder_for_Florian_9S6A2815_1_2_3590_2891", "Rissbilder_for_Florian_9S6A2815"),
            ("Volker_DSC01631_2_30_1821_2154", "Volker_DSC01631"),
            ("Eugen_Muller_8980a_25_22_747_752", "Eugen_Muller_8980"),
            ("noncrack_noncrack_concrete_wall_13_2", "concrete_wall_13"),
            ("Sylvie_Chambon_118", "Sylvie_Chambon_118"),
        ],
    )
    def test_photograph_of_a_name(self, stem: str, photograph: str) -> None:
        assert grouping.photograph("khanhha", stem) == photograph

    def test_doubled_names_of_sound_pictures(self, tmp_path: Path) -> None:
        for part in ("images", "masks"):
            picture = pair(1)[0] if part == "images" else np.zeros((64, 96), np.uint8)
            save(tmp_path / "train" / part / "noncrack_noncrack_wall_1_2.jpg.jpg", picture)
        assert open_dataset(tmp_path).names == ["noncrack_noncrack_wall_1_2"]

    def test_twins(self, tmp_path: Path) -> None:
        for seed, (side, stem) in enumerate(
            (("train", "CFD_002"), ("train", "CFD_003"), ("train", "CFD_004"))
        ):
            khanhha.write(tmp_path, side, stem, seed)
            khanhha.write(tmp_path, "test" if seed == 1 else side, f"forest_00{seed + 2}", seed)
        found = kinds(tmp_path)
        assert len(found["twins"].files) == 6
        assert found["split_leak"].files == (
            "train/images/CFD_003.jpg",
            "test/images/forest_003.jpg",
        )
        assert "duplicate" not in found

    def test_crops_of_one_photograph_across_the_split(self, tmp_path: Path) -> None:
        for seed, (side, stem) in enumerate(
            (
                ("train", "CRACK500_20170101_120000_1_361"),
                ("test", "CRACK500_20170101_120000_641_1"),
                ("train", "Volker_DSC09999_2_30_1821_2154"),
                ("test", "Volker_DSC09999_100_30_1921_2154"),
                ("train", "Volker_DSC09998_100_30_1921_2154"),
            )
        ):
            khanhha.write(tmp_path, side, stem, seed)
        leaks = [f for f in check(tmp_path) if f.kind == "photograph_leak"]
        assert [len(f.files) for f in leaks] == [2, 2]
        assert "20170101_120000" in "".join(leak.message for leak in leaks)

    def test_what_is_held_back_elsewhere_is_held_back_here(self, tmp_path: Path) -> None:
        stem = min(held_back()["khanhha_mix"])
        kept = ["forest_001", "CRACK500_" + min(held_back()["crack500_crops"]), stem]
        kept += ["DeepCrack_11289-1", "DeepCrack_11194"]
        for seed, name in enumerate([*kept, "CFD_002", "CRACK500_20170101_120000_1_1"]):
            khanhha.write(tmp_path, "train", name, seed)
        assert set(open_dataset(tmp_path, split="held_back").names) == set(kept)
        train = open_dataset(tmp_path, split="train+val").names
        assert train == ["CFD_002", "CRACK500_20170101_120000_1_1"]
        assert len(kinds(tmp_path)["held_back"].files) == len(kept)


class TestCrack500:
    def test_the_parts_are_the_splits(self, tmp_path: Path) -> None:
        crack500.generate(tmp_path, 12)
        counts = {s: len(open_dataset(tmp_path, split=s)) for s in ("train", "val", "test")}
        assert counts == {"train": 6, "val": 3, "test": 3}
        assert open_dataset(tmp_path).groups[0] == "crack500:20170101_120003"

    def test_whole_photographs_in_nested_folders(self, tmp_path: Path) -> None:
        crack500.write(tmp_path / "traindata" / "traindata", "20170101_120000", 1, "_mask")
        crack500.write(tmp_path / "tesdata", "20170101_120001", 2, "_mask")
        assert open_dataset(tmp_path, split="train+val").names == ["20170101_120000"]
        assert open_dataset(tmp_path, split="test").names == ["20170101_120001"]
        found = kinds(tmp_path)
        assert found.keys() == {"misspelt_folder"}
        assert found["misspelt_folder"].files == ("tesdata",)

    def test_index_files_go_before_folders(self, tmp_path: Path) -> None:
        crack500.generate(tmp_path, 4)
        stem = "20170101_120000_1_361"
        line = f"traincrop/{stem}.jpg traincrop/{stem}.png\n"
        (tmp_path / "val.txt").write_text(line)
        assert open_dataset(tmp_path).names == [stem]
        assert open_dataset(tmp_path, split="val").names == [stem]

    def test_crops_of_one_photograph_across_the_split(self, tmp_path: Path) -> None:
        crack500.write(tmp_path / "traincrop", "20170101_120000_1_1", 1)
        crack500.write(tmp_path / "testcrop", "20170101_120000_1_361", 2)
        crack500.write(tmp_path / "testcrop", "20170101_120009_1_361", 3)
        assert len(kinds(tmp_path)["photograph_leak"].files) == 2

    def test_a_png_beside_the_photograph_is_no_picture(self, tmp_path: Path) -> None:
        stem = "20170101_120000_1_1"
        image, mask = crack500.write(tmp_path / "traincrop", stem, 1)
        _, other = crack500.write(tmp_path / "traincrop", stem, 1, "_mask")
        with pytest.raises(InputError, match=rf"{other.name}: shares the name '{stem}'"):
            open_dataset(tmp_path)
        assert set(kinds(tmp_path)) == {"ambiguous_pair"}
        other.unlink()
        assert open_dataset(tmp_path).paths == [image]
        mask.unlink()
        crack500.write(tmp_path / "traincrop", stem, 1, "_mask")
        image.rename(image.with_suffix(".png"))
        assert open_dataset(tmp_path).paths == [image.with_suffix(".png")]

    def test_one_name_in_two_parts(self, tmp_path: Path) -> None:
        for seed, side in enumerate(("train", "test")):
            crack500.write(tmp_path / f"{side}crop", "20170101_120000_1_1", seed)
        samples = open_dataset(tmp_path)
        assert len(set(samples.names)) == 2
        assert len(set(samples.groups)) == 1

    def test_a_mask_without_its_picture(self, tmp_path: Path) -> None:
        image, mask = crack500.write(tmp_path / "traincrop", "20170101_120000_1_1", 1)
        crack500.write(tmp_path / "traincrop", "20170101_120001_1_1", 2)
        image.unlink()
        found = kinds(tmp_path)["missing_picture"]
        assert found.files == (mask.relative_to(tmp_path).as_posix(),)


def test_a_layout_asked_for_by_name_says_what_it_wants(tmp_path: Path) -> None:
    for name, reader in DATASETS.items():
        with pytest.raises(InputError, match="no data set here; expected"):
            reader(tmp_path)
        with pytest.raises(InputError, match="no data set here; expected"):
            check(tmp_path, name)
