"""Learning rate as a pure function of the iteration."""

from __future__ import annotations

import math

from fissura.train.config import OptimiserSettings, ScheduleSettings


def learning_rate(
    iteration: int, iterations: int, optimiser: OptimiserSettings, schedule: ScheduleSettings
) -> float:
    """Rate in force at `iteration`, counted from 0, of a run of `iterations`."""
    if iteration < schedule.warmup:
        return optimiser.lr * (iteration + 1) / schedule.warmup
    span = max(iterations - 1 - schedule.warmup, 1)
    done = min((iteration - schedule.warmup) / span, 1.0)
    if schedule.name == "polynomial":
        share = math.pow(1 - done, schedule.power)
    else:
        share = 0.5 * (1 + math.cos(math.pi * done))
    return schedule.final_lr + (optimiser.lr - schedule.final_lr) * share
