"""Training pictures in memory, and the batches drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fissura.augment import Appearance, Geometry, change_appearance, random_crop
from fissura.datasets import DATASETS
from fissura.train.config import AugmentSettings, DataSettings, Stage
from fissura.types import InputError, Sample


@dataclass(frozen=True)
class TrainingData:
    """Samples of the training part with their drawing probability, and of the validation part."""

    train: tuple[Sample, ...]
    chances: np.ndarray[tuple[int], np.dtype[np.float64]]
    validation: tuple[Sample, ...]


def load_training_data(settings: DataSettings) -> TrainingData:
    """Read the training and validation parts of every named set; held-back pictures stay shut.

    Raises InputError where a set is missing or has no masks.
    """
    train: list[Sample] = []
    weights: list[float] = []
    validation: list[Sample] = []
    for name, weight in settings.sets.items():
        folder = settings.root / name
        if not folder.is_dir():
            raise InputError(f"data.sets: {folder} is not there; set data.root or remove '{name}'")
        part = _read(folder, "train")
        train.extend(part)
        weights.extend([weight] * len(part))
        with suppress(InputError):  # a set of one or two sequences has none to spare
            validation.extend(_read(folder, "val"))
    if not train or not validation:
        raise InputError(f"data.root: {settings.root} holds no pairs of pictures and masks")
    chances = np.asarray(weights) / np.sum(weights)
    return TrainingData(tuple(train), chances, _thin(validation, settings.validation_limit))


def _read(folder: Path, split: str) -> list[Sample]:
    return [sample for sample in DATASETS["pairs"](folder, split) if sample.mask is not None]


def _thin(samples: Sequence[Sample], limit: int) -> tuple[Sample, ...]:
    """At most `limit` samples, evenly spaced, so that every set keeps its share."""
    if len(samples) <= limit:
        return tuple(samples)
    places = np.linspace(0, len(samples) - 1, limit).round().astype(int)
    return tuple(samples[place] for place in places)


def batch_drawer(
    data: TrainingData, augment: AugmentSettings, seed: int
) -> Callable[[int, Stage], tuple[Tensor, Tensor]]:
    """A function of the iteration alone, so that a resumed run sees what it would have seen.

    It returns pictures N×3×S×S float32 RGB in 0…255 and labels N×S×S int64.
    """
    geometry_settings = augment.model_dump(include={"rotation_deg", "quarter_turns", "mirror"})
    appearance = Appearance(
        **augment.model_dump(exclude={"rotation_deg", "quarter_turns", "mirror"})
    )

    def draw(iteration: int, stage: Stage) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((seed, iteration))
        geometry = Geometry(scale=stage.scale, **geometry_settings)
        images, masks = [], []
        for index in rng.choice(len(data.train), stage.batch_size, p=data.chances):
            sample = data.train[index]
            assert sample.mask is not None
            image, mask = random_crop(sample.image, sample.mask, stage.crop, geometry, rng)
            images.append(change_appearance(image, appearance, rng))
            masks.append(mask)
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # N×S×S×3 → N×3×S×S
        return batch.float(), torch.from_numpy(np.stack(masks).astype(np.int64))

    return draw


def at_network_scale(sample: Sample, scale: float) -> Tensor:
    """1×3×H×W float32 RGB in 0…255, enlarged as prediction does it."""
    size_wh = tuple(int(scale * side + 0.5) for side in sample.image.shape[1::-1])
    image = cv2.resize(sample.image, size_wh, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()
