"""results.json: a list of all that is known about each picture, as docs/result.schema.json says."""

from __future__ import annotations

from pathlib import Path

from fissura.report.parts.files import JsonList
from fissura.report.parts.record import result_to_dict
from fissura.types import Result


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
