"""What one evaluation is asked to do: pictures, settings, protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fissura.config import PredictSettings, Settings
from fissura.datasets import Reader, open_dataset
from fissura.datasets.sequences import Missing
from fissura.evaluate.far import cut
from fissura.evaluate.protocols import Criterion, Protocol
from fissura.types import InputError, Sample

Progress = Callable[[int, int], None]
Key = tuple[str, str]


class EvaluateSettings(Settings):
    """What a protocol leaves open.

    `threshold` decided beforehand; or `validation`, the split it is chosen on by `criterion` (for a
    folder of predictions `validation_predictions` holds the maps of that split, None: the same
    folder). `tolerances` of protocols that leave them open. `without` lists picture names to leave
    out in a second set of scores. `vs` is a second folder of predictions or a model (a shipped name
    or a file) to compare with. `degrade` names the operator of fissura.degrade that reduces every
    picture by `degrade_scale` before it is predicted (None: pictures as they are). `baseline` adds
    the black-hat transform as a reference. `resamples` of the bootstrap, 0 for no intervals.

    Of boxes alone: `images` annotated leaves out pictures without any, `classes` are those that
    count, `min_score` is the least score that a detector's boxes are kept from, `fps` the frames of
    a second of video, `pictures` how many are drawn. Listed frames that are not there are refused;
    with `missing` earlier they are not scored, and the frame before stands in for them elsewhere.
    """

    threshold: float | None = Field(default=None, gt=0, lt=1)
    validation: str | None = None
    validation_predictions: Path | None = None
    criterion: Criterion = "f1"
    tolerances: tuple[Annotated[float, Field(ge=0, le=50)], ...] | None = Field(
        default=None, min_length=1
    )
    without: Path | None = None
    vs: str | Path | None = None
    degrade: Literal["bilinear", "bicubic", "bicubic-antialias", "realistic"] | None = None
    degrade_scale: int = Field(default=4, ge=2, le=16)
    baseline: bool = False
    resamples: int = Field(default=1000, ge=0, le=100_000)
    seed: int = Field(default=0, ge=0)
    overwrite: bool = False
    predict: PredictSettings = PredictSettings()
    images: Literal["all", "annotated"] = "all"
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    min_score: float = Field(default=0.001, gt=0, lt=1)
    fps: float | None = Field(default=None, gt=0, le=1e6)
    pictures: int = Field(default=0, ge=0, le=10_000)
    missing: Missing = "refuse"

    @model_validator(mode="after")
    def _a_scale_of_something(self) -> Self:
        if self.degrade is None and "degrade_scale" in self.model_fields_set:
            raise ValueError("degrade_scale: nothing is reduced; add degrade, or leave it out")
        return self


@dataclass(frozen=True)
class Job:
    """The fixed part of one evaluation: pictures, settings, protocols adapted to the settings."""

    data: Path
    dataset: str | None
    split: str | None
    settings: EvaluateSettings
    protocols: Mapping[str, Protocol]
    progress: Progress

    def samples(self, split: str | None) -> Reader:
        """The pictures of a split, at least one."""
        samples = open_dataset(self.data, self.dataset, split)
        if not len(samples):
            raise InputError(f"{self.data}: no pictures in split '{split or 'all'}'; check --split")
        return samples

    def cut(self, sample: Sample) -> Sample:
        """The sample as it is scored: where pictures are reduced, in whole pixels of the small."""
        settings = self.settings
        return sample if settings.degrade is None else cut(sample, settings.degrade_scale)


def keys(samples: Reader) -> list[Key]:
    """Set and name of every picture."""
    return [(entry.set, entry.name) for entry in samples.entries]
