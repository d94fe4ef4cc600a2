"""DeepCrack (Liu et al.) as published: `train_img/`, `train_lab/`, `test_img/`, `test_lab/`.

Names are the source's: `11289-1` is a picture of each part, of one photograph, so a check has
something to say as soon as both are there; the sound copy made here has it in the test part only.
"""

from __future__ import annotations

from pathlib import Path

from fakes.picture import pair, save

TEST = ("11289-11", "11125-1", "11129", "11169-1", "11171", "11174", "11194", "11217")
TRAIN = 11111


def generate(root: Path, count: int) -> list[str]:
    """Write `count` pairs, every third into the test part, labels by turns 0/255."""
    names = []
    for seed in range(count):
        test = seed % 3 == 2
        name = TEST[seed // 3 % len(TEST)] if test else str(TRAIN + seed)
        write(root, "test" if test else "train", name, seed)
        names.append((test, name))
    return [name for _, name in sorted(names)]


def write(root: Path, side: str, stem: str, seed: int, suffix: str = ".jpg") -> tuple[Path, Path]:
    """One picture with its label; gives the two files."""
    image, mask = pair(seed)
    files = root / f"{side}_img" / f"{stem}{suffix}", root / f"{side}_lab" / f"{stem}.png"
    save(files[0], image)
    save(files[1], mask)
    return files
