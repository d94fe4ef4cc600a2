"""Training pictures in memory, and the batches drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from fissura.augment import (
    Appearance,
    Geometry,
    balanced_crop,
    change_appearance,
    distort_photometrically,
    fit_into_box,
    pad_to_square,
    random_crop,
)
from fissura.datasets import DATASETS
from fissura.train.config import DataSettings, MmsegAugment, Stage, VariedAugment
from fissura.types import InputError, Sample

Colour: TypeAlias = tuple[float, float, float]
Pair: TypeAlias = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
Change: TypeAlias = Callable[[Sample, Stage, Generator], Pair]


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
    reader = DATASETS["pairs"](folder, split)
    samples = (reader[index] for index in range(len(reader)))
    return [sample for sample in samples if sample.mask is not None]


def _thin(samples: Sequence[Sample], limit: int) -> tuple[Sample, ...]:
    """At most `limit` samples, evenly spaced, so that every set keeps its share."""
    if len(samples) <= limit:
        return tuple(samples)
    places = np.linspace(0, len(samples) - 1, limit).round().astype(int)
    return tuple(samples[place] for place in places)


def batch_drawer(
    data: TrainingData, augment: VariedAugment | MmsegAugment, mean_rgb: Colour, seed: int
) -> Callable[[int, Stage], tuple[Tensor, Tensor]]:
    """A function of the iteration alone, so that a resumed run sees what it would have seen.

    It returns pictures N×3×S×S float32 RGB in 0…255 and labels N×S×S int64, 255 ignored.
    """
    change = _varied(augment) if isinstance(augment, VariedAugment) else _mmseg(augment, mean_rgb)

    def draw(iteration: int, stage: Stage) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((seed, iteration))
        chosen = rng.choice(len(data.train), stage.batch_size, p=data.chances)
        pairs = [change(data.train[index], stage, rng) for index in chosen]
        images = torch.from_numpy(np.stack([image for image, _ in pairs]))
        labels = torch.from_numpy(np.stack([label for _, label in pairs]).astype(np.int64))
        return images.permute(0, 3, 1, 2).float(), labels  # N×S×S×3 → N×3×S×S

    return draw


def _varied(settings: VariedAugment) -> Change:
    values = settings.model_dump(exclude={"recipe"})
    turns = {name: values.pop(name) for name in ("rotation_deg", "quarter_turns", "mirror")}
    appearance = Appearance(**values)

    def change(sample: Sample, stage: Stage, rng: Generator) -> Pair:
        assert sample.mask is not None
        geometry = Geometry(scale=stage.scale, **turns)
        image, mask = random_crop(sample.image, sample.mask, stage.crop, geometry, rng)
        return change_appearance(image, appearance, rng), mask

    return change


def _mmseg(settings: MmsegAugment, mean_rgb: Colour) -> Change:
    def change(sample: Sample, stage: Stage, rng: Generator) -> Pair:
        assert sample.mask is not None
        ratio = rng.uniform(*stage.scale)
        box = (int(settings.box[0] * ratio), int(settings.box[1] * ratio))
        image, mask = fit_into_box(sample.image, sample.mask, box)
        image, mask = balanced_crop(image, mask, stage.crop, settings.max_share, rng)
        if rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        image = distort_photometrically(np.ascontiguousarray(image), rng)
        return pad_to_square(image, mask, stage.crop, mean_rgb)

    return change


def at_network_scale(sample: Sample, scale: float) -> Tensor:
    """1×3×H×W float32 RGB in 0…255, enlarged as prediction does it."""
    size_wh = tuple(int(scale * side + 0.5) for side in sample.image.shape[1::-1])
    image = cv2.resize(sample.image, size_wh, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()
