"""Training a detector: the loss of boxes on clips or pictures, and its validation.

B clips of T frames; a network of single pictures gets their key frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fissura.decode import found_boxes
from fissura.metrics.average_precision import average_precision, interpolate, levels
from fissura.metrics.detection import gather_found, gather_truth, match, pool
from fissura.train.clips import ClipBatch, Pictures, clip_of, network_boxes
from fissura.train.config import DetectionLossSettings, SequenceSettings, TrainConfig
from fissura.train.detection import detection_loss
from fissura.train.distributed import ALONE, Team
from fissura.train.score import BoxScore
from fissura.train.tasks import BadRunError, Task
from fissura.types import InputError, Keyframe
from fissura.weights import ModelCard
from fissura.weights.network import new_card

LEAST_SCORE = 0.001
"""Weaker boxes take no part in a validation."""

Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]
"""Boxes N×4 xyxy, scores, classes."""
Truth = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Boxes N×4 xyxy, classes."""


class DetectionTask(Task):
    """Boxes by a network that returns `boxes_raw`, or one such output per stride."""

    def __init__(
        self,
        network: nn.Module,
        config: TrainConfig,
        pictures: Pictures,
        team: Team = ALONE,
    ) -> None:
        self._data, self._loss, self._card = suiting(config)
        super().__init__(network, config.precision, team)
        self._pictures = pictures

    def step(self, batch: ClipBatch, _iteration: int) -> dict[str, Tensor]:
        """Named scalars of one batch; `loss` is the one to minimise."""
        self.network.train()
        outputs = self.team.gather(self.outputs(self.forward, self._input(batch.clips)))
        return detection_loss(outputs, self._card.strides, batch.targets, self._loss)

    def _input(self, clips: Tensor) -> Tensor:
        """B×3×T×H×W in 0…255 → what the network takes."""
        if self._card.frames > 1:
            return self.normalise(clips)
        images = self.normalise(clips[:, :, -1])
        return images.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def validate(self, network: nn.Module, keyframes: Sequence[Keyframe]) -> BoxScore:
        """Score the boxes that `network` finds in the key frames, in network pixels."""
        network.eval()
        device = next(network.parameters()).device
        found = []
        for keyframe in keyframes:
            clip = clip_of(keyframe, self._pictures)[None].to(device)
            outputs = network(self._input(clip))
            arrays = {name: values[0].float().cpu().numpy() for name, values in outputs.items()}
            if not all(np.isfinite(values).all() for values in arrays.values()):
                raise BadRunError(
                    "validation: the network answers with values that are no numbers; lower "
                    "optimiser.lr and start again"
                )
            strides, nms_iou = self._card.strides, self._card.nms_iou
            found.append(found_boxes(arrays, strides, LEAST_SCORE, nms_iou))
        return box_score(found, [network_boxes(keyframe, self._data) for keyframe in keyframes])


def suiting(config: TrainConfig) -> tuple[SequenceSettings, DetectionLossSettings, ModelCard]:
    """What the settings say; InputError where the network cannot be trained like that."""
    data, loss = config.data, config.loss
    card = new_card(config.model, dict(config.arguments))
    if not card.strides:
        raise InputError(f"data.kind: {config.model} finds no boxes; take kind: pictures")
    if not isinstance(data, SequenceSettings):
        raise InputError(f"data.kind: {config.model} finds boxes; take kind: sequences")
    if not isinstance(loss, DetectionLossSettings):
        raise InputError(f"loss.kind: {config.model} finds boxes; take kind: detection")
    if data.frames != card.frames:
        raise InputError(
            f"data.frames: {config.model} takes {card.frames} at once; "
            f"set data.frames={card.frames}"
        )
    if len(data.classes) != len(card.classes):
        raise InputError(
            f"data.classes: {config.model} tells {len(card.classes)} apart, not "
            f"{len(data.classes)}; set arguments.classes={len(data.classes)}"
        )
    return data, loss, card


def box_score(found: Sequence[Found], truth: Sequence[Truth]) -> BoxScore:
    """Of the boxes of all pictures, which stand in the same order."""
    matches = match(gather_truth(truth), gather_found(found), len(truth), ious=(0.5,))
    classes = sorted({int(label) for _, labels in truth for label in labels})
    sweeps = [matches.sweep(label) for label in classes]
    silent = not any(len(scores) for _, scores, _ in found)
    if not sweeps:
        return BoxScore(0.0, 0.0, 0.5, 0.0, 0.0, silent)
    weights = np.ones((1, len(truth)))
    precisions = [average_precision(interpolate(sweep, weights))[0] for sweep in sweeps]
    curve = levels(pool(matches, classes), weights)
    if not len(curve.score):
        return BoxScore(float(np.mean(precisions)), 0.0, 0.5, 0.0, 0.0, silent)
    best = int(curve.f1[0].argmax())
    return BoxScore(
        map50=float(np.mean(precisions)),
        f1=float(curve.f1[0, best]),
        threshold=min(max(math.floor(1000 * curve.score[best]) / 1000, 0.001), 0.999),
        precision=float(curve.precision[0, best]),
        recall=float(curve.recall[0, best]),
    )
