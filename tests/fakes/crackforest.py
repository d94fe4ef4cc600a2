"""CrackForest as published: `image/NNN.jpg`, `groundTruth/NNN.mat` with labels 1 to 4."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from fakes.picture import pair


def generate(root: Path, count: int) -> list[str]:
    """Write `count` pairs; label 3, which is not crack, stands in a corner of each."""
    for folder in ("image", "groundTruth"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = [f"{i:03d}" for i in range(1, count + 1)]
    for seed, name in enumerate(names):
        image, mask = pair(seed)
        labels = np.where(mask > 0, 2, 1).astype(np.uint16)
        labels[:2, :2] = 3
        truth = {"Segmentation": labels, "Boundaries": mask > 0}
        cv2.imwrite(str(root / "image" / f"{name}.jpg"), image)
        savemat(root / "groundTruth" / f"{name}.mat", {"groundTruth": truth})
    return names
