"""The optimiser that the settings name."""

from __future__ import annotations

import torch
from torch import nn

from fissura.train.config import OptimiserSettings


def build_optimiser(network: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Norms, biases and PReLU slopes (all of one axis) stay undecayed unless asked for."""
    matrices = [p for p in network.parameters() if p.ndim > 1 or settings.decay_all]
    vectors = [p for p in network.parameters() if p.ndim <= 1 and not settings.decay_all]
    decays = ((matrices, settings.weight_decay), (vectors, 0.0))
    groups = [{"params": group, "weight_decay": decay} for group, decay in decays if group]
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.lr)
