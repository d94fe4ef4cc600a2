"""What is model-specific about training: a step's loss and a validation score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fissura.decode import crack_map
from fissura.train.config import LossSettings
from fissura.train.data import at_network_scale
from fissura.train.losses import segmentation_loss
from fissura.types import InputError, Sample

LEVELS = 100


class BadRunError(InputError):
    """Training went wrong in a way that more iterations do not mend."""


@dataclass(frozen=True)
class Score:
    """Validation of one state of the network.

    `f1` is the mean over data sets of the F1 pooled within each, at the one `threshold` where that
    mean is largest; `precision` and `recall` are pooled over all pictures there. `chance_f1` is the
    `f1` of calling every pixel a crack, `crack_share` the share of pixels above ½.
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
        x = (images - self._mean.to(images.device)) / self._std.to(images.device)
        return x.flip(1) if self.network.CHANNELS == "bgr" else x

    def step(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Named scalars of one batch; `loss` is the one to minimise."""
        images = self.normalise(images).contiguous(memory_format=torch.channels_last)
        return segmentation_loss(self.network(images), labels, self.loss)

    @torch.no_grad()
    def validate(self, network: nn.Module, samples: Sequence[Sample]) -> Score:
        """Score `network` on whole pictures at the scale at which it will predict."""
        device = next(network.parameters()).device
        network.eval()
        counts = {sample.set: np.zeros((2, LEVELS + 1)) for sample in samples}
        for sample in samples:
            images = at_network_scale(sample, self.input_scale).to(device)
            logits = network(self.normalise(images))["logits"][0].cpu().numpy()
            if not np.isfinite(logits).all():
                raise BadRunError(
                    "validation: the network answers with values that are no numbers; lower "
                    "optimiser.lr and start again"
                )
            height, width = sample.image.shape[:2]
            network_hw = (images.shape[2], images.shape[3])
            probability = crack_map({"logits": logits}, (height, width), network_hw)
            levels = np.minimum((probability * LEVELS).astype(int), LEVELS)
            for truth in (0, 1):
                chosen = levels[sample.mask == bool(truth)]
                counts[sample.set][truth] += np.bincount(chosen, minlength=LEVELS + 1)
        return best_f1(np.stack(list(counts.values())))


def best_f1(counts: NDArray[np.float64]) -> Score:
    """`counts` S×2×(LEVELS+1): per set the pixels of background and crack at each level."""
    above = counts[..., ::-1].cumsum(axis=-1)[..., ::-1]  # pixels at or above each level
    false, true = above[:, 0], above[:, 1]
    cracks = counts[:, 1].sum(axis=-1, keepdims=True)
    f1 = (2 * true / np.maximum(true + false + cracks, 1)).mean(axis=0)
    best = int(f1[1:].argmax()) + 1
    found, claimed = true[:, best].sum(), above[..., best].sum()
    return Score(
        f1=float(f1[best]),
        threshold=best / LEVELS,
        precision=float(found / max(claimed, 1)),
        recall=float(found / max(cracks.sum(), 1)),
        crack_share=float(above[..., LEVELS // 2].sum() / counts.sum()),
        chance_f1=float(f1[0]),
    )
