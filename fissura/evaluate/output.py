"""The folder that an evaluation writes into: what is made for it, and what an older one left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fissura.evaluate.boxes.protocols import BOX_PROTOCOLS
from fissura.evaluate.protocols import PROTOCOLS
from fissura.report import prepare_output
from fissura.types import InputError

REPORT_FILES = ("report.json", "report.md", "curves.csv", "pr_curve.png")
TABLE_FILES = ("protocols.json", "protocols.md")


@contextmanager
def output(out: Path, overwrite: bool) -> Iterator[None]:
    """Make the folder; if the evaluation is refused, take away those that were made for it."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    prepare_output(out, overwrite)
    try:
        yield
    except InputError:
        for folder in made:
            with suppress(OSError):  # somebody wrote into it meanwhile
                folder.rmdir()
        raise


def remove_old_reports(out: Path) -> None:
    """Delete the reports of an earlier evaluation, which would pass for parts of the new one."""
    for name in (*REPORT_FILES, *TABLE_FILES):
        (out / name).unlink(missing_ok=True)
    names = (*PROTOCOLS, *BOX_PROTOCOLS)
    for folder in (out / name for name in names if (out / name).is_dir()):
        for name in REPORT_FILES:
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # holds files of the user's own
            folder.rmdir()
