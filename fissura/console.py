"""What the verbs of the command line share: options, exit codes, progress, tables, JSON.

Only light imports here: `fissura --help` must answer at once.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_type_hints

import typer

from fissura.overlap import Stages
from fissura.tally import Tally, readable

if TYPE_CHECKING:
    from fissura.types import Result

DONE, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

EVERY_S = 2.0
"""So often the frames of a video give a plain line, where every picture gives one."""

EXTRAS = {
    "torch": "train",
    "safetensors": "train",
    "onnx": "train",
    "onnxscript": "train",
    "openvino": "openvino",
}

O = TypeVar("O")  # noqa: E741  a dataclass of options


def verb(app: typer.Typer, name: str) -> Callable[[Callable[[O], int]], Callable[[O], int]]:
    """Register a function of one options dataclass as a verb; its return value is the exit code.

    Each field of the dataclass becomes an option, so a verb has one argument however many options
    it has.
    """

    def register(function: Callable[[O], int]) -> Callable[[O], int]:
        options_type: type[Any] = get_type_hints(function)["options"]
        hints = get_type_hints(options_type, include_extras=True)

        def command(**values: Any) -> None:
            raise typer.Exit(_guarded(function, options_type(**values)))

        fields = dataclasses.fields(options_type)
        command.__dict__["__signature__"] = inspect.Signature(
            [_parameter(field, hints[field.name]) for field in fields]
        )
        command.__annotations__ = hints
        command.__doc__ = function.__doc__
        app.command(name)(command)
        return function

    return register


def _parameter(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    missing = field.default is dataclasses.MISSING
    default = inspect.Parameter.empty if missing else field.default
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(field.name, kind, default=default, annotation=hint)


def _guarded(function: Callable[[O], int], options: O) -> int:
    try:
        return function(options)
    except KeyboardInterrupt:
        complain("stopped; what was finished stays")
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        complain(f"this needs {error.name}: pip install 'fissura[{EXTRAS[error.name]}]'")
        return WRONG_USAGE
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stdout = None  # or Python flushes into the pipe at exit
        return INTERRUPTED
    except OSError as error:
        complain(f"{error.filename or 'output'}: {error.strerror or error}; check path and disk")
        return WRONG_USAGE
    except Exception as error:
        from fissura.types import InputError

        if not isinstance(error, InputError):
            raise
        complain(str(error))
        return WRONG_USAGE


def complain(message: str) -> None:
    """One line on standard error."""
    from fissura.sources import STANDARD_ERROR

    with STANDARD_ERROR:
        print(f"fissura: {_on_one_line(message)}", file=sys.stderr, flush=True)


def _on_one_line(text: str) -> str:
    """File names may hold line ends, terminal commands and bytes that are no text."""
    from fissura.sources import shown

    return shown(text)


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False))


def print_list(entries: Sequence[Mapping[str, Any]], as_json: bool, nothing: str = "") -> int:
    """Entries one below the other, the first value of each as its heading; or all as JSON."""
    if as_json:
        print_json(entries)
        return DONE
    for entry in entries:
        (_, heading), *rest = entry.items()
        print(heading)
        for name, value in rest:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            wrapped = textwrap.wrap(text, 78) or ["-"]
            print(f"    {name:16}{wrapped[0]}")
            print("".join(f"{'':20}{line}\n" for line in wrapped[1:]), end="")
    if not entries and nothing:
        print(nothing)
    return DONE


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{n}}" for cell, n in zip(row, widths, strict=True)).rstrip())


def print_outcome(found: Mapping[str, Any], as_json: bool) -> int:
    """What a verb made: names and values, or JSON."""
    if as_json:
        print_json(found)
        return DONE
    for name, value in found.items():
        if value == []:
            continue
        text = "\n          ".join(value) if isinstance(value, list) else value
        print(f"{name:9} {text}")
    return DONE


def training_report(progress: Progress) -> Callable[[dict[str, Any]], None]:
    """Shows the lines of metrics.jsonl: notices, every validation, every tenth iteration."""

    def report(line: dict[str, Any]) -> None:
        done = line["iteration"]
        if "notice" in line:
            complain(f"note: {line['notice']}")
        elif "validation" in line or done % 10 == 0:
            numbers = line.get("validation") or {"loss": line["loss"]}
            said = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            progress.at(done, progress.total, said)

    return report


class Progress:
    """A bar on a terminal, one plain line per step elsewhere, nothing where `quiet`."""

    def __init__(self, label: str, quiet: bool) -> None:
        self.total = 0
        self._done = 0
        self._label = label
        self._bar: Any = None
        self._quiet = quiet
        self._due = 0.0

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, line: str) -> None:
        """One input is finished."""
        self.at(self._done + 1, self.total, line)

    def frame(self, line: str) -> None:
        """One frame of a video is finished."""
        self.often(self._done + 1, self.total, line)

    def often(self, done: int, total: int, line: str = "") -> None:
        """As `at`, for what is quick: a plain line only now and then, and for the last."""
        if self._bar is not None or time.monotonic() >= self._due or done == total:
            self._due = time.monotonic() + EVERY_S
            self.at(done, total, line)
        else:
            self._done = done

    def at(self, done: int, total: int, line: str = "") -> None:
        """So many of so many inputs are finished."""
        self._done, self.total = done, total
        if self._bar is not None:
            from rich.markup import escape

            text = escape(_on_one_line(line)) or self._label
            self._bar.update(self._task, completed=done, total=total or None, description=text)
        elif not self._quiet:
            of = f"/{total}" if total else ""
            print(f"[{done}{of}] {_on_one_line(line) or self._label}", flush=True)

    def failed(self, line: str) -> None:
        """One input could not be used: said on standard error, and counted."""
        complain(line)
        self._done += 1


class PredictRun:
    """What `fissura predict` shows while it works: progress, failures, results as JSON, a summary.

    The JSON document is written piece by piece, so that memory does not grow with its length, and
    it is closed properly even when the work is interrupted.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._progress = Progress("reading", quiet=as_json)
        self._tally = Tally()
        self._noted: set[str] = set()
        self._failures: list[dict[str, str]] = []
        self._out: str | None = None
        self._frames, self._started = 0, 0.0
        self.stages = Stages()

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def start(self, total: int, out: str, boxes: bool = False) -> None:
        """The pictures are counted and the folder for the results is ready; `boxes` are found."""
        self._tally.boxes = 0 if boxes else None
        self._progress.total = total + len(self._failures) if total else 0
        self._out = out
        self._started = time.monotonic()
        self._write(f'{{\n"out": {_compact(_on_one_line(out))},\n"results": [')

    def failed(self, source: str, error: Exception) -> None:
        """One input could not be used."""
        from fissura.report.parts.words import readable as decodable

        self._failures.append({"source": decodable(source), "error": decodable(str(error))})
        self._progress.failed(str(error))

    def add(self, result: Result, document: dict[str, Any] | None) -> None:
        """One picture is finished; `document` is its JSON form."""
        self._write(f"{',' if self._tally.pictures else ''}\n{_compact(document)}")
        self._tally.add(result)
        found = plural(len(result.cracks), "crack")
        if result.detections is not None:
            found = plural(len(result.detections.labels), "box")
        if result.sequence is not None:
            self._note(result)
        if result.time_s is None:
            self._progress.step(f"{result.source}: {found}")
            return
        self._frames += 1
        self._progress.frame(f"{result.source} {result.time_s:.1f} s: {found}, {self._pace()}")

    def _note(self, result: Result) -> None:
        """What is to be said of a sequence, each sentence once."""
        for note in result.notes:
            if note not in self._noted:
                self._noted.add(note)
                complain(f"note: {result.source}: {note}")

    def _pace(self) -> str:
        passed = max(time.monotonic() - self._started, 1e-9)
        return f"{readable(self._frames / passed)} frames/s"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, error, trace)
        if self._out is None:
            return
        summary, failed = _compact(self._tally.to_dict()), _compact(self._failures)
        stages = _compact(self._stage_figures())
        told = f'"summary": {summary},\n"failed": {failed},\n"stages": {stages}'
        self._write(f"\n],\n{told}\n}}\n")
        if not self._as_json:
            self._summarise(self._out)

    def _stage_figures(self) -> dict[str, Any]:
        figures = {f"{name}_s": seconds for name, seconds in self.stages.seconds.items()}
        figures["elapsed_s"] = time.monotonic() - self._started
        rounded = {name: round(seconds, 3) for name, seconds in figures.items()}
        return {**rounded, "bottleneck": self.stages.bottleneck}

    def _summarise(self, out: str) -> None:
        print()
        for name, text in self._tally.lines().items():
            print(f"{name:9} {text}")
        if self._frames:
            print(f"{'speed':9} {self._pace()}")
        if self._tally.pictures:
            passed = time.monotonic() - self._started
            print(f"{'stages':9} {self.stages} (in {passed:.1f} s)")
        if self._failures:
            print(f"{'failed':9} {len(self._failures)}")
        page = Path(out) / "report.html"
        print(f"{'results':9} {_on_one_line(str(page if page.is_file() else out))}")

    @property
    def exit_code(self) -> int:
        """1 if an input failed."""
        return SOME_FAILED if self._failures else DONE

    def _write(self, text: str) -> None:
        if self._as_json:
            sys.stdout.write(text)
            sys.stdout.flush()


def plural(count: int, noun: str) -> str:
    """`1 crack`, `2 cracks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun[-1] == 'x' else 's'}"


def _compact(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def split_list(text: str) -> tuple[str, ...]:
    """The names in a comma-separated option."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def given(names: Iterable[str], options: Any) -> dict[str, Any]:
    """The options among `names` that were given (are not None)."""
    values = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}
