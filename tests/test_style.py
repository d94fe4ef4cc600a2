"""The size budget, checked over every file, and the public list."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

import fissura

FILES = sorted(
    path
    for folder in ("fissura", "benchmarks", "docs", "tests")
    for path in (ROOT / folder).rglob("*.py")
)
PACKAGE = [path for path in FILES if path.is_relative_to(ROOT / "fissura")]
MAX_FILE, MAX_FUNCTION, MAX_ARGUMENTS, MAX_NESTING = 400, 80, 8, 3
MEDIAN_FUNCTION, P90_FUNCTION = 12, 40

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, Function))


def length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def nesting(node: ast.AST, inside_elif: bool = False) -> int:
    """How many blocks stand inside each other; `elif` continues its `if`."""
    deepest = 0
    for name, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        chained = isinstance(node, ast.If) and name == "orelse" and len(children) == 1
        for child in children:
            if isinstance(child, ast.AST) and not isinstance(child, Function):
                deepest = max(deepest, nesting(child, chained and isinstance(child, ast.If)))
    return deepest + (isinstance(node, BLOCKS) and not inside_elif)


def arguments(node: Function) -> int:
    spec = node.args
    names = [arg.arg for arg in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_file_within_the_budget(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_FILE, f"{lines} lines: split the file by subject"
    for node in functions(path):
        where = f"{name_of(path)}:{node.lineno} {node.name}"
        assert length(node) <= MAX_FUNCTION, f"{where}: {length(node)} lines"
        assert arguments(node) <= MAX_ARGUMENTS, f"{where}: {arguments(node)} arguments"
        assert nesting(node) <= MAX_NESTING, f"{where}: {nesting(node)} blocks deep"


def test_typical_function_is_short() -> None:
    lengths = sorted(length(node) for path in PACKAGE for node in functions(path))
    assert statistics.median(lengths) <= MEDIAN_FUNCTION
    assert lengths[int(0.9 * len(lengths))] <= P90_FUNCTION


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_every_argument_has_a_hint(path: Path) -> None:
    for node in functions(path):
        spec = node.args
        named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
        rest = [arg for arg in (spec.vararg, spec.kwarg) if arg is not None]
        bare = [
            a.arg for a in named + rest if a.annotation is None and a.arg not in ("self", "cls")
        ]
        assert not bare, f"{name_of(path)}:{node.lineno} {node.name}: no hint on {bare}"
        assert node.returns is not None, (
            f"{name_of(path)}:{node.lineno} {node.name}: no return hint"
        )


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_docstrings_are_shorter_than_their_code(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree), f"{name_of(path)}: say in a line what the file is for"
    for node in functions(path):
        text = ast.get_docstring(node)
        if text is not None:
            said = len(text.splitlines())
            written = sum(inner_lines(statement) for statement in node.body[1:]) + signature(node)
            assert said <= written, f"{name_of(path)}:{node.lineno} {node.name}: {said} > {written}"


def inner_lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def signature(node: Function) -> int:
    return node.body[0].lineno - node.lineno


PUBLIC = [
    "Crack",
    "Frame",
    "InputError",
    "Measures",
    "PredictSettings",
    "Prediction",
    "Predictor",
    "Quantity",
    "Result",
    "Scale",
    "Stream",
    "__version__",
    "load",
    "stream",
]


def test_public_list() -> None:
    assert list(fissura.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(fissura, name) is not None
    assert dir(fissura) == sorted(PUBLIC)


def test_unknown_public_name() -> None:
    with pytest.raises(AttributeError, match="discover"):
        _ = fissura.discover  # type: ignore[attr-defined]


def test_version_is_the_one_installed_from() -> None:
    assert f'version = "{fissura.__version__}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX"])
def test_nothing_is_left_to_do(word: str) -> None:
    here = Path(__file__)
    marked = [name_of(path) for path in FILES if path != here and word in path.read_text("utf-8")]
    assert not marked
