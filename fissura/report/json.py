"""results.json: a list of all that is known about each picture, as docs/result.schema.json says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fissura.report.parts.files import JsonList
from fissura.report.parts.rle import crack_rle
from fissura.report.parts.words import plain
from fissura.types import ARRAY, Result


def result_to_dict(result: Result) -> dict[str, Any]:
    """The result as plain values; arrays stay out, each crack gives its pixels as `rle`."""
    record = {name: value for name, value in _fields(result).items() if name != "cracks"}
    cracks = [
        {**_fields(crack), "rle": crack_rle(crack, result.size_hw)} for crack in result.cracks
    ]
    return {**plain(record), "cracks": plain(cracks)}


def _fields(value: Any) -> dict[str, Any]:
    kept = [item for item in dataclasses.fields(value) if item.metadata != ARRAY]
    return {item.name: _nested(getattr(value, item.name)) for item in kept}


def _nested(value: Any) -> Any:
    return _fields(value) if dataclasses.is_dataclass(value) else value


class JsonWriter:
    """Appends to results.json, a valid file after every picture."""

    def __init__(self, out_dir: Path) -> None:
        self._path = out_dir / "results.json"

    def __enter__(self) -> JsonWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._list = JsonList(self._path, "[", lambda: "\n]\n")
        return self

    def write(self, result: Result) -> None:
        """Append one picture."""
        self._list.append(result_to_dict(result))

    def __exit__(self, *error: object) -> None:
        self._list.close()
