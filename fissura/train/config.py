"""Settings of a training run; one complete YAML in configs/ is one of these."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from fissura.config import Settings
from fissura.datasets.layout import VAL_FRACTION
from fissura.datasets.sequences import Missing
from fissura.train.augment_config import (
    Augment,
    CssrAugment,
    LiuAugment,
    NoAugment,
    SequenceAugment,
    VariedAugment,
    ZouAugment,
)
from fissura.train.optimiser_config import OptimiserSettings, ScheduleSettings


class DataSettings(Settings):
    """Where pictures come from.

    `sets` gives each data set below `root` its weight: how often one of its pictures is drawn,
    relative to the others. `validation` is the share of the training part that chooses the
    threshold and the best checkpoint, the split `val` of every command and so always the same;
    `validation_limit` thins it. Held-back pictures are never read.
    `order`: `weighted` draws each picture by its set's weight, with replacement; `shuffled` takes
    every picture once per epoch and drops what fills no batch at its end, as the releases do.
    """

    kind: Literal["pictures"] = "pictures"
    root: Path
    sets: dict[str, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    validation: float = VAL_FRACTION
    validation_limit: int = Field(default=60, ge=1)
    order: Literal["weighted", "shuffled"] = "weighted"

    @model_validator(mode="after")
    def _one_validation_split(self) -> Self:
        if self.validation != VAL_FRACTION:
            raise ValueError(
                f"validation is {VAL_FRACTION:g} in every run, or evaluating with --validation val"
                " would see training pictures; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _equal_weights_where_shuffled(self) -> Self:
        _require_equal_where_shuffled(self.order, self.sets)
        return self


Side: TypeAlias = Annotated[int, Field(ge=64, le=4096, multiple_of=32)]


class SequenceSettings(Settings):
    """Where sequences with boxes come from, for detectors.

    `sets`, `validation_limit` and `order` are as for pictures, counted in key frames; splits are by
    sequence. A clip has `frames` pictures, brought to `size_hw` by `resize`. `classes` are the
    labels that are learned; boxes of other labels are left out, and where `negatives` is false, so
    are key frames that have no box then. `boxes: released` cuts coordinates to integers twice, as
    the release does. Listed frames that are not there are refused; with `missing: earlier` they are
    no key frames, and the frame before stands in for them in the clips of others. `cache_mb`
    megabytes of pictures are kept in memory.
    """

    kind: Literal["sequences"]
    root: Path
    sets: dict[str, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    classes: tuple[str, ...] = Field(default=("crack",), min_length=1)
    frames: int = Field(default=5, ge=1, le=64)
    size_hw: tuple[Side, Side] = (512, 512)
    resize: Literal["letterbox", "stretch"] = "letterbox"
    boxes: Literal["float", "released"] = "float"
    negatives: bool = True
    missing: Missing = "refuse"
    validation_limit: int = Field(default=60, ge=1)
    order: Literal["weighted", "shuffled"] = "weighted"
    cache_mb: int = Field(default=1000, ge=0)

    @field_validator("classes")
    @classmethod
    def _named_once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        twice = [name for name in given if given.count(name) > 1]
        if twice:
            raise ValueError(f"names {twice[0]} twice; name each label once")
        return given

    @model_validator(mode="after")
    def _equal_weights_where_shuffled(self) -> Self:
        _require_equal_where_shuffled(self.order, self.sets)
        return self


Data: TypeAlias = DataSettings | SequenceSettings


def _require_equal_where_shuffled(order: str, sets: dict[str, float]) -> None:
    if order == "shuffled" and len(set(sets.values())) > 1:
        raise ValueError("order: shuffled takes every picture as often; give equal weights")


Enlargement: TypeAlias = Annotated[float, Field(ge=0.1, le=10)]


class Stage(Settings):
    """A stretch of training with one crop side in network pixels and one range of scale.

    The recipes `zou`, `liu`, `cssr` and `none` scale nothing; sequences have no `crop`, since
    data.size_hw is their size. With super-resolution `train` names what is trained: the part that
    gives the `image`, the part that gives the `logits`, or both; the other part stays exactly as it
    is.
    """

    iterations: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    crop: int = Field(default=0, ge=0)
    scale: tuple[Enlargement, Enlargement] = (1.0, 1.0)
    train: Literal["joint", "image", "logits"] = "joint"

    @model_validator(mode="after")
    def _rising_scale(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale goes from small to large, got {list(self.scale)}")
        return self


class DegradeSettings(Settings):
    """How the small picture is made of the crop, which is then what the network should draw.

    See fissura.degrade for the operators; a `scale` of 1 is for the baseline of full resolution.
    """

    operator: Literal["bilinear", "bicubic", "bicubic-antialias", "realistic"] = "bicubic-antialias"
    scale: Literal[1, 2, 4, 8] = 4


Weight: TypeAlias = Annotated[float, Field(ge=0)]


class LossSettings(Settings):
    """A cross-entropy per pixel, plus soft Dice, on the answer and on its side outputs.

    `kind`: `cross_entropy` times `class_weights` (background, crack); `focal` (gamma 2), the same
    times (1 − p)² of the true class; `balanced`, weighted by the other class's share of the batch.
    `reduction`: `weighted_mean` divides by the sum of the weights of valid pixels; `all_pixels` by
    the number of all pixels, padding included, as all three releases do. `sides` weighs the same
    loss of `side1` … `side5`, and `divisor` divides it all: Zou's trainer has its batch size there.
    """

    kind: Literal["cross_entropy", "focal", "balanced"] = "cross_entropy"
    class_weights: tuple[Weight, Weight] = (1.0, 1.0)
    reduction: Literal["weighted_mean", "all_pixels"] = "weighted_mean"
    dice: float = Field(default=0.0, ge=0)
    sides: tuple[Weight, ...] = ()
    divisor: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _weights_that_count(self) -> Self:
        if self.kind == "balanced" and self.class_weights != (1.0, 1.0):
            raise ValueError("class_weights: kind balanced makes its own; leave them out")
        if not sum(self.class_weights):
            raise ValueError("class_weights: both are 0, so that nothing counts; raise one")
        return self


class AlphaSettings(Settings):
    """Share of the region loss against the boundary loss, falling while training goes on.

    From `start` by `step` every `epochs` epochs down to `minimum`. `step: 0` keeps it, as CSSR's
    weights were most probably trained; `epochs: 0.5` falls as its PSPNet did, whose two outputs
    advanced the count twice, and 0.76 as its U-Net did, where validation advanced it too. The rule
    `released` counts ⌊pictures / batch⌋ + 1 iterations as an epoch and rounds as the release does.
    """

    rule: Literal["epochs", "released"] = "epochs"
    start: float = Field(default=1.0, ge=0, le=1)
    step: float = Field(default=0.01, ge=0, le=1)
    minimum: float = Field(default=0.01, ge=0, le=1)
    epochs: float = Field(default=1.0, gt=0)


class ComboLossSettings(Settings):
    """CSSR's losses of one crack map, per picture; see fissura.train.boundary for the formulas.

    `cross_entropy` and `overlap` are the shares of the two parts of the region loss,
    `class_weights` (background, crack) those of the cross-entropy, `dice` the kind of overlap;
    `boundary` adds the boundary loss by `alpha`. `released` computes as the published code does,
    from probabilities and with its flaws.
    """

    kind: Literal["combo"] = "combo"
    cross_entropy: float = Field(default=1.0, ge=0)
    overlap: float = Field(default=1.0, ge=0)
    class_weights: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.0, 1.0)
    dice: Literal["plain", "generalised"] = "plain"
    boundary: bool = True
    alpha: AlphaSettings = AlphaSettings()
    released: bool = False

    @model_validator(mode="after")
    def _some_region_loss(self) -> Self:
        if self.cross_entropy + self.overlap == 0:
            raise ValueError("cross_entropy and overlap are both 0; set one of them")
        return self


class DetectionLossSettings(Settings):
    """A detector's loss: boxes (times `reg`), objectness (`obj`) and classes (`cls`).

    A box costs `zeta` times 1 − its overlap (`iou` names the form; plain IoU is squared) and `eta`
    times 1 − the normalised Wasserstein distance, whose `nwd_constant` is in network pixels.
    `reduction`: `mean` takes both over positive cells; `released` divides the distance's mean by
    their number once more, as the release does, so that it hardly counts.
    """

    kind: Literal["detection"] = "detection"
    iou: Literal["ciou", "giou", "iou"] = "ciou"
    nwd_constant: float = Field(default=12.0, gt=0)
    zeta: Weight = 0.5
    eta: Weight = 0.5
    reduction: Literal["released", "mean"] = "released"
    reg: Weight = 5.0
    obj: Weight = 1.0
    cls: Weight = 1.0

    @model_validator(mode="after")
    def _boxes_count(self) -> Self:
        if self.reg * (self.zeta + self.eta) == 0:
            raise ValueError("zeta and eta, or reg, are 0, so that no box is learned; raise one")
        return self


Loss: TypeAlias = LossSettings | ComboLossSettings | DetectionLossSettings


class TrainConfig(Settings):
    """One experiment, complete.

    Networks with super-resolution need `degrade`; `beta` is the share of the crack map's loss where
    both of their parts are trained, the rest is that of the picture. `workers` threads prepare the
    coming batches, which are the same for any number of them. With `precision` bfloat16 the network
    computes in mixed precision, while weights, losses and validation stay in float32. With
    `sync_norms` the batch norms of several processes count the whole batch, not each its share. The
    average of weights keeps the smaller of `ema_decay` and (1 + n) / (10 + n) of itself at
    iteration n, or `ema_decay` · (1 − exp(−n / `ema_warmup`)) where that is given. `init` he
    replaces the network's own random start before any `warm_start`.
    """

    name: str
    model: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    warm_start: tuple[Path, ...] = ()
    init: Literal["network", "he"] = "network"
    input_scale: float = Field(default=1.0, gt=0)
    data: Data = Field(discriminator="kind")
    augment: Augment = Field(default=VariedAugment(), discriminator="recipe")
    degrade: DegradeSettings | None = None
    stages: tuple[Stage, ...] = Field(min_length=1)
    loss: Loss = Field(default=LossSettings(), discriminator="kind")
    beta: float = Field(default=0.3, ge=0, le=1)
    optimiser: OptimiserSettings = OptimiserSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    ema_warmup: float | None = Field(default=None, gt=0)
    validate_every: int = Field(default=200, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)
    threads: int | None = Field(default=None, ge=1)
    workers: int = Field(default=0, ge=0, le=64)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    sync_norms: bool = True

    @field_validator("data", mode="before")
    @classmethod
    def _pictures_unless_said(cls, given: Any) -> Any:
        return {"kind": "pictures"} | given if isinstance(given, dict) else given

    @field_validator("augment", mode="before")
    @classmethod
    def _default_recipe(cls, given: Any) -> Any:
        """A section without `recipe`, as `--set augment.blur=0` makes one, is of the default."""
        return {"recipe": "varied"} | given if isinstance(given, dict) else given

    @field_validator("loss", mode="before")
    @classmethod
    def _default_loss(cls, given: Any) -> Any:
        return {"kind": "cross_entropy"} | given if isinstance(given, dict) else given

    @field_validator("warm_start", mode="before")
    @classmethod
    def _one_or_several_files(cls, given: Any) -> Any:
        if given is None:
            return ()
        return (given,) if isinstance(given, str | Path) else given

    @model_validator(mode="after")
    def _recipe_suits_the_data(self) -> Self:
        sequences = isinstance(self.data, SequenceSettings)
        if sequences != isinstance(self.augment, SequenceAugment):
            fitting = "clip or none" if sequences else "another"
            raise ValueError(
                f"augment.recipe: {self.augment.recipe} is not for {self.data.kind}; take {fitting}"
            )
        for stage in self.stages:
            if sequences and stage.crop:
                raise ValueError("stages.crop: data.size_hw is the size of sequences; leave it out")
            if not sequences and stage.crop < 32:
                raise ValueError(f"stages.crop: {stage.crop} is no side of a crop; give 32 or more")
        return self

    @model_validator(mode="after")
    def _stages_suit_the_recipe(self) -> Self:
        if not isinstance(self.augment, ZouAugment | LiuAugment | CssrAugment | NoAugment):
            return self
        name = self.augment.recipe
        if any(stage.scale != (1, 1) for stage in self.stages):
            raise ValueError(f"stages.scale: the recipe {name} scales nothing; leave it out")
        size_wh = self.augment.size_wh if isinstance(self.augment, LiuAugment) else None
        if size_wh and any(stage.crop != max(size_wh) for stage in self.stages):
            raise ValueError(f"stages.crop: augment.size_wh is {list(size_wh)}; set its larger one")
        return self

    @model_validator(mode="after")
    def _small_pictures(self) -> Self:
        if self.degrade is None:
            return self
        if self.input_scale != 1:
            raise ValueError("input_scale is 1 where degrade makes the picture; leave it out")
        uneven = [stage.crop for stage in self.stages if stage.crop % self.degrade.scale]
        if uneven:
            raise ValueError(
                f"stages.crop {uneven[0]} is no multiple of degrade.scale {self.degrade.scale}"
            )
        return self

    @property
    def iterations(self) -> int:
        """Length of the whole run."""
        return sum(stage.iterations for stage in self.stages)

    def stage_at(self, iteration: int) -> Stage:
        """The stage that iteration `iteration`, counted from 0, belongs to."""
        for stage in self.stages:
            if iteration < stage.iterations:
                return stage
            iteration -= stage.iterations
        return self.stages[-1]
