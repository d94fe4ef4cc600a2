"""Index files: how lines are read and refused, links in a set, and which masks are regions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import crack_index, pairs
from fakes.picture import pair, save

from fissura.datasets import layout, open_dataset
from fissura.datasets.check import Finding, check
from fissura.types import InputError


def kinds(root: Path) -> dict[str, Finding]:
    return {finding.kind: finding for finding in check(root)}


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
            (lambda a, b: f"../../etc/x.jpg {b}", r"line 2: '../../etc/x.jpg' leads out"),
            (lambda a, b: f"../{a} {b}", "line 2: '../crack_train_image/a.jpg' leads out"),
            (lambda a, b: f"/elsewhere/a.jpg {b}", "line 2: no picture"),
            (lambda a, b: f"{b} {b}", "line 2: 'crack_train_mask/a.png' is both"),
            (lambda a, b: f"# picture label\n{a} {b}", "line 2: splits at no one space"),
            (lambda a, b: f"picture label\n{a} {b}", "line 2: no picture 'picture'"),
            (lambda a, b: f"{a}\n{a} {b}", "line 2: holds one path"),
            (lambda a, b: f"{'x' * 5000}.jpg {b}\n{a} {b}", "line 2: over 4096 characters"),
            (lambda a, b: f"{a} {b}\n{'a.jpg ' * 2000}", "line 3: over 4096 characters"),
        ],
        ids=[
            "one",
            "no mask",
            "no picture",
            "spaces",
            "outside",
            "above",
            "no folder shared",
            "twice",
            "comment",
            "heading",
            "broken first",
            "long first",
            "long",
        ],
    )
    def test_a_wrong_line_is_named(
        self, line: Callable[[str, str], str], says: str, tmp_path: Path
    ) -> None:
        self.one(tmp_path, line)
        with pytest.raises(InputError, match=rf"test_index\.txt: {says}"):
            open_dataset(tmp_path)
        assert says in kinds(tmp_path)["bad_index"].message

    def test_two_files_that_fit_are_an_error(self, tmp_path: Path) -> None:
        self.one(tmp_path, lambda a, b: f"/elsewhere/{a} {b}")
        crack_index.write(tmp_path / "again", "a", 2)
        with pytest.raises(
            InputError, match=r"line 2: '/elsewhere/crack_train_image/a.jpg' may mean"
        ):
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

    def test_a_label_is_no_picture(self, tmp_path: Path) -> None:
        crack_index.write(tmp_path, "b", 2)
        self.one(tmp_path, lambda a, b: f"{a} {b}\n{b} {b.replace('a.png', 'b.png')}")
        with pytest.raises(InputError, match=r"line 3: the picture .*a\.png is a label in line 2"):
            open_dataset(tmp_path)
        assert "case_collision" not in kinds(tmp_path)

    @pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n", b"\n\xef\xbb\xbf"])
    def test_byte_order_marks_do_not_matter(self, before: bytes, tmp_path: Path) -> None:
        self.one(tmp_path, lambda a, b: f"{a} {b}")
        index = tmp_path / "test_index.txt"
        index.write_bytes(before + index.read_bytes().strip())
        assert open_dataset(tmp_path, split="test").names == ["a"]

    def test_utf_16_is_refused_and_no_folder_read_instead(self, tmp_path: Path) -> None:
        for name in "ab":
            image, mask = pair(ord(name))
            save(tmp_path / "image" / f"{name}.jpg", image)
            save(tmp_path / "label" / f"{name}.png", mask)
        index = tmp_path / "train_index.txt"
        index.write_text("image/a.jpg label/a.png\n", "utf-16")
        with pytest.raises(InputError, match=r"train_index\.txt: line 1 is not UTF-8"):
            open_dataset(tmp_path)
        index.write_text("a\nb\n", "utf-8")
        assert open_dataset(tmp_path).names == ["a", "b"]


class TestLinks:
    def test_a_linked_folder_is_read_with_an_index_and_without(self, tmp_path: Path) -> None:
        store, root = tmp_path / "store", tmp_path / "set"
        for name in "ab":
            image, mask = pair(ord(name))
            save(store / f"{name}.jpg", image)
            save(root / "label" / f"{name}.png", mask)
        (root / "image").symlink_to(store)
        (root / "around").symlink_to(root)
        (root / "itself").symlink_to(root / "itself")
        assert open_dataset(root).names == ["a", "b"]
        (root / "val_index.txt").write_text("image/a.jpg label/a.png\n")
        assert open_dataset(root).names == ["a"]

    def test_links_that_multiply_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(layout, "MAX_LINKED", 100)
        pairs.generate(tmp_path, 2)
        folders = [tmp_path / "images" / f"f{i}" for i in range(8)]
        for folder in folders:
            folder.mkdir()
            for other in folders:
                (folder / other.name).symlink_to(other)
        with pytest.raises(InputError, match="over 100 folders by way of links"):
            open_dataset(tmp_path)


class TestRegions:
    def truths(self, root: Path, folder: str, whole: bool = False) -> None:
        """The labels again, or a mask that is white but for a corner."""
        for label in sorted((root / "Stone_gt").iterdir()):
            mask = cv2.imread(str(label), 0)
            white = np.full_like(mask, 255)
            white[:4, :4] = 0
            save(root / folder / label.name, white if whole else mask)

    def index(self, root: Path) -> Path:
        lines = []
        for name in "abc":
            image, mask = pair(ord(name))
            save(root / "Stone" / f"{name}.jpg", image)
            save(root / "Stone_gt" / f"{name}.png", mask)
            lines.append(f"Stone/{name}.jpg Stone_gt/{name}.png\n")
        (root / "test_index.txt").write_text("".join(lines))
        return root

    @pytest.mark.parametrize("folder", ["masks", "mask", "other_mask", "heroi", "Stone_gt_copy"])
    def test_other_masks_are_no_region(self, folder: str, tmp_path: Path) -> None:
        self.truths(self.index(tmp_path), folder)
        assert all(sample.region is None for sample in open_dataset(tmp_path))

    @pytest.mark.parametrize("folder", ["region", "ROI", "Stone_mask", "Stone_region"])
    def test_a_region_by_its_name(self, folder: str, tmp_path: Path) -> None:
        self.truths(self.index(tmp_path), folder, whole=True)
        region = open_dataset(tmp_path)[0].region
        assert region is not None
        assert region.mean() > 0.9
        assert not {"region_is_label", "small_region"} & kinds(tmp_path).keys()

    def test_the_label_again_is_refused(self, tmp_path: Path) -> None:
        self.truths(self.index(tmp_path), "Stone_mask")
        with pytest.raises(InputError, match=r"a\.png: the region mask is the label again"):
            list(open_dataset(tmp_path))
        found = kinds(tmp_path)["region_is_label"]
        assert found.severity == "error"
        assert found.files == tuple(f"Stone_mask/{name}.png" for name in "abc")

    def test_a_small_region_is_named(self, tmp_path: Path) -> None:
        self.truths(self.index(tmp_path), "region", whole=True)
        mask = np.zeros((64, 96), np.uint8)
        mask[10:20, 10:20] = 255
        save(tmp_path / "region" / "b.png", mask)
        found = kinds(tmp_path)["small_region"]
        assert found.severity == "warning"
        assert found.files == ("region/b.png",)
