"""A folder of predictions whose maps are refined before they are scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fissura.config import PredictSettings
from fissura.evaluate.sources import Folder
from fissura.refine import SIDE_GUIDED, own_settings, refine
from fissura.types import FloatMap, InputError, Sample

SIDE_FOLDER = "side1"


class RefinedFolder(Folder):
    """As Folder; maps of side output 1, where the refinement wants them, stand in `side1` there."""

    def __init__(self, folder: Path, settings: PredictSettings) -> None:
        super().__init__(folder)
        how = {"refine": settings.refine, "refine_settings": own_settings(settings)}
        self.details = {**self.details, **how}
        self._settings = settings
        self._sides: Folder | None = None
        if settings.refine in SIDE_GUIDED:
            sides = folder / SIDE_FOLDER
            if not sides.is_dir():
                raise InputError(
                    f"refine {settings.refine}: {sides} is missing; put the maps of side output 1"
                    " there under the pictures' names, or choose guided or crf"
                )
            self._sides = Folder(sides)

    def check(self, pictures: Sequence[tuple[str, str]]) -> None:
        """Every picture needs exactly one prediction, and one map of side output 1 if wanted."""
        super().check(pictures)
        if self._sides is not None:
            self._sides.check(pictures)

    def predict(self, sample: Sample) -> NDArray[Any]:
        """The stored map, refined."""
        probability = as_probability(super().predict(sample))
        side1 = None if self._sides is None else as_probability(self._sides.predict(sample))
        return refine(probability, sample.image, self._settings, side1)

    def finish(self) -> None:
        """Neither the maps nor those of the sides may be masks of 0 and 1."""
        super().finish()
        if self._sides is not None:
            self._sides.finish()


def open_folder(folder: Path, settings: PredictSettings) -> Folder:
    """A folder of predictions, refined if the settings say so."""
    return Folder(folder) if settings.refine == "none" else RefinedFolder(folder, settings)


def as_probability(stored: NDArray[Any]) -> FloatMap:
    """Float in [0, 1] of a map of floats or of whole numbers of full range."""
    full = np.iinfo(stored.dtype).max if stored.dtype.kind == "u" else 1
    return stored.astype(np.float32) / np.float32(full)
