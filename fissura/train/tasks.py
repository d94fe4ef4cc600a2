"""What is model-specific about training: a step's loss and a validation score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fissura.decode import crack_map
from fissura.train.boundary import combo_parts
from fissura.train.config import ComboLossSettings, Loss, LossSettings
from fissura.train.data import Batch, at_network_scale
from fissura.train.distributed import ALONE, Team
from fissura.train.losses import segmentation_loss
from fissura.train.score import AnyScore, CrackCounts
from fissura.types import FloatMap, InputError, Sample

Alpha = Callable[[int], float]
"""The share of the region loss at an iteration."""


class BadRunError(InputError):
    """Training went wrong in a way that more iterations do not mend."""


class Task:
    """A network in training, by the processes of a team, in the run's precision."""

    def __init__(self, network: nn.Module, precision: str, team: Team) -> None:
        self.network = network
        self.team = team
        self.forward = team.wrap(network)
        self._mixed = precision == "bfloat16"
        self._mean = torch.tensor(network.MEAN_RGB)
        self._std = torch.tensor(network.STD_RGB)

    def step(self, batch: Any, iteration: int) -> dict[str, Tensor]:
        """Named scalars of one batch; `loss` is the one to minimise."""
        raise NotImplementedError

    def normalise(self, images: Tensor) -> Tensor:
        """N×3×… RGB in 0…255 → network input."""
        shape = [1, 3] + [1] * (images.ndim - 2)
        mean, std = (part.to(images.device).view(shape) for part in (self._mean, self._std))
        x = (images - mean) / std
        return x.flip(1) if self.network.CHANNELS == "bgr" else x

    def outputs(self, part: Callable[[Tensor], dict[str, Tensor]], x: Tensor) -> dict[str, Tensor]:
        """What the network or a part of it gives in training; float32."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._mixed):
            found = part(x)
        return {name: values.float() for name, values in found.items()}


class SegmentationTask(Task):
    """Binary crack segmentation by a network that returns `logits` (and maybe side outputs)."""

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        input_scale: float = 1.0,
        alpha: Alpha = lambda _iteration: 1.0,
        precision: str = "float32",
        team: Team = ALONE,
    ) -> None:
        super().__init__(network, precision, team)
        self.loss = loss
        self.input_scale = input_scale
        self.alpha = alpha

    def step(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        """Named scalars of one batch; `loss` is the one to minimise."""
        self.network.train()
        images = self.normalise(self.team.share(batch.images))
        images = images.contiguous(memory_format=torch.channels_last)
        outputs = self.team.gather(self.outputs(self.forward, images))
        return self.crack_loss(outputs, batch, iteration)

    def crack_loss(
        self, outputs: dict[str, Tensor], batch: Batch, iteration: int
    ) -> dict[str, Tensor]:
        """Named parts of the crack map's loss, and their sum as `loss`."""
        if isinstance(self.loss, LossSettings):
            return segmentation_loss(outputs, batch.labels, self.loss)
        assert isinstance(self.loss, ComboLossSettings), "the loss of boxes has a task of its own"
        alpha = self.alpha(iteration)
        parts = combo_parts(outputs, batch.labels, batch.distance, alpha, self.loss)
        return parts | {"alpha": torch.tensor(alpha)} if self.loss.boundary else parts

    @torch.no_grad()
    def validate(self, network: nn.Module, samples: Sequence[Sample]) -> AnyScore:
        """Score `network` on whole pictures at the scale at which it will predict."""
        device = next(network.parameters()).device
        network.eval()
        counts = CrackCounts(sample.set for sample in samples)
        for sample in samples:
            assert sample.mask is not None, "unmasked samples are left out when data are read"
            images = at_network_scale(sample, self.input_scale).to(device)
            logits = network(self.normalise(images))["logits"]
            height, width = sample.mask.shape
            counts.add(sample.set, probabilities(logits, (height, width), images), sample.mask)
        return counts.score()


def probabilities(logits: Tensor, size_hw: tuple[int, int], images: Tensor) -> FloatMap:
    """1×K×h×w of a network that saw `images` → H×W.

    Raises BadRunError where they are no numbers.
    """
    values = logits[0].cpu().numpy()
    if not np.isfinite(values).all():
        raise BadRunError(
            "validation: the network answers with values that are no numbers; lower "
            "optimiser.lr and start again"
        )
    return crack_map({"logits": values}, size_hw, (images.shape[2], images.shape[3]))
