"""video/: one MP4 a video or folder of pictures, what was found drawn into every frame."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any, NamedTuple, Self

import cv2
import numpy as np

from fissura.report.parts.annotate import draw_result
from fissura.report.parts.files import Names
from fissura.types import InputError, Result, UInt8Image

MAX_SIDE = 1920
"""Larger frames are shrunk to this side before drawing."""

LEAST_SIDE = 16
USUAL_RATE, LEAST_RATE, MOST_RATE = 25.0, 1.0, 240.0
MOST_REPEATS = 250
"""A frame stands for those after it that a live source passed over, up to this many."""

RATE_FRAMES = 9
"""So many frames of a source that names no rate are awaited: their middle interval tells."""

MOST_LIVE_S = 600.0
"""A film of a live source, which nobody can run anew, is closed and another begun after this."""


class VideoWriter:
    """Writes video/<stem>.mp4, playing while the next is awaited as fast as the source did."""

    def __init__(self, out_dir: Path) -> None:
        self._folder = out_dir / "video"
        self._names = Names()
        self._reel: _Reel | None = None
        self._shown: tuple[str, int] = ("", 0)
        self._since_s = 0.0

    def __enter__(self) -> Self:
        return self

    def write(self, result: Result) -> None:
        """Draw one frame and append it to the video of its source."""
        picture = draw_result(result, MAX_SIDE)
        source, index = result.sequence or result.source, result.frame_index
        if source != result.source or result.time_s is None:  # pictures, folder by folder
            source = str(PurePosixPath(source.replace("\\", "/")).parent)
        if result.time_s is None:
            index = self._shown[1] + 1
        again = source == self._shown[0] and index > self._shown[1]
        if self._reel is None or not again or self._is_long(result):
            self._close()
            self._folder.mkdir(parents=True, exist_ok=True)
            part = f"_{index:06d}" if again else ""
            self._reel = _Reel(self._folder / f"{self._names.stem_of(source, part)}.mp4")
            self._since_s = result.time_s or 0.0
        self._shown = source, index
        self._reel.add(picture, index, result.time_s, result.fps)

    def _is_long(self, result: Result) -> bool:
        is_live = result.fps is None and result.time_s is not None
        return is_live and (result.time_s or 0.0) - self._since_s >= MOST_LIVE_S

    def _close(self) -> None:
        reel, self._reel = self._reel, None
        if reel is not None:
            reel.close()

    def __exit__(self, *error: object) -> None:
        self._close()


class _Held(NamedTuple):
    """A frame that is drawn but not written."""

    picture: UInt8Image
    number: int
    time_s: float | None


class _Reel:
    """One MP4 file; the newest frame is held back until the next tells how long it lasts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.stem}.part.mp4")
        self._file: Any = None
        self._held: list[_Held] = []
        self._size_wh = self._first_wh = (0, 0)

    def add(self, picture: UInt8Image, index: int, time_s: float | None, fps: float | None) -> None:
        self._held.append(_Held(picture, index, time_s))
        if self._file is None:
            known = USUAL_RATE if time_s is None else fps
            if known is None and len(self._held) < RATE_FRAMES:
                return
            self._start(known)
        self._write_held()

    def _write_held(self) -> None:
        for held, after in pairwise(self._held):
            self._write(held.picture, min(after.number - held.number, MOST_REPEATS))
        del self._held[:-1]

    def _write(self, picture: UInt8Image, times: int) -> None:
        bgr = cv2.cvtColor(self._fitted(picture), cv2.COLOR_RGB2BGR)
        for _ in range(times):
            self._file.write(bgr)

    def _fitted(self, picture: UInt8Image) -> UInt8Image:
        """In the size of the film: one of another shape than the first gets black bars."""
        size_wh = picture.shape[1], picture.shape[0]
        if size_wh == self._first_wh:
            same = size_wh == self._size_wh
            return picture if same else np.asarray(cv2.resize(picture, self._size_wh), np.uint8)
        zoom = min(film / side for film, side in zip(self._size_wh, size_wh, strict=True))
        width, height = (max(1, round(side * zoom)) for side in size_wh)
        canvas = np.zeros((self._size_wh[1], self._size_wh[0], 3), np.uint8)
        left, top = (self._size_wh[0] - width) // 2, (self._size_wh[1] - height) // 2
        canvas[top : top + height, left : left + width] = cv2.resize(picture, (width, height))
        return canvas

    def _start(self, known: float | None) -> None:
        rate = known or _usual_rate(self._held)
        rate = rate if LEAST_RATE <= rate <= MOST_RATE else USUAL_RATE
        first = self._held[0].picture
        self._first_wh = first.shape[1], first.shape[0]
        height, width = (max(side - side % 2, LEAST_SIDE) for side in first.shape[:2])
        self._size_wh = width, height
        code = cv2.VideoWriter.fourcc(*"mp4v")
        file = cv2.VideoWriter(str(self._part), cv2.CAP_FFMPEG, code, rate, self._size_wh)
        if not file.isOpened():
            self._held.clear()
            raise InputError(
                f"{self._path}: OpenCV cannot write this video; check path and disk or leave the"
                " format video out"
            )
        self._file = file

    def close(self) -> None:
        """Write the frame that was held back and give the whole file its name."""
        if self._held:
            if self._file is None:
                self._start(None)
            self._write_held()
            self._write(self._held.pop().picture, 1)
        if self._file is not None:
            self._file.release()
            if self._part.exists():
                self._part.replace(self._path)


def _usual_rate(held: Sequence[_Held]) -> float:
    """Frames per second of the middle interval between frames; 0 where their times tell none."""
    rates = [
        (after.number - before.number) / (after.time_s - before.time_s)
        for before, after in pairwise(held)
        if before.time_s is not None and after.time_s is not None and after.time_s > before.time_s
    ]
    return median(rates) if rates else 0.0
