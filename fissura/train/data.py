"""Training pictures in memory, and the batches drawn from them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fissura.datasets import Reader, open_dataset
from fissura.degrade import OPERATORS
from fissura.distance import normalised_distance
from fissura.train.augment_config import PictureAugment, ZouAugment
from fissura.train.config import (
    ComboLossSettings,
    DataSettings,
    DegradeSettings,
    Stage,
    TrainConfig,
)
from fissura.train.recipes import Colour, Pair, Recipe, build_recipe
from fissura.types import InputError, Sample


@dataclass(frozen=True)
class TrainingData:
    """Samples of the training part with their drawing probability, and of the validation part."""

    train: tuple[Sample, ...]
    chances: np.ndarray[tuple[int], np.dtype[np.float64]]
    validation: tuple[Sample, ...]


@dataclass(frozen=True)
class Batch:
    """Pictures N×3×H×W float32 RGB in 0…255 and labels N×H×W int64, 255 ignored.

    And what the settings ask for: the pictures made `small`, N×3×H/s×W/s, and for each picture the
    normalised signed distances to its cracks' outlines, N×1×H×W.
    """

    images: Tensor
    labels: Tensor
    small: Tensor | None = None
    distance: Tensor | None = None

    def to(self, device: str) -> Batch:
        """The same on another device."""
        parts = {name: part for name, part in vars(self).items() if part is not None}
        return Batch(**{name: part.to(device) for name, part in parts.items()})


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
    return TrainingData(tuple(train), chances, thinned(validation, settings.validation_limit))


def _read(reader: Reader) -> list[Sample]:
    samples = (reader[index] for index in range(len(reader)))
    return [sample for sample in samples if sample.mask is not None]


T = TypeVar("T")


def thinned(samples: Sequence[T], limit: int) -> tuple[T, ...]:
    """At most `limit` samples, evenly spaced, so that every set keeps its share."""
    if len(samples) <= limit:
        return tuple(samples)
    places = np.linspace(0, len(samples) - 1, limit).round().astype(int)
    return tuple(samples[place] for place in places)


def batch_drawer(
    data: TrainingData, config: TrainConfig, mean_rgb: Colour
) -> Callable[[int], Batch]:
    """A function of the iteration alone, so that a resumed run sees what it would have seen.

    Raises InputError where the pictures do not suit the recipe or fill no batch.
    """
    assert isinstance(config.augment, PictureAugment), "sequences have recipes of their own"
    recipe = build_recipe(config.augment, mean_rgb)
    items = len(data.train) * recipe.copies
    _require_suitable(data.train, items, config)

    def draw(iteration: int) -> Batch:
        stage = config.stage_at(iteration)
        rng = np.random.default_rng((config.seed, iteration))
        pictures, copies = _chosen(data, config, recipe, iteration, rng)
        pairs = [
            recipe.change(data.train[picture], stage, int(copy), rng)
            for picture, copy in zip(pictures, copies, strict=True)
        ]
        return _batch(pairs, config, stage, rng)

    return draw


def _chosen(
    data: TrainingData,
    config: TrainConfig,
    recipe: Recipe,
    iteration: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which pictures a batch takes, and which copy of each."""
    if config.data.order == "shuffled":
        items = len(data.train) * recipe.copies
        chosen = shuffled_items(iteration, config.stages, items, config.seed)
        pictures, copies = np.divmod(chosen, recipe.copies)
        return pictures, copies
    size = config.stage_at(iteration).batch_size
    pictures = rng.choice(len(data.train), size, p=data.chances)
    return pictures, rng.integers(recipe.copies, size=size)


def _batch(
    pairs: Sequence[Pair], config: TrainConfig, stage: Stage, rng: np.random.Generator
) -> Batch:
    labels = np.stack([label for _, label in pairs]).astype(np.int64)
    small = distance = None
    if config.degrade:
        small = _planes([reduced(image, config.degrade, rng) for image, _ in pairs])
    loss = config.loss
    if isinstance(loss, ComboLossSettings) and loss.boundary and stage.train != "image":
        maps = [normalised_distance(label == 1, released=loss.released) for label in labels]
        distance = torch.from_numpy(np.stack(maps)[:, None])
    return Batch(_planes([image for image, _ in pairs]), torch.from_numpy(labels), small, distance)


def _planes(images: Sequence[NDArray[Any]]) -> Tensor:
    """N pictures H×W×3 → N×3×H×W float32."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


def reduced(
    image: NDArray[Any], settings: DegradeSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """H×W×3 in 0…255 → ⌊H/s⌋×⌊W/s⌋×3, without the overshoot that no camera's picture has."""
    unit = np.asarray(image / 255, np.float32)
    small = OPERATORS[settings.operator](unit, settings.scale, rng)
    return 255 * np.clip(small, unit.min(), unit.max())


def batches(
    draw: Callable[[int], Batch], iterations: range, workers: int
) -> Generator[tuple[int, Batch]]:
    """Every iteration with its batch; `workers` threads prepare as many batches in advance."""
    if not workers:
        yield from ((iteration, draw(iteration)) for iteration in iterations)
        return
    coming = iter(iterations)
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque((k, pool.submit(draw, k)) for k in itertools.islice(coming, workers))
        try:
            while ahead:
                iteration, batch = ahead.popleft()
                ahead.extend((k, pool.submit(draw, k)) for k in itertools.islice(coming, 1))
                yield iteration, batch.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _require_suitable(samples: Sequence[Sample], items: int, config: TrainConfig) -> None:
    require_full_batch(items, config)
    if not isinstance(config.augment, ZouAugment) or config.augment.offline:
        return
    for sample, stage in itertools.product(samples, config.stages):
        height, width = sample.image.shape[:2]
        if not height == width == stage.crop:
            raise InputError(
                f"augment.offline: {sample.set}/{sample.name} is {width}×{height}, not cut to "
                f"{stage.crop}×{stage.crop} beforehand; set it to true"
            )


def require_full_batch(items: int, config: TrainConfig) -> None:
    """InputError where an epoch of so many items fills no batch."""
    largest = max(stage.batch_size for stage in config.stages)
    if config.data.order == "shuffled" and items < largest:
        raise InputError(
            f"data.order: {items} shuffled pictures fill no batch of {largest}; lower batch_size"
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
