"""From the settings of a recipe to the function that makes a sample ready for a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator

from fissura.augment import (
    VIEWS,
    Appearance,
    Geometry,
    balanced_crop,
    blur_sometimes,
    change_appearance,
    distort_photometrically,
    fit_into_box,
    flip_once,
    jitter_colour,
    mirror_distort_crop,
    move_sometimes,
    pad_to_square,
    random_crop,
    squeeze,
    take_view,
)
from fissura.train.augment_config import (
    CssrAugment,
    LiuAugment,
    MmsegAugment,
    PictureAugment,
    VariedAugment,
    ZouAugment,
)
from fissura.train.config import Stage
from fissura.types import BoolMask, Sample

Colour: TypeAlias = tuple[float, float, float]
Pair: TypeAlias = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
Change: TypeAlias = Callable[[Sample, Stage, int, Generator], Pair]


@dataclass(frozen=True)
class Recipe:
    """`change` gives picture (RGB in 0…255) and labels (255 ignored) of one copy of a sample.

    Copies are counted from 0; where there are several, they differ in more than chance.
    """

    change: Change
    copies: int = 1


def build_recipe(augment: PictureAugment, mean_rgb: Colour) -> Recipe:
    """`mean_rgb` is the network's, for a recipe that pads with it."""
    if isinstance(augment, MmsegAugment):
        return _mmseg(augment, mean_rgb)
    if isinstance(augment, ZouAugment):
        return _zou(augment)
    if isinstance(augment, LiuAugment):
        return _liu(augment)
    if isinstance(augment, CssrAugment):
        return _cssr(augment)
    return _varied(augment)


def _mask(sample: Sample) -> BoolMask:
    assert sample.mask is not None, "unmasked samples are left out when data are read"
    return sample.mask


def _varied(settings: VariedAugment) -> Recipe:
    values = settings.model_dump(exclude={"recipe"})
    turns = {name: values.pop(name) for name in ("rotation_deg", "quarter_turns", "mirror")}
    appearance = Appearance(**values)

    def change(sample: Sample, stage: Stage, _copy: int, rng: Generator) -> Pair:
        geometry = Geometry(scale=stage.scale, **turns)
        image, mask = random_crop(sample.image, _mask(sample), stage.crop, geometry, rng)
        return change_appearance(image, appearance, rng), mask

    return Recipe(change)


def _mmseg(settings: MmsegAugment, mean_rgb: Colour) -> Recipe:
    def change(sample: Sample, stage: Stage, _copy: int, rng: Generator) -> Pair:
        ratio = rng.uniform(*stage.scale)
        box = (int(settings.box[0] * ratio), int(settings.box[1] * ratio))
        image, mask = fit_into_box(sample.image, _mask(sample), box)
        image, mask = balanced_crop(image, mask, stage.crop, settings.max_share, rng)
        if rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        image = distort_photometrically(np.ascontiguousarray(image), rng)
        return pad_to_square(image, mask, stage.crop, mean_rgb)

    return Recipe(change)


def _zou(settings: ZouAugment) -> Recipe:
    def change(sample: Sample, stage: Stage, copy: int, rng: Generator) -> Pair:
        image, mask = sample.image, _mask(sample)
        if settings.offline:
            image, mask = take_view(image, mask, copy, stage.crop)
        if rng.random() < settings.colour:
            image = jitter_colour(image, rng)
        if rng.random() < settings.blur:
            image = blur_sometimes(image, rng)
        return image, mask

    return Recipe(change, VIEWS if settings.offline else 1)


def _liu(settings: LiuAugment) -> Recipe:
    def change(sample: Sample, stage: Stage, _copy: int, rng: Generator) -> Pair:
        size_wh = settings.size_wh or (stage.crop, stage.crop)
        image, mask = squeeze(sample.image, _mask(sample), size_wh)
        if settings.flips:
            image, mask = flip_once(image, mask, rng)
        return move_sometimes(image, mask, rng) if settings.affine else (image, mask)

    return Recipe(change)


def _cssr(settings: CssrAugment) -> Recipe:
    def change(sample: Sample, stage: Stage, _copy: int, rng: Generator) -> Pair:
        mask = _mask(sample)
        return mirror_distort_crop(sample.image, mask, stage.crop, rng, clip=settings.clip)

    return Recipe(change)
