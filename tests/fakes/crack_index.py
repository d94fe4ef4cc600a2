"""CrackTree260 and its like: index files of `picture label` lines, curves of one pixel, regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fakes.picture import pair, save


def generate(root: Path, count: int) -> list[str]:
    """Write `count` samples with region masks, every third into `test_index.txt`."""
    lines: dict[str, list[str]] = {"train": [], "test": []}
    names = []
    for seed in range(count):
        name = f"DSCN{6000 + seed}_rot0_crop1_mirror0"
        image, label = write(root, name, seed)
        lines["test" if seed % 3 == 2 else "train"].append(f"{image} {label}")
        names.append(name)
    for side, text in lines.items():
        (root / f"{side}_index.txt").write_text("\n\n".join(text) + "\n", "utf-8")
    return names


def write(root: Path, name: str, seed: int) -> tuple[str, str]:
    """One picture, its label, and a region without the left eighth; gives the two paths."""
    image, mask = pair(seed, thin=True)
    region = np.full_like(mask, 255)
    region[:, : mask.shape[1] // 8] = 0
    paths = f"crack_train_image/{name}.jpg", f"crack_train_mask/{name}.png"
    for below, array in (*zip(paths, (image, mask), strict=True), (f"region/{name}.png", region)):
        save(root / below, array)
    return paths
