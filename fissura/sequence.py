"""Sources of every kind become steps: the frames that are new, and the sequence they belong to."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fissura.frames import from_array, read_image
from fissura.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES, find_images
from fissura.types import Frame, InputError
from fissura.video import is_live, is_video, open_video, public_name

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
