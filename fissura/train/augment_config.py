"""Settings of the recipes that change training pictures; see fissura.augment for each."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from fissura.config import Settings


class VariedAugment(Settings):
    """Our recipe: one warp, then strong changes of light; see fissura.augment for each strength.

    A stage's `scale` is the enlargement of the photograph.
    """

    recipe: Literal["varied"] = "varied"
    rotation_deg: float = Field(default=15.0, ge=0, le=180)
    quarter_turns: bool = True
    mirror: bool = True
    brightness: float = Field(default=32.0, ge=0, le=255)
    contrast: float = Field(default=0.4, ge=0, le=2)
    saturation: float = Field(default=0.4, ge=0, le=2)
    gamma: float = Field(default=0.3, ge=0, le=2)
    hue: float = Field(default=12.0, ge=0, le=180)
    shadow: float = Field(default=0.2, ge=0, le=1)
    blur: float = Field(default=0.2, ge=0, le=1)
    noise: float = Field(default=0.3, ge=0, le=1)
    jpeg: float = Field(default=0.2, ge=0, le=1)


class MmsegAugment(Settings):
    """The release's recipe: fit into `box` (long, short side) times a ratio, crop, flip, distort.

    A stage's `scale` is the range of that ratio; a crop is drawn again up to ten times while one
    class fills more than `max_share` of it.
    """

    recipe: Literal["mmseg"]
    box: tuple[int, int] = (1024, 768)
    max_share: float = Field(default=0.99, gt=0, le=1)


class ZouAugment(Settings):
    """Zou's recipe: 9 rotations × 3 mirrors × 5 crops of each picture, then colour and focus.

    `offline: false` takes pictures as they are, cut beforehand to a stage's `crop`. With order
    `shuffled` an epoch has every one of the 135 views of every picture. `colour` and `blur` are
    the chances of those two steps, inside which chance decides again.
    """

    recipe: Literal["zou"]
    offline: bool = True
    colour: float = Field(default=0.5, ge=0, le=1)
    blur: float = Field(default=0.2, ge=0, le=1)


class LiuAugment(Settings):
    """Liu's recipe: squeeze to `size_wh` (else a stage's `crop`, squared), then at most one flip.

    `affine` adds, every second time, a rotation by up to 45°, a scale of 0.8…1.2 and a shift.
    """

    recipe: Literal["liu"]
    size_wh: tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]] | None = None
    flips: bool = True
    affine: bool = False


class CssrAugment(Settings):
    """CSSR's recipe: mirror, light and colour, a square of 60 to 100 % of the area to `crop`.

    `clip: false` keeps colours that a strong saturation makes negative, as the release does.
    """

    recipe: Literal["cssr"]
    clip: bool = True


class ClipAugment(Settings):
    """For sequences: mirror, enlargement, light, colour, focus, noise, alike in all frames.

    A stage's `scale` is the enlargement; `shift` moves the window by up to that share of its sides.
    """

    recipe: Literal["clip"]
    mirror: bool = True
    shift: float = Field(default=0.1, ge=0, le=0.5)
    brightness: float = Field(default=32.0, ge=0, le=255)
    contrast: float = Field(default=0.3, ge=0, le=2)
    saturation: float = Field(default=0.3, ge=0, le=2)
    gamma: float = Field(default=0.2, ge=0, le=2)
    hue: float = Field(default=8.0, ge=0, le=180)
    blur: float = Field(default=0.1, ge=0, le=1)
    noise: float = Field(default=0.2, ge=0, le=1)


class NoAugment(Settings):
    """Sequences as they are, as BeltCrackDet's release trains."""

    recipe: Literal["none"]


PictureAugment: TypeAlias = VariedAugment | MmsegAugment | ZouAugment | LiuAugment | CssrAugment
SequenceAugment: TypeAlias = ClipAugment | NoAugment
Augment: TypeAlias = PictureAugment | SequenceAugment
