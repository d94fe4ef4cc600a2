"""Random changes of a picture and its mask together, driven by a generator that is passed in.

Pictures are H×W×3 uint8 RGB, masks bool H×W. One file per recipe; recipes do not know each other.
"""

from __future__ import annotations

from fissura.augment.cssr import (
    Box,
    Distortion,
    distort,
    draw_box,
    draw_distortion,
    mirror_distort_crop,
    take_box,
)
from fissura.augment.liu import Affine, flip_once, move_sometimes, squeeze, warp_twice
from fissura.augment.mmseg import (
    balanced_crop,
    distort_photometrically,
    fit_into_box,
    pad_to_square,
)
from fissura.augment.varied import Appearance, Geometry, change_appearance, random_crop
from fissura.augment.zou import (
    VIEWS,
    blur_sometimes,
    jitter_colour,
    shift_brightness,
    shift_hue,
    stretch_contrast,
    stretch_saturation,
    take_view,
    valid_rectangle,
    view_matrix,
)

__all__ = [
    "VIEWS",
    "Affine",
    "Appearance",
    "Box",
    "Distortion",
    "Geometry",
    "balanced_crop",
    "blur_sometimes",
    "change_appearance",
    "distort",
    "distort_photometrically",
    "draw_box",
    "draw_distortion",
    "fit_into_box",
    "flip_once",
    "jitter_colour",
    "mirror_distort_crop",
    "move_sometimes",
    "pad_to_square",
    "random_crop",
    "shift_brightness",
    "shift_hue",
    "squeeze",
    "stretch_contrast",
    "stretch_saturation",
    "take_box",
    "take_view",
    "valid_rectangle",
    "view_matrix",
    "warp_twice",
]
