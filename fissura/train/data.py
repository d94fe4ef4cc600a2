"""Training pictures in memory, and the batches drawn from them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fissura.datasets import Reader, open_dataset
from fissura.train.config import DataSettings, Stage, TrainConfig, ZouAugment
from fissura.train.recipes import Colour, build_recipe
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
        part = _read(open_dataset(folder, split="train"))
        train.extend(part)
        weights.extend([weight] * len(part))
        spare = None
        with suppress(InputError):  # a set of one or two sequences has none to spare
            spare = open_dataset(folder, split="val")
        validation.extend(_read(spare) if spare else [])
    if not train or not validation:
        raise InputError(f"data.root: {settings.root} holds no pairs of pictures and masks")
    chances = np.asarray(weights) / np.sum(weights)
    return TrainingData(tuple(train), chances, _thin(validation, settings.validation_limit))


def _read(reader: Reader) -> list[Sample]:
    samples = (reader[index] for index in range(len(reader)))
    return [sample for sample in samples if sample.mask is not None]


def _thin(samples: Sequence[Sample], limit: int) -> tuple[Sample, ...]:
    """At most `limit` samples, evenly spaced, so that every set keeps its share."""
    if len(samples) <= limit:
        return tuple(samples)
    places = np.linspace(0, len(samples) - 1, limit).round().astype(int)
    return tuple(samples[place] for place in places)


def batch_drawer(
    data: TrainingData, config: TrainConfig, mean_rgb: Colour
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """A function of the iteration alone, so that a resumed run sees what it would have seen.

    It returns pictures N×3×H×W float32 RGB in 0…255 and labels N×H×W int64, 255 ignored.
    Raises InputError where the pictures do not suit the recipe or fill no batch.
    """
    recipe = build_recipe(config.augment, mean_rgb)
    items = len(data.train) * recipe.copies
    _require_suitable(data.train, items, config)

    def draw(iteration: int) -> tuple[Tensor, Tensor]:
        stage = config.stage_at(iteration)
        rng = np.random.default_rng((config.seed, iteration))
        if config.data.order == "shuffled":
            chosen = shuffled_items(iteration, config.stages, items, config.seed)
            pictures, copies = np.divmod(chosen, recipe.copies)
        else:
            pictures = rng.choice(len(data.train), stage.batch_size, p=data.chances)
            copies = rng.integers(recipe.copies, size=stage.batch_size)
        pairs = [
            recipe.change(data.train[picture], stage, int(copy), rng)
            for picture, copy in zip(pictures, copies, strict=True)
        ]
        images = torch.from_numpy(np.stack([image for image, _ in pairs]))
        labels = torch.from_numpy(np.stack([label for _, label in pairs]).astype(np.int64))
        return images.permute(0, 3, 1, 2).float(), labels  # N×H×W×3 → N×3×H×W

    return draw


def _require_suitable(samples: Sequence[Sample], items: int, config: TrainConfig) -> None:
    largest = max(stage.batch_size for stage in config.stages)
    if config.data.order == "shuffled" and items < largest:
        raise InputError(
            f"data.order: {items} shuffled pictures fill no batch of {largest}; lower batch_size"
        )
    if not isinstance(config.augment, ZouAugment) or config.augment.offline:
        return
    for sample, stage in itertools.product(samples, config.stages):
        height, width = sample.image.shape[:2]
        if not height == width == stage.crop:
            raise InputError(
                f"augment.offline: {sample.set}/{sample.name} is {width}×{height}, not cut to "
                f"{stage.crop}×{stage.crop} beforehand; set it to true"
            )


def shuffled_items(
    iteration: int, stages: Sequence[Stage], items: int, seed: int
) -> NDArray[np.int64]:
    """The batch of an iteration where every item comes once per epoch, in random order.

    What is left at the end of an epoch and fills no batch is dropped; a stage begins a new epoch.
    """
    epoch = 0
    for stage in stages[:-1]:
        if iteration < stage.iterations:
            break
        iteration -= stage.iterations
        epoch += -(-stage.iterations // (items // stage.batch_size))
    else:
        stage = stages[-1]
    epochs, place = divmod(iteration, items // stage.batch_size)
    first = place * stage.batch_size
    return _epoch_order(epoch + epochs, items, seed)[first : first + stage.batch_size]


@lru_cache(maxsize=2)
def _epoch_order(epoch: int, items: int, seed: int) -> NDArray[np.int64]:
    """Of its own stream: (seed, iteration) is that of the batches."""
    order = np.random.default_rng((seed, epoch, 1)).permutation(items)
    order.setflags(write=False)
    return order


def at_network_scale(sample: Sample, scale: float) -> Tensor:
    """1×3×H×W float32 RGB in 0…255, enlarged as prediction does it."""
    size_wh = tuple(int(scale * side + 0.5) for side in sample.image.shape[1::-1])
    image = cv2.resize(sample.image, size_wh, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()
