"""Items made ahead of their use: order, laziness, early ends, faults, bounds."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from fissura.overlap import Stages, StoppedError, ahead, go_on


def made(count: int, log: list[int]) -> Generator[int]:
    for number in range(count):
        log.append(number)
        yield number


def run_ahead(items: Generator[int], depth: int = 2, limit: int = 1000) -> Generator[int]:
    return ahead(items, lambda _: 1, limit, depth)


def settles(log: list[Any], length: int) -> bool:
    """Whether the log reaches this length, and stays so."""
    until = time.monotonic() + 5
    while len(log) < length and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.05)
    return len(log) == length


@given(
    st.lists(st.integers(0, 9)), st.integers(1, 4), st.integers(1, 12), st.sampled_from([0, 1e-4])
)
def test_order_stays(numbers: list[int], depth: int, limit: int, pause: float) -> None:
    def slowly() -> Generator[int]:
        for number in numbers:
            time.sleep(pause)
            yield number

    first = ahead(slowly(), lambda number: number, limit, depth)
    assert list(ahead(first, lambda number: number, limit, depth)) == numbers


def test_nothing_is_made_before_the_first_is_asked_for() -> None:
    log: list[int] = []
    items = run_ahead(made(9, log))
    time.sleep(0.05)
    assert log == []
    assert next(items) == 0
    items.close()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_more_than_the_depth_wait(depth: int) -> None:
    log: list[int] = []
    items = run_ahead(made(20, log), depth)
    for taken in range(1, 4):
        next(items)
        assert settles(log, taken + depth)
    items.close()


def test_a_large_item_is_alone() -> None:
    log: list[int] = []
    items = ahead(made(9, log), lambda number: 100 if number == 2 else 1, 100, 3)
    assert [next(items), next(items)] == [0, 1]
    assert settles(log, 3)  # the large one waits, and nothing behind it
    assert next(items) == 2
    assert settles(log, 3)  # in the consumer's hands it still stands alone
    assert next(items) == 3
    assert settles(log, 7)
    items.close()


def test_an_exception_comes_after_what_was_made_before() -> None:
    def failing() -> Generator[int]:
        yield from (0, 1)
        raise KeyError("third")

    items = run_ahead(run_ahead(failing()))
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(KeyError, match="third"):
        next(items)
    assert list(items) == []


@pytest.mark.parametrize("leave", [Generator.close, lambda items: items.throw(ValueError)])
def test_leaving_early_ends_threads_and_closes_what_they_read(
    leave: Callable[[Generator[int]], object],
) -> None:
    closed: list[threading.Thread] = []

    def reading() -> Generator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(threading.current_thread())

    before = threading.active_count()
    items = run_ahead(run_ahead(reading()))
    next(items)
    with contextlib.suppress(ValueError):
        leave(items)
    assert threading.active_count() == before
    assert len(closed) == 1
    assert closed[0] is not threading.current_thread()


def test_work_that_nobody_waits_for_is_given_up() -> None:
    working, ended = threading.Event(), []

    def long_work() -> Generator[int]:
        yield 0
        try:
            while True:
                working.set()
                go_on()
                time.sleep(0.001)
        except StoppedError:
            ended.append(True)
            raise

    items = run_ahead(long_work())
    next(items)
    assert working.wait(5)
    items.close()
    assert ended == [True]
    go_on()  # outside such a thread it means nothing


@pytest.mark.parametrize("asked", [1, 3])
def test_the_interpreter_ends_whatever_is_left_open(asked: int) -> None:
    code = f"""
import itertools, time
from fissura.overlap import ahead
def endless():
    for number in itertools.count():
        time.sleep(0.01)
        yield number
items = ahead(ahead(endless(), lambda _: 1, 99, 2), lambda _: 1, 99, 2)
print([next(items) for _ in range({asked})])
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().strip() == str(list(range(asked)))


def test_stages_add_up() -> None:
    stages = Stages()

    def reading() -> Iterator[int]:
        for number in range(3):
            time.sleep(0.01)
            yield number

    for _ in stages.each("read", reading()):
        with stages.timing("write"):
            time.sleep(0.02)
    assert stages.seconds["read"] >= 0.03
    assert stages.seconds["write"] >= 0.06
    assert stages.seconds["network"] == 0
    assert stages.bottleneck == "write"
    assert str(stages).endswith("; the bottleneck is write")


def test_stages_count_what_fails() -> None:
    stages = Stages()

    def failing() -> None:
        with stages.timing("network"):
            time.sleep(0.01)
            raise ValueError

    with pytest.raises(ValueError):
        failing()
    assert stages.seconds["network"] >= 0.01


def test_no_message_is_lost_while_a_thread_mutes_libraries(tmp_path: Path) -> None:
    code = """
import sys, cv2, numpy as np
from fissura.console import complain
from fissura.frames import read_image
from fissura.overlap import ahead
cv2.imwrite(sys.argv[1], np.zeros((600, 800, 3), np.uint8))
pictures = (read_image(sys.argv[1]) for _ in range(60))
for number, picture in enumerate(ahead(pictures, lambda _: 1, 99, 2)):
    complain(f"{number} a")
    complain(f"{number} b")
"""
    command = [sys.executable, "-c", code, str(tmp_path / "picture.tif")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    expected = [f"fissura: {number} {part}" for number in range(60) for part in "ab"]
    assert done.stderr.decode().splitlines() == expected
