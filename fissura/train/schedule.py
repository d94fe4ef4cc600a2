"""Learning rate as a pure function of the iteration."""

from __future__ import annotations

import math

from fissura.train.config import OptimiserSettings, ScheduleSettings


def learning_rate(
    iteration: int, iterations: int, optimiser: OptimiserSettings, schedule: ScheduleSettings
) -> float:
    """Rate in force at `iteration`, counted from 0, of a run of `iterations`."""
    if iteration < schedule.warmup:
        return optimiser.lr * _warmup_share(iteration, schedule)
    done, whole = iteration - schedule.warmup, max(iterations - schedule.warmup, 1)
    share = _share(min(done, whole - 1), whole, schedule)
    return schedule.final_lr + (optimiser.lr - schedule.final_lr) * share


def _warmup_share(iteration: int, schedule: ScheduleSettings) -> float:
    if schedule.warmup_factor is None:
        return (iteration + 1) / schedule.warmup
    passed = iteration / schedule.warmup
    return schedule.warmup_factor * (1 - passed) + passed


def _share(done: int, whole: int, schedule: ScheduleSettings) -> float:
    """What is left of the rate after `done` of `whole` iterations, 1 at the beginning."""
    passed = done / max(whole - 1, 1)
    stair = done // schedule.every
    if schedule.name == "constant":
        return 1.0
    if schedule.name == "step":
        return math.pow(schedule.factor, stair)
    if schedule.name == "linear":
        falling = max(whole // schedule.every - schedule.hold, 0)
        return 1 - max(stair + 1 - schedule.hold, 0) / (falling + 1)
    if schedule.name == "polynomial":
        return math.pow(1 - passed, schedule.power)
    return 0.5 * (1 + math.cos(math.pi * passed))
