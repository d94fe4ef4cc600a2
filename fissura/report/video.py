"""video/: one MP4 a video or folder of pictures, what was found drawn into every frame."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Self

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


class VideoWriter:
    """Writes video/<stem>.mp4, playing while the next is awaited as fast as the source did."""

    def __init__(self, out_dir: Path) -> None:
        self._folder = out_dir / "video"
        self._names = Names()
        self._reel: _Reel | None = None
        self._shown: tuple[str, int] = ("", 0)

    def __enter__(self) -> Self:
        return self

    def write(self, result: Result) -> None:
        """Draw one frame and append it to the video of its source."""
        picture = draw_result(result, MAX_SIDE)
        source, index = result.source, result.frame_index
        if result.time_s is None:  # pictures follow each other folder by folder
            source = str(PurePosixPath(source.replace("\\", "/")).parent)
            index = self._shown[1] + 1
        if self._reel is None or source != self._shown[0] or index <= self._shown[1]:
            self._close()
            self._folder.mkdir(parents=True, exist_ok=True)
            self._reel = _Reel(self._folder / f"{self._names.stem_of(source)}.mp4")
        self._shown = source, index
        self._reel.add(picture, index, result.time_s)

    def _close(self) -> None:
        reel, self._reel = self._reel, None
        if reel is not None:
            reel.close()

    def __exit__(self, *error: object) -> None:
        self._close()


class _Reel:
    """One MP4 file; the newest frame is held back until the next tells how long it lasts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.stem}.part.mp4")
        self._file: Any = None
        self._held: tuple[UInt8Image, int, float | None] | None = None
        self._size_wh = (0, 0)

    def add(self, picture: UInt8Image, index: int, time_s: float | None) -> None:
        if self._held is not None:
            held, before, then = self._held
            lasts = min(index - before, MOST_REPEATS)
            rate = USUAL_RATE
            if time_s is not None and then is not None and time_s > then:
                rate = (index - before) / (time_s - then)
            self._write(held, lasts, rate)
        self._held = picture, index, time_s

    def _write(self, picture: UInt8Image, times: int, rate: float) -> None:
        if self._file is None:
            self._start(picture, rate if LEAST_RATE <= rate <= MOST_RATE else USUAL_RATE)
        size_wh = picture.shape[1], picture.shape[0]
        if size_wh != self._size_wh:
            picture = np.asarray(cv2.resize(picture, self._size_wh), np.uint8)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        for _ in range(times):
            self._file.write(bgr)

    def _start(self, picture: UInt8Image, rate: float) -> None:
        height, width = (max(side - side % 2, LEAST_SIDE) for side in picture.shape[:2])
        self._size_wh = width, height
        code = cv2.VideoWriter.fourcc(*"mp4v")
        file = cv2.VideoWriter(str(self._part), cv2.CAP_FFMPEG, code, rate, self._size_wh)
        if not file.isOpened():
            self._held = None
            raise InputError(
                f"{self._path}: OpenCV cannot write this video; check path and disk or leave the"
                " format video out"
            )
        self._file = file

    def close(self) -> None:
        """Write the frame that was held back and give the whole file its name."""
        if self._held is not None:
            self._write(self._held[0], 1, USUAL_RATE)
            self._held = None
        if self._file is not None:
            self._file.release()
            if self._part.exists():
                self._part.replace(self._path)
