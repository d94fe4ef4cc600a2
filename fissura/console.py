"""What the verbs of the command line share: options, exit codes, progress, tables, JSON.

Only light imports here: `fissura --help` must answer at once.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, get_type_hints

import typer

DONE, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

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
    except Exception as error:
        from fissura.types import InputError

        if not isinstance(error, InputError):
            raise
        complain(str(error))
        return WRONG_USAGE


def complain(message: str) -> None:
    """One line on standard error."""
    print(f"fissura: {message}", file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False))


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Aligned columns under the keys of the first row; numbers to the right."""
    if not rows:
        return
    header = list(rows[0])
    cells = [[_cell(row[key]) for key in header] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for line in [header, ["-" * width for width in widths], *cells]:
        print(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Progress:
    """A bar on a terminal, one plain line per step elsewhere, nothing where `quiet`."""

    def __init__(self, total: int, label: str, quiet: bool) -> None:
        self._total = total
        self._done = 0
        self._label = label
        self._bar: Any = None
        self._plain = not quiet and not sys.stderr.isatty()
        self._wants_bar = not quiet and sys.stderr.isatty()

    def __enter__(self) -> Self:
        if self._wants_bar:
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self._total)
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
        """One input is finished, well or badly."""
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._task)
        if self._plain:
            print(f"[{self._done}/{self._total}] {line}", flush=True)

    def failed(self, line: str) -> None:
        """One input could not be used: said on standard error, and counted."""
        complain(line)
        self.step("failed")


class JsonStream:
    """One JSON document written piece by piece, so that memory does not grow with its length.

    Closed properly even when the work is interrupted.
    """

    def __init__(self, enabled: bool, list_name: str) -> None:
        self._enabled = enabled
        self._list_name = list_name
        self._count = 0
        self._rest: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._write(f"{{\n{json.dumps(self._list_name)}: [")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        rest = "".join(f",\n{json.dumps(k)}: {_compact(v)}" for k, v in self._rest.items())
        self._write(f"\n]{rest}\n}}\n")

    def item(self, document: Any) -> None:
        """Append one entry to the list."""
        if self._enabled:
            self._write(f"{',' if self._count else ''}\n{_compact(document)}")
        self._count += 1

    def finish(self, **rest: Any) -> None:
        """What follows the list."""
        self._rest = rest

    def _write(self, text: str) -> None:
        if self._enabled:
            sys.stdout.write(text)
            sys.stdout.flush()


def _compact(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def split_list(text: str) -> tuple[str, ...]:
    """The names in a comma-separated option."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def pairs(names: Iterable[str], options: Any) -> dict[str, Any]:
    """The options among `names` that were given (are not None)."""
    values = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}
