"""Pictures and labels in folders named by side: `train_image/`, `train_label/`, …"""

from __future__ import annotations

from pathlib import Path

import cv2

from fakes.picture import pair


def generate(root: Path, count: int) -> list[str]:
    """Write `count` pairs, every third into the test side, labels named `NNN_mask.png`."""
    names = []
    for seed in range(count):
        side = "test" if seed % 3 == 2 else "train"
        image, mask = pair(seed)
        for folder, file, array in (
            ("image", f"{seed:03d}.jpg", image),
            ("label", f"{seed:03d}_mask.png", mask),
        ):
            path = root / f"{side}_{folder}" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), array)
        names.append(f"{side}/{seed:03d}")
    return sorted(names, key=lambda name: (not name.startswith("train"), name))
