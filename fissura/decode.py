"""Raw network outputs → crack map.

Legend: h×w the network's output grid, H×W the picture.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import FloatMap, InputError

_SATURATION = 80.0  # exp(80) still fits float32; beyond it the sigmoid is 0 or 1 anyway.


def crack_map(
    raw: Mapping[str, NDArray[np.float32]],
    size_hw: tuple[int, int],
    network_size_hw: tuple[int, int],
    output: str = "logits",
) -> FloatMap:
    """Probability of crack, H×W, from `raw[output]`: K×h×w logits of crack, or background, crack.

    The logit (or the difference of the two) is interpolated twice, to the network's input size and
    then to the picture's, before the sigmoid: once would be cheaper but not what the originals
    compute.
    """
    if output not in raw or len(raw[output]) not in (1, 2):
        found = ", ".join(f"{name} {values.shape}" for name, values in raw.items())
        raise InputError(
            f"model: gives {found or 'nothing'}; give one with {output} of one or two classes"
        )
    logits = raw[output]
    margin = logits[0] if len(logits) == 1 else logits[1] - logits[0]
    return sigmoid(resample(resample(margin, network_size_hw), size_hw))


def resample(values: FloatMap, size_hw: tuple[int, int]) -> FloatMap:
    """Bilinear with pixel centres at +0.5, edges repeated: torch's align_corners=False."""
    if values.shape == size_hw:
        return values
    resized = cv2.resize(values, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def sigmoid(values: FloatMap) -> FloatMap:
    """1 / (1 + e⁻ᵛ) without overflow, one buffer large."""
    out = np.clip(values, -_SATURATION, _SATURATION)
    np.negative(out, out=out)
    np.exp(out, out=out)
    out += 1.0
    return np.reciprocal(out, out=out)
