"""What a run leaves behind: one writer per format, each fed result by result.

A writer is a context manager made from the output folder. Leaving it, also by an error or Ctrl-C,
completes its files with what was written so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, Self

from fissura.report.coco import CocoWriter
from fissura.report.csv import CsvWriter
from fissura.report.enlarged import EnlargedWriter
from fissura.report.geojson import GeoJsonWriter
from fissura.report.html import HtmlWriter
from fissura.report.json import JsonWriter
from fissura.report.jsonl import JsonLinesWriter
from fissura.report.masks import MaskWriter
from fissura.report.overlay import OverlayWriter, draw
from fissura.report.parts.record import result_to_dict
from fissura.report.probability import ProbabilityWriter
from fissura.report.video import VideoWriter
from fissura.types import InputError, Result

__all__ = ["WRITERS", "Writer", "draw", "open_writers", "prepare_output", "result_to_dict"]


class Writer(Protocol):
    """Takes results one by one and keeps none of them."""

    def __enter__(self) -> Self: ...

    def write(self, result: Result) -> None:
        """Add one picture."""

    def __exit__(self, *error: object) -> None: ...


WRITERS: dict[str, Callable[[Path], Writer]] = {
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "csv": CsvWriter,
    "coco": CocoWriter,
    "masks": MaskWriter,
    "probability": ProbabilityWriter,
    "overlay": OverlayWriter,
    "enlarged": EnlargedWriter,
    "html": HtmlWriter,
    "geojson": GeoJsonWriter,
    "video": VideoWriter,
}


def prepare_output(out_dir: Path, overwrite: bool = False) -> None:
    """Make the output folder; refuse one that already holds something, unless told to overwrite."""
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"{out_dir}: is a file, not a folder; choose another output folder")
    if out_dir.is_dir() and not overwrite and any(out_dir.iterdir()):
        raise InputError(
            f"{out_dir}: already holds files; choose another folder or allow overwriting "
            "(--overwrite)"
        )
    out_dir.mkdir(parents=True, exist_ok=True)


@contextmanager
def open_writers(
    formats: Sequence[str],
    out_dir: Path,
    overwrite: bool = False,
    classes: Sequence[str] | None = None,
) -> Iterator[Callable[[Result], None]]:
    """A function that writes a result in every format; the files are closed on leaving.

    `classes` are those of the model, empty for one that segments: which tables there are and how
    classes are numbered is then known before the first result. None: the results tell.
    """
    unknown = [name for name in formats if name not in WRITERS]
    if unknown or not formats:
        raise InputError(
            f"formats: no {', '.join(unknown) or 'name'}; choose from {', '.join(WRITERS)}"
        )
    prepare_output(out_dir, overwrite)
    with ExitStack() as stack:
        made = [_make(name, out_dir, classes) for name in dict.fromkeys(formats)]
        opened = [stack.enter_context(writer) for writer in made]

        def write(result: Result) -> None:
            for writer in opened:
                writer.write(result)

        yield write


def _make(name: str, out_dir: Path, classes: Sequence[str] | None) -> Writer:
    if name == "csv":
        return CsvWriter(out_dir, classes)
    if name == "coco":
        return CocoWriter(out_dir, classes)
    return WRITERS[name](out_dir)
