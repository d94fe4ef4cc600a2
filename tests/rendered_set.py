"""A set of rendered cracks in the pair layout, for tests of training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fissura.synth import CrackSpec, render_crack

PICTURES = 14


def write_rendered_set(root: Path) -> Path:
    """`rendered/` below `root`, which is given back."""
    for folder in ("images", "masks"):
        (root / "rendered" / folder).mkdir(parents=True)
    for seed in range(PICTURES):
        drawn = render_crack(CrackSpec(size_hw=(96, 128), width_px=8.0, contrast=0.8), seed)
        image = cv2.cvtColor(drawn.image, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(root / "rendered" / "images" / f"{seed:03}.png"), image)
        mask = drawn.mask.astype(np.uint8) * 255
        cv2.imwrite(str(root / "rendered" / "masks" / f"{seed:03}.png"), mask)
    return root
