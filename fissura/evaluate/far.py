"""Cracks from far away: a predictor sees degraded pictures, the truth stays as it is."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fissura.degrade import OPERATORS, FloatImage, enlarge
from fissura.evaluate.sources import Enlarging, Seen, Source
from fissura.types import InputError, Sample, UInt8Image


def cut(sample: Sample, scale: int) -> Sample:
    """The sample without the last rows and columns that make no whole pixel of the small picture.

    InputError comes later, from the reduction, where nothing would be left.
    """
    height, width = (side // scale * scale or side for side in sample.image.shape[:2])
    if (height, width) == sample.image.shape[:2]:
        return sample
    mask, region = (
        None if part is None else np.ascontiguousarray(part[:height, :width])
        for part in (sample.mask, sample.region)
    )
    image = np.ascontiguousarray(sample.image[:height, :width])
    return dataclasses.replace(sample, image=image, mask=mask, region=region)


def reduce_picture(sample: Sample, operator: str, scale: int) -> UInt8Image:
    """The picture of a camera further away, with 8 bits as cameras have them.

    What the operator draws depends on the picture's set and name alone.
    """
    seed = hashlib.sha256(f"{sample.set}/{sample.name}".encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "little"))
    unit = np.asarray(sample.image / np.float32(255), np.float32)
    return to_8_bit(OPERATORS[operator](unit, scale, rng))


def enlarge_picture(small: UInt8Image, scale: int) -> UInt8Image:
    """Bicubic, with 8 bits."""
    return to_8_bit(enlarge(np.asarray(small / np.float32(255), np.float32), scale))


def as_seen(sample: Sample, operator: str, scale: int) -> UInt8Image:
    """What a source that does not enlarge is given: reduced, then enlarged, of the old size."""
    return enlarge_picture(reduce_picture(sample, operator, scale), scale)


def to_8_bit(image: FloatImage) -> UInt8Image:
    """0…1 to 0…255, overshoot clipped."""
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


class FarAway:
    """A source that is given degraded pictures and answers at the size of the original ones.

    A network that enlarges by `scale` itself takes the small picture; any other source the small
    picture enlarged by bicubic interpolation.
    """

    def __init__(self, source: Source, operator: str, scale: int) -> None:
        self.name, self.threshold = source.name, source.threshold
        self._source, self._operator, self._scale = source, operator, scale
        enlarges = isinstance(source, Enlarging)
        if isinstance(source, Enlarging) and source.scale != scale:
            raise InputError(
                f"degrade_scale {scale}: {source.name} enlarges ×{source.scale}; give"
                f" {source.scale}, or a model that does not enlarge"
            )
        seen = "small" if enlarges else f"enlarged ×{scale} by bicubic interpolation"
        self.details: Mapping[str, Any] = {**source.details, "picture": seen}

    def check(self, pictures: Sequence[tuple[str, str]]) -> None:
        """Whatever the source itself needs."""
        self._source.check(pictures)

    def predict(self, sample: Sample) -> NDArray[Any]:
        """The map of the degraded picture, of the original's size."""
        return self.see(sample).probability

    def see(self, sample: Sample) -> Seen:
        """The same with the enlarged picture."""
        small = reduce_picture(sample, self._operator, self._scale)
        if isinstance(self._source, Enlarging):
            return self._source.enlarge(small)
        enlarged = enlarge_picture(small, self._scale)
        given = dataclasses.replace(sample, image=enlarged)
        return Seen(self._source.predict(given), enlarged)

    def finish(self) -> None:
        """Whatever the source itself objects to."""
        self._source.finish()
