"""Plants known faults in a generated set, and scores what a check says about them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fakes.pairs import write
from fakes.picture import Picture, pair
from fissura.datasets.check import Finding

EXIF_ORIENTATION = 274


@dataclass
class Planted:
    """A set on disk: `clean` picture names, `expected` (kind, files) for every planted fault."""

    root: Path
    size_wh: tuple[int, int]
    clean: list[str] = field(default_factory=list)
    expected: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    sides: dict[str, list[str]] = field(default_factory=lambda: {"train": [], "test": []})
    seed: int = 0

    def add(self, name: str, side: str = "train") -> tuple[Path, Path]:
        """One more good pair; gives its two files."""
        self.seed += 1
        write(self.root, name, self.seed, self.size_wh)
        self.sides[side].append(name)
        return self.root / "images" / f"{name}.jpg", self.root / "masks" / f"{name}.png"

    def expect(self, kind: str, *files: Path) -> None:
        """Note what must be found."""
        below = frozenset(file.relative_to(self.root).as_posix() for file in files)
        self.expected.append((kind, below))

    def finish(self) -> None:
        """Write the split."""
        (self.root / "splits").mkdir(exist_ok=True)
        for side, names in self.sides.items():
            (self.root / "splits" / f"{side}.txt").write_text("\n".join(names) + "\n", "utf-8")


# ---- one planter for each kind of fault ----------------------------------------------------

Planter = Callable[[Planted, str, int], None]


def missing_mask(planted: Planted, name: str, turn: int) -> None:
    image, mask = planted.add(name)
    mask.unlink()
    planted.expect("missing_mask", image)


def missing_picture(planted: Planted, name: str, turn: int) -> None:
    image, mask = planted.add(name)
    image.unlink()
    planted.sides["train"].remove(name)
    planted.expect("missing_picture", mask)


def size_mismatch(planted: Planted, name: str, turn: int) -> None:
    image, mask = planted.add(name)
    values = cv2.imread(str(mask), 0)
    cv2.imwrite(
        str(mask),
        values[:-1] if turn % 2 else cv2.resize(values, None, fx=0.5, fy=0.5, interpolation=0),
    )
    planted.expect("size_mismatch", image, mask)


def zero_one_mask(planted: Planted, name: str, turn: int) -> None:
    _, mask = planted.add(name)
    cv2.imwrite(str(mask), cv2.imread(str(mask), 0) // 255)
    planted.expect("zero_one_mask", mask)


def stray_values(planted: Planted, name: str, turn: int) -> None:
    _, mask = planted.add(name)
    values = cv2.imread(str(mask), 0)
    values[turn % 5, 3] = 1 + turn * 12
    if turn % 4 == 0:
        values = cv2.GaussianBlur(values, (5, 5), 0)
    cv2.imwrite(str(mask), values)
    planted.expect("stray_values", mask)


def exif_rotated(planted: Planted, name: str, turn: int) -> None:
    image, mask = planted.add(name)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 2 + turn % 7
    with Image.open(image) as opened:
        opened.load()
    opened.save(image, quality=92, exif=exif)
    if exif[EXIF_ORIENTATION] >= 5:
        cv2.imwrite(str(mask), np.ascontiguousarray(cv2.imread(str(mask), 0).T))
    planted.expect("exif_rotated", image)


def over_8_bits(planted: Planted, name: str, turn: int) -> None:
    image, _ = planted.add(name)
    wide = cv2.imread(str(image), 1 if turn % 2 else 0).astype(np.uint16) * 257
    image.unlink()
    other = image.with_suffix((".png", ".tif")[turn % 4 // 2])
    cv2.imwrite(str(other), wide)
    planted.expect("over_8_bits", other)


def alpha(planted: Planted, name: str, turn: int) -> None:
    image, _ = planted.add(name)
    picture = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2BGRA)
    image.unlink()
    cv2.imwrite(str(image.with_suffix(".png")), picture)
    planted.expect("alpha", image.with_suffix(".png"))


def empty_mask(planted: Planted, name: str, turn: int) -> None:
    _, mask = planted.add(name)
    cv2.imwrite(str(mask), np.zeros_like(cv2.imread(str(mask), 0)))
    planted.expect("empty_mask", mask)


def duplicate(planted: Planted, name: str, turn: int) -> None:
    image, _ = planted.add(name)
    other, _ = planted.add(f"{name}_again")
    other.write_bytes(image.read_bytes())
    planted.expect("duplicate", image, other)


def near_duplicate(planted: Planted, name: str, turn: int) -> None:
    image, _ = planted.add(name)
    other, mask = planted.add(f"{name}_again")
    _save_changed(cv2.imread(str(image)), other, mask, turn)
    planted.expect("near_duplicate", image, other)


def split_leak(planted: Planted, name: str, turn: int) -> None:
    image, _ = planted.add(name)
    other, mask = planted.add(f"{name}_again", "test")
    _save_changed(cv2.imread(str(image)), other, mask, turn)
    planted.expect("split_leak", image, other)


def crop_leak(planted: Planted, name: str, turn: int) -> None:
    """A quarter to a half of a training picture, sometimes enlarged, among the test pictures."""
    image, _ = planted.add(name)
    other, mask = planted.add(f"{name}_crop", "test")
    picture = cv2.imread(str(image))
    height, width = picture.shape[:2]
    part = 0.5 + 0.2 * (turn % 3) / 2
    top, left = (
        int(height * (0.9 - part) * (turn % 4) / 3),
        int(width * (0.9 - part) * (turn % 5) / 4),
    )
    crop = picture[top : top + int(part * height), left : left + int(part * width)]
    zoom = (1.0, 1.3)[turn % 2]
    resized = cv2.resize(crop, None, fx=zoom, fy=zoom)
    cv2.imwrite(str(other), resized, [cv2.IMWRITE_JPEG_QUALITY, 80])
    _match_mask(mask, resized)
    planted.expect("split_leak", image, other)


def zero_bytes(planted: Planted, name: str, turn: int) -> None:
    emptied = planted.add(name)[turn % 2]
    emptied.write_bytes(b"")
    planted.expect("zero_bytes", emptied)


def odd_name(planted: Planted, name: str, turn: int) -> None:
    odd = (f"{name} ", f"rißbild_{name}", f" {name}", f"{name}_é")[turn % 4]
    if turn % 5 == 4:
        image, _ = planted.add(name)
        loud = image.with_suffix(".JPG")
        image.rename(loud)
    else:
        loud, _ = planted.add(odd)
    planted.expect("odd_name", loud)


def case_collision(planted: Planted, name: str, turn: int) -> None:
    image, _ = planted.add(f"{name}_abc")
    other, _ = planted.add(f"{name}_Abc")
    planted.expect("case_collision", image, other)


def unreadable(planted: Planted, name: str, turn: int) -> None:
    broken = planted.add(name)[turn % 2]
    data = broken.read_bytes()
    damaged = (
        data[: len(data) // 2],
        b"not a picture",
        data[:20],
        struct.pack("<I", turn) + data[4:],
    )
    broken.write_bytes(damaged[turn // 2 % 4])
    planted.expect("unreadable", broken)


PLANTERS: dict[str, Planter] = {
    one.__name__: one
    for one in (
        missing_mask,
        missing_picture,
        size_mismatch,
        zero_one_mask,
        stray_values,
        exif_rotated,
        over_8_bits,
        alpha,
        empty_mask,
        duplicate,
        near_duplicate,
        split_leak,
        crop_leak,
        zero_bytes,
        odd_name,
        case_collision,
        unreadable,
    )
}


def _save_changed(picture: Picture, image: Path, mask: Path, turn: int) -> None:
    """The same picture after one of the changes that copies go through."""
    changes: tuple[Callable[[], Picture], ...] = (
        lambda: picture,
        lambda: cv2.convertScaleAbs(picture, alpha=1.0, beta=30),
        lambda: cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        lambda: np.ascontiguousarray(picture[:, ::-1]),
        lambda: cv2.convertScaleAbs(picture, alpha=0.7, beta=0),
        lambda: np.rot90(picture).copy(),
        lambda: cv2.resize(picture, None, fx=1.5, fy=1.5),
    )
    changed = changes[turn % len(changes)]()
    cv2.imwrite(str(image), changed, [cv2.IMWRITE_JPEG_QUALITY, 40 if turn % 2 else 75])
    _match_mask(mask, changed)


def _match_mask(mask: Path, picture: Picture) -> None:
    cv2.imwrite(str(mask), pair(1, picture.shape[1::-1])[1])


# ---- planting and scoring ------------------------------------------------------------------


def plant(
    root: Path, clean: int, copies: int, kinds: Iterable[str] = PLANTERS, side: int = 256
) -> Planted:
    """A set of `clean` good pairs and `copies` of every fault, most pictures `side` px square."""
    planted = Planted(root, (side, side))
    for number in range(clean):
        name = f"clean_{number:05d}"
        planted.add(name, "test" if number % 4 == 0 else "train")
        planted.clean.append(name)
    for kind in kinds:
        for turn in range(copies):
            PLANTERS[kind](planted, f"{kind}_{turn:03d}", turn)
    planted.finish()
    return planted


@dataclass(frozen=True)
class Score:
    """`found` and `missed` (kind, files); `false` the clean pictures that a finding names."""

    found: list[tuple[str, frozenset[str]]]
    missed: list[tuple[str, frozenset[str]]]
    false: list[Finding]


def score(planted: Planted, findings: list[Finding]) -> Score:
    """A fault is found when one finding of its kind names all its files and no clean picture."""
    clean = {f"images/{name}.jpg" for name in planted.clean}
    clean |= {f"masks/{name}.png" for name in planted.clean}
    right = [f for f in findings if not clean.intersection(f.files)]
    found, missed = [], []
    for kind, files in planted.expected:
        hit = any(f.kind == kind and files <= set(f.files) for f in right)
        (found if hit else missed).append((kind, files))
    return Score(found, missed, [f for f in findings if clean.intersection(f.files)])
