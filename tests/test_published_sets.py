"""Sets as their authors publish them: odd names, indexes, regions, splits and known traps."""

from __future__ import annotations

from collections.abc import Callable
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


class TestIndexFiles:
    def one(self, root: Path, line: Callable[[str, str], str], name: str = "a") -> None:
        """A set of one sample whose index line is made of its two paths."""
        paths = crack_index.write(root, name, 1)
        (root / "test_index.txt").write_text(f"\n{line(*paths)}\n \n", "utf-8")

    @pytest.mark.parametrize(
        "line",
        [
            lambda a, b: f"{a} {b}",
            lambda a, b: f"  {a}\t {b}  ",
            lambda a, b: f"./{a} x/../{b}",
            lambda a, b: f"/home/someone/CrackTree/{a} /home/someone/CrackTree/{b}",
            lambda a, b: f"D:\\sets\\{a} D:\\sets\\{b}".replace("/", "\\"),
            lambda a, b: f"'{a}' \"{b}\"",
            lambda a, b: f"{Path(a).name} {Path(b).parent.name}/{Path(b).name}",
        ],
        ids=["plain", "tab", "dots", "elsewhere", "windows", "quotes", "tails"],
    )
    def test_ways_to_write_a_line(self, line: Callable[[str, str], str], tmp_path: Path) -> None:
        self.one(tmp_path, line)
        samples = open_dataset(tmp_path, split="test")
        assert samples.names == ["a"]
        assert samples[0].mask is not None

    @pytest.mark.parametrize(
        "line", [lambda a, b: f"{a} {b}", lambda a, b: f"{a}\t{b}", lambda a, b: f'"{a}" "{b}"']
    )
    def test_spaces_in_paths(self, line: Callable[[str, str], str], tmp_path: Path) -> None:
        self.one(tmp_path, line, name="wall 3 left")
        assert open_dataset(tmp_path).names == ["wall 3 left"]

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            (lambda a, b: f"{a} {b}\n{a}", "line 3: holds one path"),
            (lambda a, b: f"{a} {b}\n\n{a} nobody.png", "line 4: no mask 'nobody.png'"),
            (lambda a, b: f"nobody.jpg {b}", "line 2: no picture 'nobody.jpg'"),
            (lambda a, b: f"{a} {b} more words.png", "line 2: splits at no one space"),
            (lambda a, b: f"../../etc/x.jpg {b}", "line 2: no picture"),
            (lambda a, b: f"{a} {b}\n{'a.jpg ' * 2000}", "line 3: over 4096 characters"),
        ],
        ids=["one", "no mask", "no picture", "spaces", "outside", "long"],
    )
    def test_a_wrong_line_is_named(
        self, line: Callable[[str, str], str], says: str, tmp_path: Path
    ) -> None:
        self.one(tmp_path, line)
        with pytest.raises(InputError, match=rf"test_index\.txt: {says}"):
            open_dataset(tmp_path)
        assert says in kinds(tmp_path)["bad_index"].message

    def test_two_files_that_fit_are_an_error(self, tmp_path: Path) -> None:
        self.one(tmp_path, lambda a, b: f"/elsewhere/{Path(a).name} {b}")
        crack_index.write(tmp_path / "again", "a", 2)
        with pytest.raises(InputError, match=r"line 2: '/elsewhere/a.jpg' may mean"):
            open_dataset(tmp_path)

    def test_two_labels_of_one_picture_are_an_error(self, tmp_path: Path) -> None:
        crack_index.write(tmp_path, "b", 2)
        self.one(tmp_path, lambda a, b: f"{a} {b}\n{a} {b.replace('a.png', 'b.png')}")
        with pytest.raises(InputError, match=r"two labels for a\.jpg"):
            open_dataset(tmp_path)

    def test_an_index_that_is_not_text(self, tmp_path: Path) -> None:
        self.one(tmp_path, lambda a, b: f"{a} {b}")
        index = tmp_path / "test_index.txt"
        index.write_bytes(index.read_bytes() + b"\xff\xfe\x00")
        with pytest.raises(InputError, match="UTF-8"):
            open_dataset(tmp_path)

    @pytest.mark.parametrize("pictures", [".", "lists/.."], ids=["set", "folder"])
    def test_an_index_in_a_folder_of_its_own(self, pictures: str, tmp_path: Path) -> None:
        (tmp_path / "lists").mkdir()
        paths = crack_index.write(tmp_path, "a", 1)
        line = " ".join(f"{pictures}/{path}" for path in paths)
        (tmp_path / "lists" / "val_example.txt").write_text(line)
        assert open_dataset(tmp_path, split="val").names == ["a"]


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
        with pytest.raises(InputError, match="region mask is 48×32"):
            list(open_dataset(tmp_path))
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
