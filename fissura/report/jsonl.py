"""results.jsonl: one line of JSON a picture or frame, each as results.json has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from fissura.report.parts.record import result_to_dict
from fissura.types import Result


class JsonLinesWriter:
    """Appends to results.jsonl; every line is whole when it is written."""

    def __init__(self, out_dir: Path) -> None:
        self._path = out_dir / "results.jsonl"

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("w", encoding="utf-8", buffering=1)
        return self

    def write(self, result: Result) -> None:
        """Append one picture."""
        record = result_to_dict(result)
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._file.write(f"{text}\n")

    def __exit__(self, *error: object) -> None:
        self._file.close()
