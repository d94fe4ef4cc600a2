"""What a run does between its loop's lines: which batches, which task, which validation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from fissura.train.augment_config import PictureAugment
from fissura.train.clips import clip_drawer, load_clips
from fissura.train.config import SequenceSettings, TrainConfig
from fissura.train.data import batch_drawer, load_training_data
from fissura.train.detect import DetectionTask, suiting
from fissura.train.distributed import Team
from fissura.train.joint import build_task
from fissura.train.recipes import build_recipe
from fissura.train.score import AnyScore
from fissura.train.tasks import SegmentationTask
from fissura.types import Keyframe


@dataclass(frozen=True)
class Work:
    """Batches by iteration, the task that learns from them, and its score of a network.

    `notices` are what is to be known of the data, a sentence each; `data` tells one choice of
    pictures from another.
    """

    task: SegmentationTask | DetectionTask
    draw: Callable[[int], Any]
    validate: Callable[[nn.Module], AnyScore]
    notices: tuple[str, ...] = ()
    data: str = ""


def prepare(network: nn.Module, config: TrainConfig, team: Team) -> Work:
    """What `config` asks to be done with `network`; InputError where its data do not suit it."""
    for stage in config.stages:
        team.places(stage.batch_size)
    if isinstance(config.data, SequenceSettings):
        suiting(config)  # wrong settings are told before the data are read
        clips = load_clips(config.data)
        detecting = DetectionTask(network, config, clips.pictures, team)
        draw = clip_drawer(clips, config, team)
        validate = partial(detecting.validate, keyframes=clips.validation)
        return Work(detecting, draw, validate, clips.notices, _digest(map(_of_clip, clips.train)))
    assert isinstance(config.augment, PictureAugment), "checked with the settings"
    data = load_training_data(config.data)
    mean_rgb: Any = network.MEAN_RGB
    copies = build_recipe(config.augment, mean_rgb).copies
    task = build_task(network, config, copies * len(data.train), team)
    draw_pictures = batch_drawer(data, config, mean_rgb)
    names = _digest(f"{one.set}/{one.name}" for one in data.train)
    scored = partial(task.validate, samples=data.validation)
    return Work(task, draw_pictures, scored, data=names)


def _of_clip(keyframe: Keyframe) -> str:
    boxes = zip(keyframe.boxes.tolist(), keyframe.labels, strict=True)
    return f"{keyframe.sequence} {[path.name for path in keyframe.paths]} {list(boxes)}"


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
