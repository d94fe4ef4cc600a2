"""Training with super-resolution: the enlarged picture, the crack map on it, or both together.

    L = (1 − β) · mean |enlarged − original| + β · loss of the crack map

Stages decide what is trained. A frozen part gets no gradient, so that the optimiser passes it by
(no moments, no decay), and stays in evaluation mode, so that its norms keep their statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fissura.metrics.image import psnr_rgb
from fissura.models.cssr import CSSR
from fissura.models.dbpn import DBPN
from fissura.train.boundary import alpha_of_run
from fissura.train.config import (
    ComboLossSettings,
    DegradeSettings,
    DetectionLossSettings,
    TrainConfig,
)
from fissura.train.data import Batch, reduced
from fissura.train.distributed import ALONE, Team
from fissura.train.score import AnyScore, CrackCounts, ImageScore
from fissura.train.tasks import Alpha, SegmentationTask, probabilities
from fissura.types import BoolMask, InputError, Sample

BEST_PSNR = 100.0
"""Pictures without any error count as this many dB."""


class JointTask(SegmentationTask):
    """Super-resolution and segmentation by a network that `enlarge`s, as the stages say."""

    def __init__(
        self, network: CSSR | DBPN, config: TrainConfig, degrade: DegradeSettings, pictures: int
    ) -> None:
        alpha = alpha_schedule(config, pictures)
        super().__init__(network, config.loss, alpha=alpha, precision=config.precision)
        self._parts = _parts(network)
        self._config, self._degrade = config, degrade
        self._trained = config.stages[-1].train

    def step(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        """Named scalars of one batch; `loss` is the one to minimise."""
        self._trained = self._config.stage_at(iteration).train
        self._freeze()
        assert batch.small is not None, "the settings have `degrade`"
        small = self.normalise(batch.small).contiguous(memory_format=torch.channels_last)
        large = self.normalise(batch.images)
        if self._trained == "image":
            found = self.outputs(lambda x: {"image": enlarged(self.network, x)}, small)["image"]
            error = functional.l1_loss(found, large)
            return {"image": error, "loss": error}
        outputs = self.outputs(self.network, small)
        parts = self.crack_loss(outputs, batch, iteration)
        if self._trained == "logits" or self._parts["image"] is None:
            return parts
        beta = self._config.beta
        error = functional.l1_loss(outputs["image"], large)
        return parts | {"image": error, "loss": (1 - beta) * error + beta * parts["loss"]}

    def _freeze(self) -> None:
        self.network.train()
        for name, part in self._parts.items():
            if part is not None:
                trained = self._trained in ("joint", name)
                part.requires_grad_(trained).train(trained)

    @torch.no_grad()
    def validate(self, network: nn.Module, samples: Sequence[Sample]) -> AnyScore:
        """Score what `network` makes of the pictures made small, at their own size."""
        network.eval()
        counts = CrackCounts(sample.set for sample in samples)
        decibels = []
        for index, sample in enumerate(samples):
            image, mask = self._cut(sample)
            small = self._small(image, index, next(network.parameters()).device)
            if self._trained == "image":
                found = enlarged(network, small)
            else:
                outputs = network(small)
                found = outputs["image"]
                height, width = mask.shape
                counts.add(
                    sample.set, probabilities(outputs["logits"], (height, width), found), mask
                )
            decibels.append(_psnr(found, image))
        psnr = float(np.mean(decibels))
        return ImageScore(psnr) if self._trained == "image" else counts.score(psnr)

    def _cut(self, sample: Sample) -> tuple[NDArray[Any], BoolMask]:
        """Picture and mask without the last rows and columns that make no whole small pixel."""
        assert sample.mask is not None, "unmasked samples are left out when data are read"
        scale = self._degrade.scale
        height, width = (side // scale * scale for side in sample.mask.shape)
        return sample.image[:height, :width], sample.mask[:height, :width]

    def _small(self, image: NDArray[Any], index: int, device: torch.device) -> Tensor:
        """Network input, 1×3×h×w: the same for the same picture at every validation."""
        rng = np.random.default_rng((self._config.seed, index))
        small = reduced(image, self._degrade, rng)
        return self.normalise(torch.from_numpy(small).permute(2, 0, 1)[None].to(device))


def alpha_schedule(config: TrainConfig, pictures: int) -> Alpha:
    """The combo losses' α by iteration, for so many training pictures."""
    loss = config.loss
    if not isinstance(loss, ComboLossSettings):
        return lambda _iteration: 1.0
    return lambda iteration: alpha_of_run(iteration, pictures, config.stages, loss.alpha)


def build_task(
    network: nn.Module, config: TrainConfig, pictures: int, team: Team = ALONE
) -> SegmentationTask:
    """The task that fits the network, once the settings are found to fit it too."""
    if isinstance(network, CSSR | DBPN):
        if team.size > 1:
            raise InputError(f"model: {config.model} is trained by one process; leave torchrun out")
        return JointTask(network, config, _suiting(network, config), pictures)
    if config.degrade:
        raise InputError(f"degrade: {config.model} does not enlarge pictures; leave it out")
    if any(stage.train != "joint" for stage in config.stages):
        raise InputError(
            f"stages.train: {config.model} has no part that enlarges pictures; leave it out"
        )
    alpha = alpha_schedule(config, pictures)
    if isinstance(config.loss, DetectionLossSettings):
        raise InputError(f"loss.kind: {config.model} finds no boxes; take another than detection")
    return SegmentationTask(network, config.loss, config.input_scale, alpha, config.precision, team)


def _suiting(network: CSSR | DBPN, config: TrainConfig) -> DegradeSettings:
    """`config.degrade`; InputError where the network cannot be trained as the settings say."""
    if config.degrade is None or config.degrade.scale != network.scale:
        raise InputError(
            f"degrade.scale: {config.model} enlarges by {network.scale}; "
            f"set degrade.scale={network.scale}"
        )
    parts = _parts(network)
    if isinstance(network, CSSR) and network.order == "segmentation_first":
        raise InputError("arguments.order: segmentation_first cannot be trained; take sr_first")
    wanted = {stage.train for stage in config.stages}
    if parts["logits"] is None and wanted != {"image"}:
        raise InputError(f"stages.train: {config.model} only enlarges pictures; set it to image")
    if parts["image"] is None and "image" in wanted:
        raise InputError(
            "stages.train: nothing learns to enlarge pictures here; set it to joint or logits"
        )
    return config.degrade


def _parts(network: CSSR | DBPN) -> dict[str, nn.Module | None]:
    """What is trained under which name, None where there is nothing to train."""
    if isinstance(network, DBPN):
        return {"image": network, "logits": None}
    return {"image": network.sr_model, "logits": network.segmentation_model}


def enlarged(network: nn.Module, small: Tensor) -> Tensor:
    """N×3×h×w → N×3×s·h×s·w by the part of the network that enlarges."""
    image: Tensor = network.enlarge(small) if isinstance(network, CSSR) else network(small)["image"]
    return image


def _psnr(found: Tensor, image: NDArray[Any]) -> float:
    """Of the picture as it would be saved, in 0…1."""
    drawn = found[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    return min(psnr_rgb(drawn, image.astype(np.float32) / 255), BEST_PSNR)
