"""A fully connected conditional random field over crack and background.

Mean field inference after Krähenbühl and Koltun (2011): every pixel's −log p, plus a spatial and a
bilateral Gaussian kernel that charge unlike labels (Potts), normalised symmetrically.
"""

from __future__ import annotations

import math

import numpy as np

from fissura import windows
from fissura.config import CrfSettings, PredictSettings
from fissura.types import FloatMap, SettingError, Tile, UInt8Image

TILE = 1024  # Bounds the lattice, which takes most memory where colours are noise.
REACH = 3  # Standard deviations beyond which a kernel is taken for nought at the edge of a tile.
LEAST_PROBABILITY = 1e-5


def mean_field(probability: FloatMap, image: UInt8Image, settings: CrfSettings) -> FloatMap:
    """Probability of crack after the iterations, the whole picture at once."""
    try:
        from pydensecrf.densecrf import DenseCRF2D
    except ImportError:
        raise SettingError(
            "refine crf: pydensecrf2 is not installed; install it with `pip install 'fissura[crf]'`"
        ) from None
    height, width = probability.shape
    p = np.clip(probability.astype(np.float32), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    field = DenseCRF2D(width, height, 2)
    field.setUnaryEnergy(-np.log(np.stack([1 - p, p])).reshape(2, -1))
    if settings.spatial_weight > 0:
        field.addPairwiseGaussian(sxy=settings.spatial_sigma_px, compat=settings.spatial_weight)
    if settings.bilateral_weight > 0:
        field.addPairwiseBilateral(
            sxy=settings.bilateral_sigma_px,
            srgb=settings.bilateral_sigma_rgb,
            rgbim=np.ascontiguousarray(image),
            compat=settings.bilateral_weight,
        )
    crack: FloatMap = np.array(field.inference(settings.iterations), np.float32)[1]
    return np.reshape(crack, (height, width))


def by_field(
    probability: FloatMap,
    image: UInt8Image,
    settings: PredictSettings,
    side1: FloatMap | None = None,
) -> FloatMap:
    """The map after mean field inference, in tiles that fade into each other where it is large."""

    def run(part: Tile) -> FloatMap:
        return mean_field(probability[part.slices], image[part.slices], settings.crf)

    widest = max(settings.crf.spatial_sigma_px, settings.crf.bilateral_sigma_px)
    overlap = min(math.ceil(2 * REACH * widest), TILE // 2)
    return windows.blend_tiles((probability.shape[0], probability.shape[1]), run, TILE, overlap)
