"""Sources of every kind become steps: the frames that are new, and the sequence they belong to."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fissura.addresses import is_live, public_name
from fissura.frames import from_array, read_image
from fissura.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES, find_images
from fissura.types import Frame, InputError
from fissura.video import is_video, open_video

Source: TypeAlias = "str | Path | Frame | np.ndarray[Any, Any]"
OnError: TypeAlias = Callable[[str, InputError], None]

LAST_NUMBER = re.compile(r"\d+(?=\D*$)")


class Step(NamedTuple):
    """Frames that are new, the newest last, and a mark that all of one sequence have in common."""

    frames: Sequence[Frame]
    sequence: object


def steps(source: Source, max_pixels: int, memory: int = 1) -> Iterator[Step]:
    """A picture is one step, a video one per frame; see `video.open_video` for `memory`.

    Pictures of one folder whose names differ in the last number alone are one sequence, and so are
    arrays.
    """
    if isinstance(source, Frame):
        yield Step([source], sequence_of(source.source))
    elif isinstance(source, np.ndarray):
        yield Step([from_array(source)], sequence_of("array"))
    elif is_video(source):
        with open_video(source, max_pixels, memory) as video:
            mark = object()
            for frames in video:
                yield Step(frames, mark)
    else:
        yield Step([read_image(Path(source), max_pixels)], sequence_of(str(source)))


def sequence_of(source: str) -> tuple[str, str]:
    """Folder and name without its last number."""
    folder, name = os.path.split(source)
    return folder, LAST_NUMBER.sub("", name)


def number_of(source: str) -> int | None:
    """The last number in the name of a picture."""
    found = LAST_NUMBER.search(Path(source).stem)  # not the 2 of .jp2
    return int(found[0]) if found else None


def series_of(source: str) -> str:
    """How the pictures of one sequence are called together: frames/a_*.jpg."""
    folder, name = os.path.split(source)
    path = Path(name)
    return os.path.join(folder, LAST_NUMBER.sub("*", path.stem, count=1) + path.suffix)  # noqa: PTH118


class Places:
    """Where pictures stand in their sequence: name, number, time, and what changes in between.

    `are_frames` says whether numbered pictures of one folder are a sequence; `fps`, how fast they
    were taken, makes them one too.
    """

    def __init__(self, are_frames: bool, fps: float | None) -> None:
        self._are_frames, self._fps = are_frames or fps is not None, fps
        self._sequence: object = None
        self._first = self._last = self._apart = 0
        self._size_hw = (0, 0)

    def place(self, step: Step) -> Frame:
        """The newest frame of the step; those of a video know their place."""
        newest = step.frames[-1]
        if newest.time_s is not None or not self._are_frames:
            return newest
        number = number_of(newest.source)
        notes: tuple[str, ...] = ()
        if step.sequence == self._sequence:
            number = self._last + 1 if number is None else number
            notes = (*self._missing(number), *self._another_size(newest))
        else:
            self._sequence, self._apart, self._first = step.sequence, 0, number or 0
        self._last, self._size_hw = number or 0, newest.size_hw
        passed = max(0, self._last - self._first)
        return replace(
            newest,
            index=self._last,
            time_s=None if self._fps is None else passed / self._fps,
            notes=(*newest.notes, *notes),
            sequence=series_of(newest.source),
            fps=self._fps,
        )

    def _missing(self, number: int) -> Iterator[str]:
        """Numbers may go up by ten; what is further apart than others has a gap before it."""
        apart = number - self._last
        if 0 < self._apart < apart:
            first, last = self._last + self._apart, number - self._apart
            named = f"number {first} is" if first == last else f"numbers {first} to {last} are"
            yield f"{named} missing before this picture, which is taken as the next"
        self._apart = min(apart, self._apart or apart) if apart > 0 else self._apart

    def _another_size(self, newest: Frame) -> Iterator[str]:
        if newest.size_hw != self._size_hw:
            (height, width), (high, wide) = newest.size_hw, self._size_hw
            yield f"has {width}×{height} pixels where the picture before it has {wide}×{high}"


def refuse(source: str, error: InputError) -> None:
    """The default for pictures that cannot be read: stop and say which."""
    raise error


def find_sources(
    sources: Sequence[str | Path], recursive: bool = False, on_error: OnError = refuse
) -> list[str | Path]:
    """The pictures and videos behind files, folders and globs, each once, cameras and streams.

    A folder gives its pictures, or where it holds none its videos. Empty sources go to `on_error`.
    """
    found: dict[str, str | Path] = {}
    for source in sources:
        try:
            for path in _expand(source, recursive):
                key = path if isinstance(path, str) else os.path.realpath(path)
                found.setdefault(key, path)
        except InputError as error:
            on_error(public_name(source), error)
    return list(found.values())


def _expand(source: str | Path, recursive: bool) -> Sequence[str | Path]:
    if isinstance(source, str) and (is_live(source) or "://" in source):
        return [source]
    if not Path(source).expanduser().is_dir():
        return find_images([source], recursive, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    try:
        return find_images([source], recursive)
    except InputError:
        with suppress(InputError):
            return find_images([source], recursive, VIDEO_SUFFIXES)
        raise


def count_frames(sources: Iterable[str | Path], max_pixels: int) -> int:
    """How many frames the sources announce; 0 where one of them has no end."""
    total = 0
    for source in sources:
        if is_live(source):
            return 0
        if not is_video(source):
            total += 1
            continue
        with suppress(InputError), open_video(source, max_pixels) as video:
            total += video.total
    return total
