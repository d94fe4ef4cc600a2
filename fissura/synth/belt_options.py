"""What the verb `fissura data synth` was told, checked and read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fissura.config import apply_overrides
from fissura.synth.belt_files import BeltSeries
from fissura.types import InputError, SettingError

SUBJECTS = ("walls", "belt")

SHORT = {"fps": "fps", "speed": "speed_mps"}
"""Options that are short for a setting of a belt."""

USUAL: dict[str, Any] = {"seed": 0, "sequences": 1, "frames": 60, "size": "960x540"}


def check_subject(what: str, given: Collection[str] = ()) -> None:
    """Refuse a subject that cannot be rendered, and options that it would ignore."""
    if what not in SUBJECTS:
        raise InputError(f"data synth {what}: choose one of {', '.join(SUBJECTS)}")
    if what == "walls" and given:
        named = ", ".join(f"--{name}" for name in given)
        raise SettingError(f"{named}: for belts only, the walls are always the same; leave it out")


def read_size(text: str) -> tuple[int, int]:
    """Width and height from a text such as 960x540."""
    width, times, height = text.lower().partition("x")
    if not (times and width.isdecimal() and height.isdecimal()):
        raise SettingError(f"--size {text}: expected WIDTHxHEIGHT, as 960x540")
    return int(width), int(height)


def read_series(given: Mapping[str, Any]) -> BeltSeries:
    """Which sequences to render; what is not given is as usual."""
    chosen = USUAL | dict(given)
    size_wh = read_size(chosen["size"])
    return BeltSeries(chosen["seed"], chosen["sequences"], chosen["frames"], size_wh)


def read_style(short: Mapping[str, float], changes: Sequence[str]) -> dict[str, Any]:
    """Settings of a belt from `--set` and from the options in SHORT; never one from both."""
    style = apply_overrides({}, changes, example="texture=worn")
    for option, value in short.items():
        name = SHORT[option]
        if name in style:
            raise SettingError(
                f"--{option} {value:g} and --set {name}={style[name]}: give one of them"
            )
        style[name] = value
    return style
