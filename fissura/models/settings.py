"""Which settings a network takes: told, and checked, by the signature of its class."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from torch import nn


def check_settings(
    kind: type[nn.Module], given: Mapping[str, Any], settled: Collection[str] = ()
) -> None:
    """ValueError, a sentence with all settings, where one is unknown or of another kind.

    Those that are `settled` elsewhere may not be given.
    """
    hints = get_type_hints(kind.__init__)
    kinds = {k: _kind(hints[k]) for k in hints if k not in (*settled, "return")}
    for name, value in given.items():
        if name not in kinds:
            wrong = f"{_shown(name)} is no setting"
        elif not kinds[name][1](value):
            wrong = f"{name} cannot be {_shown(value)}"
        else:
            continue
        taken = ", ".join(f"{key} ({words})" for key, (words, _) in kinds.items())
        raise ValueError(f"{wrong}; the settings are {taken}")


def _kind(hint: Any) -> tuple[str, Callable[[Any], bool]]:
    """What a setting is in words, and whether a value is that."""
    if hint in _PLAIN:
        words, types = _PLAIN[hint]
        return words, lambda value: type(value) in types
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        words = f"{', '.join(choices[:-1])} or {choices[-1]}"
        return words, lambda value: isinstance(value, str) and value in choices
    if get_origin(hint) is Sequence:
        return "a list of whole numbers", _whole_numbers
    if get_origin(hint) is tuple:
        count = len(get_args(hint))
        return (
            f"{count} whole numbers",
            lambda value: _whole_numbers(value) and len(value) == count,
        )
    if isinstance(hint, UnionType):  # with None
        words, fits = _kind(get_args(hint)[0])
        return words, lambda value: value is None or fits(value)
    return "a name and settings", lambda value: isinstance(value, Mapping)


_PLAIN: dict[type, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
}
"""Kinds of setting in words, and the types that a value of each may have."""


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(type(item) is int for item in value)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, list | tuple):
        return "that list"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
