"""How alike two pictures are: PSNR and SSIM of float images in 0…1, H×W×C or H×W."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def psnr_rgb(image: Floats, reference: Floats) -> float:
    """Decibels of 1 / mean squared difference over all channels and pixels; inf where equal."""
    error = float(np.mean(np.square(_wide(image) - _wide(reference))))
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim_zero_pad(image: Floats, reference: Floats) -> float:
    """Structural similarity, mean over pixels and channels, 1 where equal.

    Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 13(4), 2004, with their 11×11 Gaussian (σ 1.5), but at
    every pixel: outside the picture there are zeros, as in CSSR's evaluation.
    """
    x, y = _wide(image), _wide(reference)
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    variance = _local_mean(x * x) + _local_mean(y * y) - mean_x**2 - mean_y**2
    covariance = _local_mean(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return float(np.mean(light * (2 * covariance + C2) / (variance + C2)))


def _wide(image: Floats) -> NDArray[np.float64]:
    return np.asarray(image, np.float64)


def _local_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F)
    means = cv2.sepFilter2D(values, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(means, np.float64).reshape(values.shape)
