"""Clips of sequences for training a detector, and the batches drawn from them.

B clips of T frames, oldest first and the key frame last; H×W is the network's size.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fissura.augment.clip import ClipChange, ClipStrength, change_boxes, change_frame, draw_change
from fissura.datasets.clips import require_stated_size
from fissura.datasets.sequences import EmptySplitError, Sequences, open_sequences
from fissura.frames import read_image
from fissura.letterbox import Letterbox
from fissura.train.augment_config import ClipAugment
from fissura.train.config import SequenceSettings, Stage, TrainConfig
from fissura.train.data import require_full_batch, shuffled_items, thinned
from fissura.train.distributed import ALONE, Team
from fissura.types import InputError, Keyframe, UInt8Image

CLIP_STREAM = 2
"""Of the random numbers of one clip, which (seed, iteration, place) alone decide."""


class Fitted(NamedTuple):
    """A picture at the network's size, H×W×3, and the size that it had."""

    image: UInt8Image
    size_hw: tuple[int, int]


Pictures: TypeAlias = Callable[[Path], Fitted]


@dataclass(frozen=True)
class TrainingClips:
    """Key frames of the training part with their drawing probability, and of the validation part.

    `pictures` reads, or has in memory what was read before; `notices` say in a sentence each what
    was left out of the sets or stands in for something.
    """

    train: tuple[Keyframe, ...]
    chances: NDArray[np.float64]
    validation: tuple[Keyframe, ...]
    pictures: Pictures
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipBatch:
    """Clips B×3×T×H×W float32 RGB in 0…255; per clip n×5 cx, cy, w, h, class in network pixels.

    Where several processes train together, `clips` are those of this one, `targets` those of all.
    """

    clips: Tensor
    targets: tuple[Tensor, ...]

    def to(self, device: str) -> ClipBatch:
        """The same on another device."""
        return ClipBatch(self.clips.to(device), tuple(part.to(device) for part in self.targets))


@dataclass
class PictureCache:
    """Pictures made by `prepare`; the least recently used leave when `limit` bytes are full."""

    prepare: Pictures
    limit: int
    _kept: OrderedDict[Path, Fitted] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, path: Path) -> Fitted:
        """The picture, which nobody changes."""
        with self._lock:
            found = self._kept.get(path)
            if found is not None:
                self._kept.move_to_end(path)
                return found
        fitted = self.prepare(path)
        fitted.image.setflags(write=False)
        with self._lock:
            if path not in self._kept:
                self._kept[path] = fitted
                self._bytes += fitted.image.nbytes
            while self._bytes > self.limit:
                self._bytes -= self._kept.popitem(last=False)[1].image.nbytes
        return fitted


def load_clips(settings: SequenceSettings) -> TrainingClips:
    """Key frames of every named set; held-back sequences stay shut.

    Raises InputError where a set is missing or nothing in it can be learned.
    """
    train: list[Keyframe] = []
    weights: list[float] = []
    validation: list[Keyframe] = []
    notices: dict[str, None] = {}
    for name, weight in settings.sets.items():
        folder = settings.root / name
        if not folder.is_dir():
            raise InputError(f"data.sets: {folder} is not there; set data.root or remove '{name}'")
        part = _opened(folder, "train", settings)
        notices |= dict.fromkeys(part.notices)
        train.extend(part.keyframes)
        weights.extend([weight] * len(part))
        try:
            validation.extend(_opened(folder, "val", settings).keyframes)
        except EmptySplitError:
            notices[f"{folder}: too few sequences to spare one for validation; all train"] = None
    _require_classes(train, settings)
    chances = np.asarray(weights) / np.sum(weights)
    pictures = PictureCache(partial(at_network_size, settings=settings), settings.cache_mb * 10**6)
    chosen = _chosen_to_validate(validation, settings)
    return TrainingClips(tuple(train), chances, chosen, pictures, tuple(notices))


def _opened(folder: Path, split: str, settings: SequenceSettings) -> Sequences:
    found = open_sequences(folder, split=split, frames=settings.frames, missing=settings.missing)
    if settings.negatives:
        return found
    known = [one for one in found.keyframes if set(one.labels) & set(settings.classes)]
    return replace(found, keyframes=tuple(known))


def _require_classes(train: Sequence[Keyframe], settings: SequenceSettings) -> None:
    """InputError where a class is not there to be learned."""
    there = {label for keyframe in train for label in keyframe.labels}
    absent = [name for name in settings.classes if name not in there]
    if absent:
        known = f"there are {', '.join(sorted(there))}" if there else "there is no box at all"
        raise InputError(
            f"data.classes: no box to train on below {settings.root} is of {', '.join(absent)} "
            f"({known}); name the labels that are there"
        )


def _chosen_to_validate(
    keyframes: Sequence[Keyframe], settings: SequenceSettings
) -> tuple[Keyframe, ...]:
    """So many as are wanted; InputError where they could tell nothing of a network."""
    names, wanted = tuple(settings.sets), set(settings.classes)
    listed = settings.root / names[0] / "splits" / "val.txt"
    if not keyframes:
        raise InputError(
            f"data.sets: {', '.join(names)}: too few sequences or places to spare one for "
            f"validation; list some in {listed}, or add a set of more"
        )
    chosen = thinned(keyframes, settings.validation_limit)
    if any(wanted.intersection(keyframe.labels) for keyframe in chosen):
        return chosen
    if any(wanted.intersection(keyframe.labels) for keyframe in keyframes):
        raise InputError(
            f"data.validation_limit: the {len(chosen)} frames that it leaves for validation have "
            f"no box of {', '.join(settings.classes)}; raise it"
        )
    raise InputError(
        f"data.sets: no frame for validation has a box of {', '.join(settings.classes)}; list "
        f"sequences that have some in {listed}"
    )


def at_network_size(path: Path, settings: SequenceSettings) -> Fitted:
    """One picture, letterboxed or stretched."""
    image = read_image(path).image
    size_hw = (image.shape[0], image.shape[1])
    return Fitted(Letterbox(size_hw, settings.size_hw, settings.resize).apply(image), size_hw)


def network_boxes(
    keyframe: Keyframe, settings: SequenceSettings
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Boxes N×4 xyxy in network pixels and their classes, as `classes` counts them."""
    known = [place for place, label in enumerate(keyframe.labels) if label in settings.classes]
    labels = np.array([settings.classes.index(keyframe.labels[place]) for place in known], int)
    frame = Letterbox(keyframe.size_hw, settings.size_hw, settings.resize)
    boxes, kept = frame.targets(keyframe.boxes[known], released=settings.boxes == "released")
    return np.asarray(boxes, np.float32), labels[kept]


def clip_drawer(
    data: TrainingClips, config: TrainConfig, team: Team = ALONE
) -> Callable[[int], ClipBatch]:
    """A function of the iteration alone, so that a resumed run sees what it would have seen.

    Where several processes train together, each reads the pictures of its own share only.
    """
    require_full_batch(len(data.train), config)
    settings = config.data
    assert isinstance(settings, SequenceSettings), "pictures have no clips"

    def draw(iteration: int) -> ClipBatch:
        stage = config.stage_at(iteration)
        strength = _strength(config, stage)
        clips, targets = [], []
        for place, item in enumerate(_chosen(data, config, iteration)):
            rng = np.random.default_rng((config.seed, iteration, place, CLIP_STREAM))
            keyframe = data.train[item]
            change = draw_change(strength, settings.size_hw, rng) if strength else None
            targets.append(_target(keyframe, settings, change))
            if place in team.places(stage.batch_size):
                clips.append(clip_of(keyframe, data.pictures, change))
        return ClipBatch(torch.stack(clips), tuple(targets))

    return draw


def _chosen(data: TrainingClips, config: TrainConfig, iteration: int) -> NDArray[np.int64]:
    """Which key frames a batch takes."""
    if config.data.order == "shuffled":
        return shuffled_items(iteration, config.stages, len(data.train), config.seed)
    rng = np.random.default_rng((config.seed, iteration))
    return rng.choice(len(data.train), config.stage_at(iteration).batch_size, p=data.chances)


def _strength(config: TrainConfig, stage: Stage) -> ClipStrength | None:
    if not isinstance(config.augment, ClipAugment):
        return None
    values = config.augment.model_dump(exclude={"recipe"})
    return ClipStrength(scale=stage.scale, **values)


def _target(keyframe: Keyframe, settings: SequenceSettings, change: ClipChange | None) -> Tensor:
    """n×5 cx, cy, w, h, class."""
    boxes, labels = network_boxes(keyframe, settings)
    if change is not None:
        boxes, kept = change_boxes(boxes, change, settings.size_hw)
        boxes, labels = boxes[kept], labels[kept]
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    rows = np.concatenate([centres, sides, labels[:, None]], axis=1)
    return torch.from_numpy(rows.astype(np.float32))


def clip_of(keyframe: Keyframe, pictures: Pictures, change: ClipChange | None = None) -> Tensor:
    """3×T×H×W float32; InputError where the key frame is not of the size that its boxes are for."""
    fitted = [pictures(path) for path in keyframe.paths]
    require_stated_size(keyframe, fitted[-1].size_hw)
    frames = [picture.image for picture in fitted]
    if change is not None:
        frames = [change_frame(frame, change, number) for number, frame in enumerate(frames)]
    return torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2).float()
