"""A result as the plain values that every JSON format holds."""

from __future__ import annotations

import dataclasses
from typing import Any

from fissura.report.parts.boxes import box_entries
from fissura.report.parts.rle import crack_rle
from fissura.report.parts.words import plain
from fissura.types import ARRAY, Result


def result_to_dict(result: Result) -> dict[str, Any]:
    """The result as plain values; arrays stay out, each crack gives its pixels as `rle`."""
    record = {name: value for name, value in _fields(result).items() if name != "cracks"}
    cracks = [
        {**_fields(crack), "rle": crack_rle(crack, result.size_hw)} for crack in result.cracks
    ]
    boxes = None if result.detections is None else box_entries(result.detections)
    return {**plain(record), "cracks": plain(cracks), "detections": boxes}


def _fields(value: Any) -> dict[str, Any]:
    kept = [item for item in dataclasses.fields(value) if item.metadata != ARRAY]
    return {item.name: _nested(getattr(value, item.name)) for item in kept}


def _nested(value: Any) -> Any:
    return _fields(value) if dataclasses.is_dataclass(value) else value
