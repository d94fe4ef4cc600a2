"""The settings of a rendered belt; those not given are drawn from the seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from fissura.types import SettingError

BeltTexture = Literal["plain", "chevron", "worn", "dusty"]
View = Literal["above", "side", "below"]
Light = Literal["morning", "day", "lamp", "dim"]
Weather = Literal["dry", "rain", "dust"]
SizeMix = Literal["14ks", "9kd"]


@dataclass(frozen=True)
class BeltStyle:
    """One belt, its camera's timing, light, weather, and how much is wrong with it.

    `length_m` is rounded up to whole pieces of painted belt. `cracks_per_frame` is the mean number
    of defects in sight, `holes` the share of holes among them, `size_mix` whose counts of the
    paper's Table 1 their sizes follow, `crack_scale` a factor on their lengths: for pictures much
    smaller than 1920×1080, where the paper's cracks would be a few pixels. `decoys` is the density
    of scratches, stains and streaks, 1 being usual. `tears` is the mean number, in 20 m of belt, of
    tears along it that are longer than the picture; `dust` a factor on the dust that lies on it.
    """

    texture: BeltTexture
    view: View
    light: Light
    weather: Weather
    speed_mps: float
    exposure_s: float
    fps: float
    width_m: float
    length_m: float
    cracks_per_frame: float
    holes: float
    size_mix: SizeMix
    crack_scale: float
    decoys: float
    tears: float
    dust: float


CHOICES: dict[str, tuple[str, ...]] = {
    "texture": get_args(BeltTexture),
    "view": get_args(View),
    "light": get_args(Light),
    "weather": get_args(Weather),
    "size_mix": get_args(SizeMix),
}

RANGES: dict[str, tuple[float, float]] = {
    "speed_mps": (0.0, 20.0),
    "exposure_s": (0.0, 0.05),
    "fps": (0.1, 1000.0),
    "width_m": (0.2, 4.0),
    "length_m": (1.0, 20_000.0),
    "cracks_per_frame": (0.0, 20.0),
    "holes": (0.0, 1.0),
    "crack_scale": (0.1, 10.0),
    "decoys": (0.0, 10.0),
    "tears": (0.0, 5.0),
    "dust": (0.0, 5.0),
}


LEARNED = {"view": "above", "light": "day", "weather": "dry"}
"""Belts that published networks have learned from: later inventions leave their pictures alone."""


def draw_style(seed: int, given: Mapping[str, Any]) -> BeltStyle:
    """Draw a style and put the given settings in their places; None counts as not given."""
    rng = np.random.default_rng([seed, 10])
    given = {name: value for name, value in given.items() if value is not None}
    _check(given)
    light = given.get("light", str(rng.choice(["morning", "day", "lamp", "dim"])))
    shutter = (1 / 900, 1 / 300) if light == "dim" else (1 / 2500, 1 / 600)
    drawn: dict[str, Any] = {
        "texture": str(rng.choice(["plain", "chevron", "worn", "dusty"], p=[0.34, 0.1, 0.3, 0.26])),
        "view": str(rng.choice(["above", "side", "below"], p=[0.55, 0.2, 0.25])),
        "weather": str(rng.choice(["dry", "rain", "dust"], p=[0.6, 0.18, 0.22])),
        "speed_mps": float(rng.uniform(2, 6)),
        "exposure_s": float(np.exp(rng.uniform(*np.log(shutter)))),
        "fps": 30.0,
        "width_m": float(rng.uniform(0.8, 1.4)),
        "length_m": float(rng.uniform(10, 30)),
        "cracks_per_frame": float(rng.uniform(1.2, 3.6)),
        "holes": 0.12,
        "size_mix": "14ks",
        "crack_scale": 1.0,
        "decoys": float(rng.uniform(0.5, 1.5)),
    }
    chosen = drawn | {"light": light} | given
    learned = all(chosen[name] == value for name, value in LEARNED.items())
    chosen.setdefault("tears", 0.0 if learned else 0.25)
    chosen.setdefault("dust", 1.0 if learned or chosen["texture"] != "dusty" else 2.5)
    return BeltStyle(**chosen)


def _check(given: Mapping[str, Any]) -> None:
    names = [field.name for field in dataclasses.fields(BeltStyle)]
    for name, value in given.items():
        if name not in names:
            raise SettingError(
                f"{name}: is no setting of a rendered belt; choose from {', '.join(names)}"
            )
        if name in CHOICES and value not in CHOICES[name]:
            raise SettingError(f"{name}={value}: choose one of {', '.join(CHOICES[name])}")
        if name in RANGES:
            low, high = RANGES[name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and low <= value <= high):
                raise SettingError(f"{name}={value}: expected a number from {low:g} to {high:g}")
