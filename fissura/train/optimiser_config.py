"""Settings of the optimiser and of the learning rate."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fissura.config import Settings


class OptimiserSettings(Settings):
    """AdamW decays weights apart from the gradient; Adam and SGD add L2 to it, as the releases do.

    Only weights of convolutions and linear layers decay; `decay_all` decays the rest too.
    `official_parameter_groups` trains and decays what BeltCrackDet's release does: it decays some
    norms and leaves a few parameters as they are. `momentum` is SGD's, in Nesterov's form or not.
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=0.01, ge=0)
    decay_all: bool = False
    official_parameter_groups: bool = False
    clip_norm: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _settings_that_act(self) -> Self:
        if self.nesterov and (self.name != "sgd" or not self.momentum):
            raise ValueError("nesterov belongs to SGD with a momentum; set name: sgd")
        if self.official_parameter_groups and self.decay_all:
            raise ValueError("decay_all: official_parameter_groups says what decays; leave it out")
        return self


class ScheduleSettings(Settings):
    """Learning rate per iteration, after a linear warm-up.

    The warm-up starts at `warmup_factor` times the rate, or one `warmup`-th of it if not given.
    `cosine` and `polynomial` fall to `final_lr`; `step` multiplies by `factor` every `every`
    iterations; `linear` holds for `hold` stairs of `every` iterations (one stair per epoch in the
    release) and then falls evenly, stair by stair, to the `final_lr` that would follow the end.
    `yolox` changes once per epoch of `every` iterations: from `warmup_factor` (0.1) up by a square
    for 5 % of the epochs (1 to 3), a cosine, and 5 % (1 to 15) at `final_lr`; it has no `warmup`.
    """

    name: Literal["cosine", "polynomial", "constant", "step", "linear", "yolox"] = "cosine"
    warmup: int = Field(default=0, ge=0)
    warmup_factor: float | None = Field(default=None, ge=0, le=1)
    power: float = Field(default=0.9, gt=0)
    final_lr: float = Field(default=0.0, ge=0)
    every: int = Field(default=1, ge=1)
    factor: float = Field(default=0.1, gt=0, le=1)
    hold: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _epochs_of_yolox(self) -> Self:
        if self.name == "yolox" and "every" not in self.model_fields_set:
            raise ValueError("every: schedule yolox needs the number of iterations of an epoch")
        if self.name == "yolox" and self.warmup:
            raise ValueError("warmup: schedule yolox makes its own; leave it out")
        return self
