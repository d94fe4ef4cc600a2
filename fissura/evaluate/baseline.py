"""Crack maps without any training, to stand in the tables beside the networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from fissura.evaluate.sources import Computed
from fissura.metrics import CURVE_SCORES, CrackCounts, Draws, Thresholds
from fissura.types import FloatMap, InputError, Sample, UInt8Image

DIAMETERS = (9, 15, 31, 61)
GREY_LEVELS = Thresholds(tuple(k / 255 for k in range(255)))


def black_hat(image: UInt8Image, diameter: int = 15, sigma: float = 3.0) -> FloatMap:
    """How much darker than its surroundings a thing narrower than `diameter` px is, in [0, 1].

    The morphological closing of the smoothed grey picture minus that picture, 1 for 255 levels: an
    order of pixels rather than a probability, so that no fixed threshold means anything.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), sigma)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    depth = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, element)
    share: FloatMap = depth.astype(np.float32) / np.float32(255)
    return share


def black_hat_source(diameter: int = 15) -> Computed:
    """The transform as a source of maps."""
    return Computed(f"black-hat {diameter} px", partial(black_hat, diameter=diameter))


def choose_black_hat(samples: Sequence[Sample]) -> Computed:
    """The transform whose diameter gives the best ODS on `samples`, which are not to be scored."""

    def rate(source: Computed) -> float:
        tally = CrackCounts(GREY_LEVELS)
        for sample in samples:
            if sample.mask is not None:
                tally.update(source.predict(sample), sample.mask, sample.region)
        draws = Draws(GREY_LEVELS, tally.compute()[0], np.ones((1, len(tally))))
        return float(CURVE_SCORES["ods"](draws)[0])

    return max((black_hat_source(diameter) for diameter in DIAMETERS), key=rate)


def open_baseline(name: str) -> Computed:
    """A method without training, by name, as a source of maps."""
    if name != "blackhat":
        raise InputError(f"unknown baseline '{name}'; known: blackhat")
    return black_hat_source()
