"""Arguments that make every network of MODELS small enough for a test."""

from __future__ import annotations

from typing import Any

ARGUMENTS: dict[str, dict[str, Any]] = {
    "cgnet": {"blocks": [2, 2]},
    "deepcrack_liu": {"width": 4},
    "deepcrack_zou": {"width": 4},
}


def small_arguments(name: str) -> dict[str, Any]:
    """A copy of the arguments of one network."""
    return dict(ARGUMENTS[name])
