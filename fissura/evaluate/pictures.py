"""Scores of a picture that no count of pixels gives: HD95, PSNR and SSIM of what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fissura.evaluate.protocols import Protocol
from fissura.evaluate.sources import Seen
from fissura.metrics import hd95, hd95_curve, psnr_rgb, ssim_zero_pad
from fissura.types import BoolMask, Sample, UInt8Image

BEST_PSNR = 100.0
"""Equal pictures count as this many dB, so that means stay finite."""

Score = float | NDArray[np.float64]
"""One number, or one at each of the protocol's thresholds."""

Measured = Mapping[str, Sequence[Score]]
Unit = NDArray[np.float32]

DEFINITIONS = {
    "hd95": (
        "HD95, in pixels: at threshold 0.5; contour pixels of a mask have a 4-neighbour outside it"
        " (beyond the picture is outside); of the Euclidean distances from every contour pixel of"
        " the prediction to the nearest of the truth the 95th percentile, the same from truth to"
        " prediction, and the larger of the two; 0 if both masks are empty, the picture's diagonal"
        " if one is; mean over pictures, less is better."
    ),
    "hd95_curve": (
        "HD95-min and AHD95, in pixels: HD95 of every picture at all thresholds, with the picture's"
        " width where one mask is empty (and 0 where both are); its mean over pictures at the"
        " threshold where that is least, and its mean over pictures and thresholds. Contours,"
        " distances and percentile as in `cssr`; less is better."
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


def measure(protocol: Protocol, seen: Seen, sample: Sample) -> dict[str, Score]:
    """The picture scores that the protocol asks for and that the source allows."""
    found: dict[str, Score] = {}
    wanted = protocol.picture_scores
    if {"hd95", "one_empty"} & set(wanted):
        prediction, truth = _masks(protocol, seen.probability, sample)
        found["hd95"] = hd95(prediction, truth)
        found["one_empty"] = float(prediction.any() != truth.any())
    if "hd95_curve" in wanted:
        found["hd95_curve"] = _hd95_curve(protocol, seen.probability, sample)
    if seen.enlarged is not None:
        for name in (name for name in wanted if name in DRAWN):
            found[name] = DRAWN[name](_unit(seen.enlarged), _unit(sample.image))
    return {name: found[name] for name in wanted if name in found}


def _hd95_curve(
    protocol: Protocol, probability: NDArray[Any], sample: Sample
) -> NDArray[np.float64]:
    values, truth = protocol.encode(probability), sample.mask
    assert truth is not None, "samples without a mask are refused when they are counted"
    if sample.region is not None:
        values, truth = np.where(sample.region, values, -1), truth & sample.region
    grid, width = protocol.thresholds, truth.shape[1]
    return hd95_curve(values, truth, grid.values, missing=width, strict=grid.strict)


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
