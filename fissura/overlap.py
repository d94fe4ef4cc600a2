"""One thread makes items before another asks for them, and what each stage of the work costs.

A chain of generators becomes a pipeline by wrapping a stage in `ahead`; order, exceptions and
laziness stay those of the chain. Decoders, numpy and the engines release Python's lock meanwhile.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

_here = threading.local()


class StoppedError(Exception):
    """Raised inside a stage that works on something which nobody waits for any longer."""


def go_on() -> None:
    """Ends the stage whose thread this is, if its results are wanted no more: call it in loops."""
    line: _Line[object] | None = getattr(_here, "line", None)
    if line is not None and line.stopped:
        raise StoppedError


def ahead(
    items: Generator[T, None, None], size: Callable[[T], int], limit: int, depth: int
) -> Generator[T, None, None]:
    """The same items in the same order, made by a thread of its own from the first request on.

    It makes the next while fewer than `depth` wait and what waits, with what was handed out last,
    is below `limit` in `size`: a large item is alone. An exception of `items` comes after what was
    made before it. Closing ends the thread, at the latest after the item that it is at.
    """
    line = _Line(items, size, limit, depth)
    line.start()
    # Should nobody close the generator, the thread must still not run into the interpreter's end.
    atexit.register(line.stop)
    try:
        while line.wait():
            yield line.take()
    finally:
        line.stop()
        atexit.unregister(line.stop)


class _Line(Generic[T]):
    """The items between the thread that makes them and the one that takes them."""

    def __init__(
        self, items: Generator[T, None, None], size: Callable[[T], int], limit: int, depth: int
    ) -> None:
        self.stopped = False
        self._items, self._size, self._limit, self._depth = items, size, limit, depth
        self._waiting: deque[T] = deque()
        self._held = 0
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._make, name="ahead", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self) -> bool:
        """Whether another item comes; what was taken last counts as done with."""
        with self._changed:
            self._held = 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._ended or self.stopped)
            if self._waiting and not self.stopped:
                return True
            error, self._error = self._error, None
        if error is not None:
            raise error
        return False

    def take(self) -> T:
        with self._changed:
            item = self._waiting.popleft()
            self._held = self._size(item)
            self._changed.notify_all()
            return item

    def stop(self) -> None:
        self.stopped = True
        with self._changed:
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:  # which may collect the garbage
            self._thread.join()

    def _make(self) -> None:
        """Runs in the thread; `items` are closed where they are made."""
        _here.line = self
        try:
            with closing(self._items):
                while self._has_room():
                    self._put(next(self._items))
        except StopIteration:
            pass
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _has_room(self) -> bool:
        """Waits for room; False where the consumer has gone."""
        with self._changed:
            self._changed.wait_for(lambda: self.stopped or self._is_room())
        return not self.stopped

    def _is_room(self) -> bool:
        total = self._held + sum(map(self._size, self._waiting))
        return len(self._waiting) < self._depth and total < self._limit

    def _put(self, item: T) -> None:
        with self._changed:
            self._waiting.append(item)
            self._changed.notify_all()


class Stages:
    """Seconds that each stage worked; several may work at once, each in one thread at a time.

    `read` files, `network` from the picture to its maps or boxes, `measure` from the maps to the
    cracks, `write` reports.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("read", "network", "measure", "write"), 0.0)

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Adds the time inside the block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def each(self, name: str, items: Iterator[T]) -> Iterator[T]:
        """The items; adds the time to make them."""
        while True:
            with self.timing(name):
                found = next(items, None)
            if found is None:
                return
            yield found
            del found

    @property
    def bottleneck(self) -> str:
        """The stage that worked longest; as long as that takes the whole, whatever overlaps."""
        return max(self.seconds, key=lambda name: self.seconds[name])

    def __str__(self) -> str:
        told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        return f"{told}; the bottleneck is {self.bottleneck}"
