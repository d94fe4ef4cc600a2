"""The guided filter (He, Sun and Tang 2013) and three ways of refining a crack map with it.

Within every square window the result is a linear function of the guide, so it has edges only where
the guide has some. Legend: H, W height and width of the picture; maps are probabilities, H×W.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura import windows
from fissura.config import PredictSettings
from fissura.types import FloatMap, InputError, SettingError, Tile, UInt8Image

Values = NDArray[Any]  # float32 or float64

RELEASED_RADIUS = 5
RELEASED_EPS = 0.065
RELEASED_THRESHOLD = 0.31
OFFICIAL_MAX_PIXELS = 20_000_000
TILE = 1024
LEAST_PROBABILITY = 1e-4  # Log odds beyond it would let a sure pixel outvote its whole window.


def guided_filter(guide: Values, source: Values, radius: int, eps: float) -> Values:
    """`source` filtered by a single-channel guide of the same shape and type; may leave its range.

    Means are normalised boxes of 2·radius+1 pixels with a mirror border that repeats the edge:
    a = cov(I, p)/(var(I) + eps), b = mean(p) − a·mean(I), q = mean(a)·I + mean(b).
    """
    mean_i, mean_p = _mean(guide, radius), _mean(source, radius)
    # Rounding may leave an even window a variance below 0, which could cancel eps.
    variance = np.maximum(_mean(guide * guide, radius) - mean_i * mean_i, 0)
    a = (_mean(guide * source, radius) - mean_i * mean_p) / (variance + eps)
    b = mean_p - a * mean_i
    return _mean(a, radius) * guide + _mean(b, radius)


def _mean(values: Values, radius: int) -> Values:
    size = 2 * radius + 1, 2 * radius + 1
    return cv2.boxFilter(values, -1, size, borderType=cv2.BORDER_REFLECT)


def by_photograph(
    probability: FloatMap,
    image: UInt8Image,
    settings: PredictSettings,
    side1: FloatMap | None = None,
) -> FloatMap:
    """The grey photograph guides the log odds of the map."""
    radius, eps = settings.guided.radius_px, settings.guided.eps

    def run(part: Tile) -> FloatMap:
        grey = cv2.cvtColor(np.ascontiguousarray(image[part.slices]), cv2.COLOR_RGB2GRAY)
        p = np.clip(probability[part.slices], LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        odds: FloatMap = np.log(p / (1 - p))
        guide = np.asarray(grey, np.float32) / np.float32(255)
        filtered = guided_filter(guide, odds, radius, eps)
        return np.asarray(1 / (1 + np.exp(-filtered)), np.float32)

    # A pixel depends on no other further away than two radii, so tiles change nothing.
    return windows.blend_tiles(_size(probability), run, TILE, 4 * radius)


def released(
    probability: FloatMap,
    image: UInt8Image,
    settings: PredictSettings,
    side1: FloatMap | None = None,
) -> FloatMap:
    """The procedure released with DeepCrack (Liu): the 8-bit side 1 guides the binarised map."""
    side = _side_1(side1, settings)

    def run(part: Tile) -> FloatMap:
        guide = to_8_bit(side[part.slices]).astype(np.float32)
        source = _binarised(probability[part.slices]).astype(np.float32)
        return guided_filter(guide, source, RELEASED_RADIUS, RELEASED_EPS)

    found = windows.blend_tiles(_size(probability), run, TILE, 4 * RELEASED_RADIUS)
    np.clip(np.rint(found, out=found), 0, 255, out=found)
    return np.divide(found, np.float32(255), out=found)


def official(
    probability: FloatMap,
    image: UInt8Image,
    settings: PredictSettings,
    side1: FloatMap | None = None,
) -> FloatMap:
    """The same through OpenCV with three equal channels, as the released tool calls it.

    Only whole pictures: the nearly singular covariance turns the order of summing into grey levels.
    """
    side = _side_1(side1, settings)
    if not hasattr(cv2, "ximgproc"):
        raise SettingError(
            "refine guided-official: this OpenCV has no ximgproc;"
            " `pip install opencv-contrib-python-headless`, and no other OpenCV beside it"
        )
    if probability.size > OFFICIAL_MAX_PIXELS:
        raise InputError(
            f"refine guided-official: a picture of {probability.size / 1e6:.0f} megapixels is above"
            f" its {OFFICIAL_MAX_PIXELS / 1e6:.0f}; choose guided-released"
        )
    guide: Any = cv2.merge([to_8_bit(side)] * 3)
    source = _binarised(probability)
    filtered = cv2.ximgproc.guidedFilter(guide, source, RELEASED_RADIUS, RELEASED_EPS)
    return np.asarray(filtered, np.float32) / np.float32(255)


def to_8_bit(probability: FloatMap) -> UInt8Image:
    """Grey levels of a map as the released tester stores them: 255·p, truncated."""
    return (probability * np.float32(255)).astype(np.uint8)


def _binarised(probability: FloatMap) -> UInt8Image:
    stronger = to_8_bit(probability) > RELEASED_THRESHOLD * 255
    return np.where(stronger, np.uint8(255), np.uint8(0))


def _side_1(side1: FloatMap | None, settings: PredictSettings) -> FloatMap:
    if side1 is None:
        raise InputError(
            f"refine {settings.refine}: needs the map of side output 1, which is not there;"
            " choose guided or crf"
        )
    return side1


def _size(probability: FloatMap) -> tuple[int, int]:
    return probability.shape[0], probability.shape[1]
