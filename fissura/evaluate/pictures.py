"""Scores of a picture that no count of pixels gives: HD95, PSNR and SSIM of what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fissura.evaluate.protocols import Protocol
from fissura.evaluate.sources import Seen
from fissura.metrics import hd95, psnr_rgb, ssim_zero_pad
from fissura.types import BoolMask, Sample, UInt8Image

BEST_PSNR = 100.0
"""Equal pictures count as this many dB, so that means stay finite."""

Measured = Mapping[str, Sequence[float]]
Unit = NDArray[np.float32]

DEFINITIONS = {
    "hd95": (
        "HD95, in pixels: at threshold 0.5; contour pixels of a mask have a 4-neighbour outside it"
        " (beyond the picture is outside); of the Euclidean distances from every contour pixel of"
        " the prediction to the nearest of the truth the 95th percentile, the same from truth to"
        " prediction, and the larger of the two; 0 if both masks are empty, the picture's diagonal"
        " if one is; mean over pictures, less is better."
    ),
    "one_empty": "One empty: share of pictures where the truth or the prediction at 0.5 is empty,"
    " but not both, each of which adds a diagonal to HD95.",
    "psnr": (
        "PSNR, in dB: 10 log10(1 / MSE) of the enlarged picture and the original, 8 bits, over RGB"
        f" and all pixels, no border cut; equal pictures count as {BEST_PSNR:g} dB; mean over"
        " pictures."
    ),
    "ssim": (
        "SSIM: of the same two; 11×11 Gaussian (sigma 1.5), zeros beyond the picture, C1 = 0.01²,"
        " C2 = 0.03², mean over pixels and channels, then over pictures."
    ),
}


DRAWN: dict[str, Callable[[Unit, Unit], float]] = {
    "psnr": lambda drawn, original: min(psnr_rgb(drawn, original), BEST_PSNR),
    "ssim": ssim_zero_pad,
}
"""Scores of the enlarged picture against the original."""


def measure(protocol: Protocol, seen: Seen, sample: Sample) -> dict[str, float]:
    """The picture scores that the protocol asks for and that the source allows."""
    found: dict[str, float] = {}
    wanted = protocol.picture_scores
    if {"hd95", "one_empty"} & set(wanted):
        prediction, truth = _masks(protocol, seen.probability, sample)
        found["hd95"] = hd95(prediction, truth)
        found["one_empty"] = float(prediction.any() != truth.any())
    if seen.enlarged is not None:
        for name in (name for name in wanted if name in DRAWN):
            found[name] = DRAWN[name](_unit(seen.enlarged), _unit(sample.image))
    return {name: found[name] for name in wanted if name in found}


def _masks(
    protocol: Protocol, probability: NDArray[Any], sample: Sample
) -> tuple[BoolMask, BoolMask]:
    """Prediction at the protocol's fixed threshold, and truth, within the scored area."""
    assert protocol.fixed is not None, "protocols with picture scores fix their threshold"
    assert sample.mask is not None, "samples without a mask are refused when they are counted"
    values = protocol.encode(probability)
    prediction = values > protocol.fixed if protocol.thresholds.strict else values >= protocol.fixed
    if sample.region is None:
        return prediction, sample.mask
    return prediction & sample.region, sample.mask & sample.region


def _unit(image: UInt8Image) -> Unit:
    return np.asarray(image / np.float32(255), np.float32)
