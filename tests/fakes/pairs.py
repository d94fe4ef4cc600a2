"""The layout of our data folder: `images/*.jpg`, `masks/*.png`, one sequence in a subfolder."""

from __future__ import annotations

from pathlib import Path

import cv2

from fakes.picture import pair


def generate(root: Path, count: int) -> list[str]:
    """Write `count` pairs, the last third as `sequence/NNN`, and an official split."""
    names = [f"{'sequence/' if i >= count - count // 3 else ''}{i:03d}" for i in range(count)]
    for seed, name in enumerate(names):
        write(root, name, seed)
    (root / "splits").mkdir(parents=True, exist_ok=True)
    (root / "splits" / "test.txt").write_text("\n".join(names[::4]) + "\n")
    return sorted(names)


def write(root: Path, name: str, seed: int, size_wh: tuple[int, int] = (96, 64)) -> None:
    """One picture as JPEG and its mask as PNG."""
    image, mask = pair(seed, size_wh)
    for folder, suffix, array, options in (
        ("images", ".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92]),
        ("masks", ".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 1]),
    ):
        path = root / folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), array, options)
