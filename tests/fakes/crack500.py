"""Crack500: crops named after their photograph and place, masks as PNG beside them."""

from __future__ import annotations

from pathlib import Path

from fakes.picture import pair, save

SIDES = ("train", "train", "val", "test")


def generate(root: Path, count: int) -> list[str]:
    """Write `count` crops of as many photographs into `traincrop/`, `valcrop/`, `testcrop/`."""
    names = []
    for seed in range(count):
        side = SIDES[seed % len(SIDES)]
        name = f"20170101_1200{seed:02d}_1_361"
        write(root / f"{side}crop", name, seed)
        names.append((("test", "train", "val").index(side), name))
    return [name for _, name in sorted(names)]


def write(folder: Path, stem: str, seed: int, ending: str = "") -> tuple[Path, Path]:
    """One crop with its mask; gives the two files."""
    image, mask = pair(seed)
    files = folder / f"{stem}.jpg", folder / f"{stem}{ending}.png"
    save(files[0], image)
    save(files[1], mask)
    return files
