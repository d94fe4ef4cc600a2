"""Learning rate as a pure function of the iteration."""

from __future__ import annotations

import math

from fissura.train.optimiser_config import OptimiserSettings, ScheduleSettings

YOLOX_SHARE = 0.05
YOLOX_MOST = (3, 15)
"""Epochs of the rise and of the tail: that share of all, one at least and so many at most."""


def learning_rate(
    iteration: int, iterations: int, optimiser: OptimiserSettings, schedule: ScheduleSettings
) -> float:
    """Rate in force at `iteration`, counted from 0, of a run of `iterations`."""
    if schedule.name == "yolox":
        epochs = math.ceil(iterations / schedule.every)
        return _yolox_rate(iteration // schedule.every, epochs, optimiser.lr, schedule)
    if iteration < schedule.warmup:
        return optimiser.lr * _warmup_share(iteration, schedule)
    done, whole = iteration - schedule.warmup, max(iterations - schedule.warmup, 1)
    share = _share(min(done, whole - 1), whole, schedule)
    return schedule.final_lr + (optimiser.lr - schedule.final_lr) * share


def _yolox_rate(epoch: int, epochs: int, peak: float, schedule: ScheduleSettings) -> float:
    """A quadratic rise, half a cosine, and the last epochs at the final rate."""
    rise, tail = (min(max(YOLOX_SHARE * epochs, 1), most) for most in YOLOX_MOST)
    if epoch <= rise:
        start = peak * (0.1 if schedule.warmup_factor is None else schedule.warmup_factor)
        return start + (peak - start) * (epoch / rise) ** 2
    if epoch >= epochs - tail:
        return schedule.final_lr
    passed = (epoch - rise) / (epochs - rise - tail)
    return schedule.final_lr + (peak - schedule.final_lr) * 0.5 * (1 + math.cos(math.pi * passed))


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
