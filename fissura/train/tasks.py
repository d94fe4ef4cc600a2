"""What is model-specific about training: a step's loss and a validation score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fissura.decode import crack_map
from fissura.train.config import LossSettings
from fissura.train.data import at_network_scale
from fissura.train.losses import segmentation_loss
from fissura.types import Sample

LEVELS = 100


@dataclass(frozen=True)
class Score:
    """Validation of one state of the network: best pooled F1 over thresholds, and where.

    `chance_f1` is the F1 of calling every pixel a crack; `crack_share` the share of pixels above ½.
    """

    f1: float
    threshold: float
    precision: float
    recall: float
    crack_share: float
    chance_f1: float

    @property
    def found_nothing(self) -> bool:
        """All background, and no threshold would do better than calling everything a crack."""
        return self.crack_share == 0 and self.f1 < self.chance_f1 + 0.02


class SegmentationTask:
    """Binary crack segmentation by a network that returns `logits` (and maybe side outputs)."""

    def __init__(self, network: nn.Module, loss: LossSettings, input_scale: float) -> None:
        self.network = network
        self.loss = loss
        self.input_scale = input_scale
        self._mean = torch.tensor(network.MEAN_RGB).view(1, 3, 1, 1)
        self._std = torch.tensor(network.STD_RGB).view(1, 3, 1, 1)

    def normalise(self, images: Tensor) -> Tensor:
        """N×3×H×W RGB in 0…255 → network input."""
        return (images - self._mean.to(images.device)) / self._std.to(images.device)

    def step(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Named scalars of one batch; `loss` is the one to minimise."""
        images = self.normalise(images).contiguous(memory_format=torch.channels_last)
        return segmentation_loss(self.network(images)["logits"], labels, self.loss)

    @torch.no_grad()
    def validate(self, network: nn.Module, samples: Sequence[Sample]) -> Score:
        """Score `network` on whole pictures at the scale at which it will predict."""
        device = next(network.parameters()).device
        network.eval()
        counts = np.zeros((2, LEVELS + 1))
        for sample in samples:
            images = at_network_scale(sample, self.input_scale).to(device)
            logits = network(self.normalise(images))["logits"][0].cpu().numpy()
            height, width = sample.image.shape[:2]
            network_hw = (images.shape[2], images.shape[3])
            probability = crack_map({"logits": logits}, (height, width), network_hw)
            levels = np.minimum((probability * LEVELS).astype(int), LEVELS)
            for truth in (0, 1):
                chosen = levels[sample.mask == bool(truth)]
                counts[truth] += np.bincount(chosen, minlength=LEVELS + 1)
        return _best_f1(counts)


def _best_f1(counts: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Score:
    """`counts` 2×(LEVELS+1): pixels of background and crack at each probability level."""
    above = counts[:, ::-1].cumsum(axis=1)[:, ::-1]  # pixels at or above each level
    false, true = above
    precision = true / np.maximum(true + false, 1)
    recall = true / max(counts[1].sum(), 1)
    f1 = 2 * true / np.maximum(true + false + counts[1].sum(), 1)
    best = int(f1[1:].argmax()) + 1
    share = float(above[:, LEVELS // 2].sum() / counts.sum())
    return Score(
        f1=float(f1[best]),
        threshold=best / LEVELS,
        precision=float(precision[best]),
        recall=float(recall[best]),
        crack_share=share,
        chance_f1=float(f1[0]),
    )
