"""Checkpoints of a run: plain tensors and numbers, read back without running code."""

from __future__ import annotations

import math
import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fissura.types import InputError

LAST = "last.pt"


class MovingAverage:
    """Exponential moving average of a network's parameters and norm statistics.

    `warmup` is the number of updates in which the decay comes within 1/e of its full value, as in
    the YOLO family; without it, the decay rises much faster.
    """

    def __init__(self, network: nn.Module, decay: float, warmup: float | None = None) -> None:
        self.network = deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.warmup = warmup

    def decay_at(self, iteration: int) -> float:
        """How much of the average is kept after an iteration, counted from 0."""
        if self.warmup is None:
            return min(self.decay, (1 + iteration) / (10 + iteration))
        return self.decay * (1 - math.exp(-(iteration + 1) / self.warmup))

    @torch.no_grad()
    def update(self, network: nn.Module, iteration: int) -> None:
        """Follow `network`; the first iterations count more, so that the start is forgotten."""
        decay = self.decay_at(iteration)
        for mean, value in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for kept, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            if buffer.is_floating_point():
                kept.lerp_(buffer, 1 - decay)
            else:  # counters of batches
                kept.copy_(buffer)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write so that an interruption leaves either the old file or the new one, whole."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `save_checkpoint`; InputError where it is missing or not one."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there; give the folder of an earlier run") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise InputError(f"{path} is not a checkpoint of a fissura run; give another") from error
    return state
