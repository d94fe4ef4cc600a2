"""Video files, cameras and streams become frames in order, each upright RGB; none is kept.

OpenCV's FFmpeg decodes. A file is recognised by its first bytes before FFmpeg sees it, and nothing
waits longer than `TIMEOUT_S` for data.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import cv2
import numpy as np

from fissura.addresses import CAMERA, STREAM, is_live, lower_scheme, public_name, suffix_of
from fissura.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES, read_head, shown
from fissura.types import Frame, InputError, UInt8Image

TIMEOUT_S = 10.0
HEAD_BYTES = 256
MAX_RATE = 1000.0
MISSING_FRAMES = 2
"""By so many frames a header's count may be wrong in a whole file: that is noted only."""

FAILURES = 50
"""So many frames in a row that cannot be decoded end a video; fewer are passed over and named."""

NAMED_FRAMES = 5

VIDEO = re.compile(
    rb"....ftyp(?!avif|avis|hei|hev|mif1|msf1)"
    rb"|....(?:moov|mdat|wide|free|skip|pnot)"
    rb"|\x1a\x45\xdf\xa3|RIFF....AVI |\0\0\x01[\xba\xb3]|FLV\x01|OggS"
    rb"|\x47.{187}\x47|.{4}\x47.{191}\x47|\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    re.DOTALL,
)
"""First bytes of MP4 and QuickTime, Matroska and WebM, AVI, MPEG, Flash, Ogg, TS, WMV."""

UNCOUNTED = re.compile(rb"\0\0\x01[\xba\xb3]|OggS|\x47.{187}\x47|.{4}\x47.{191}\x47", re.DOTALL)
"""Those that do not say how many frames they hold: FFmpeg's count is a guess from the last one."""

UNCOUNTED_SUFFIXES = {".ts", ".m2ts", ".mpg", ".mpeg"}


def is_video(source: str | Path) -> bool:
    """Whether a source is a video file, a camera or a stream rather than a picture."""
    if isinstance(source, str) and (STREAM.match(source) or CAMERA.fullmatch(source)):
        return True
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES or suffix in IMAGE_SUFFIXES:
        return suffix in VIDEO_SUFFIXES
    try:
        return path.is_file() and bool(VIDEO.match(read_head(path, "", "video", HEAD_BYTES)))
    except InputError:
        return False


class Video(Protocol):
    """Opened: `total` frames are announced (0 unknown). Iterating gives what is new, in order."""

    name: str
    total: int

    def __iter__(self) -> Iterator[Sequence[Frame]]: ...


@contextmanager
def open_video(source: str | Path, max_pixels: int, memory: int = 1) -> Iterator[Video]:
    """A video file, camera or stream, closed on leaving.

    Files give frame after frame. Live sources give at most the newest `memory` frames that have
    come since, so that a slow network falls behind by no more than that.
    """
    if is_live(source):
        with LiveStream(str(source), max_pixels, memory) as live:
            yield live
    else:
        capture = VideoFile(source, max_pixels)
        try:
            yield capture
        finally:
            capture.close()


class VideoFile:
    """A video from a disk or a server, read frame by frame to its end."""

    def __init__(self, source: str | Path, max_pixels: int) -> None:
        self.name = public_name(source)
        self._max_pixels = max_pixels
        place = lower_scheme(str(source))
        self._is_avi = False
        if STREAM.match(place):
            self._counted = suffix_of(place) not in UNCOUNTED_SUFFIXES
        else:
            path = Path(source).expanduser()
            head = _read_container(path, shown(self.name))
            self._counted, self._is_avi = not UNCOUNTED.match(head), head.startswith(b"RIFF")
            place = str(path.absolute())  # a bare name might read as a protocol
        self._capture = _open(place, shown(self.name))
        _check_size(self._property(cv2.CAP_PROP_FRAME_WIDTH), self._height(), max_pixels, self.name)
        rate = self._property(cv2.CAP_PROP_FPS)
        self._rate = rate if 0 < rate <= MAX_RATE else 0.0
        count = self._property(cv2.CAP_PROP_FRAME_COUNT)
        self.total = int(count) if 0 < count < 1e9 else 0
        self._counted = self._counted and self.total > 0
        self._count = self._tried = 0
        self._last = -1
        self._lost: list[int] = []

    def _property(self, key: int) -> float:
        value = float(self._capture.get(key))
        return value if math.isfinite(value) else 0.0

    def _height(self) -> float:
        return self._property(cv2.CAP_PROP_FRAME_HEIGHT)

    def __iter__(self) -> Iterator[Sequence[Frame]]:
        """Frames one at a time, each held back until it is known whether another comes.

        The last has a note where the header's count is slightly off or there is none. InputError at
        the end where frames are lacking.
        """
        newest: Frame | None = None
        for frame in self._frames():
            if newest is not None:
                yield [newest]
            newest = frame
        if newest is None:
            raise InputError(f"{shown(self.name)}: no frame can be read; copy the file anew")
        yield [replace(newest, notes=self._notes())]
        del newest
        self._check_whole()

    def _frames(self) -> Iterator[Frame]:
        last = -1.0
        while (rgb := self._next()) is not None:
            at = self._property(cv2.CAP_PROP_POS_MSEC) / 1000
            index = self._place(at)
            if not at > last:
                at = max(last, 0) + (1 / self._rate if self._rate and index else 0)
            last = at
            self._count += 1
            rate = self._rate or None
            yield Frame(rgb, self.name, index, at, sequence=self.name, fps=rate)
            del rgb

    def _next(self) -> UInt8Image | None:
        """The next frame that can be decoded; `_tried` counts those before it that cannot."""
        started = time.monotonic()
        for failed in range(FAILURES):
            rgb = _read(self._capture, self._max_pixels, self.name)
            if rgb is not None:
                self._tried += failed
                return rgb
            if time.monotonic() - started > TIMEOUT_S:  # a server that has fallen silent
                break
        return None

    def _place(self, at: float) -> int:
        """The number of the frame that was read; those passed over are lost.

        Of some that cannot be decoded OpenCV says nothing; in an AVI time is counted in frames.
        """
        index = self._tried
        if self._is_avi and self._rate:
            index = max(index, round(at * self._rate))
        self._lost += range(self._last + 1, index)
        self._last, self._tried = index, index + 1
        return index

    @property
    def _lacking(self) -> int:
        return max(0, self.total - self._count) if self._counted else 0

    def _notes(self) -> tuple[str, ...]:
        if not self._counted:
            return (
                f"{self._count} frames read; the file does not say how many there should be, so a"
                " missing end would not be noticed",
            )
        if self._is_whole() and self._lacking:
            return (f"{self._count} of {self.total} announced frames read; no other was found",)
        return ()

    def _is_whole(self) -> bool:
        few = min(MISSING_FRAMES, self.total // 10)
        return not self._lost and self._lacking <= few

    def _check_whole(self) -> None:
        if self._is_whole():
            return
        total = max(self.total if self._counted else 0, self._count + len(self._lost))
        named = ", ".join(str(index) for index in self._lost[:NAMED_FRAMES])
        more = ", …" if len(self._lost) > NAMED_FRAMES else ""
        lost = f" (frame {named}{more} cannot be decoded)" if named else ""
        raise InputError(
            f"{shown(self.name)}: is cut or damaged, only {self._count} of {total} frames can be"
            f" read{lost} and those are done; copy the file anew for the others"
        )

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()


class LiveStream:
    """The newest frames of a camera or stream; a thread reads on while others are worked on."""

    total = 0

    def __init__(self, source: str, max_pixels: int, memory: int) -> None:
        self.name = public_name(source)
        self._max_pixels = max_pixels
        camera = CAMERA.fullmatch(source)
        self._capture = _open(int(camera[1]) if camera else lower_scheme(source), shown(self.name))
        self._new: deque[Frame] = deque(maxlen=memory)
        self._changed = threading.Condition()
        self._stopped = False
        self._fault: Exception | None = None
        self._count = 0
        self._thread = threading.Thread(target=self._follow, name=self.name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped = True
        self._thread.join(TIMEOUT_S)

    def _follow(self) -> None:
        """Runs in the thread; the capture is released where it is read."""
        started = time.monotonic()
        while not self._stopped and self._fault is None:
            fault, rgb = None, None
            try:
                rgb = _read(self._capture, self._max_pixels, self.name)
            except Exception as error:  # the thread that waits for frames raises it
                fault = error
            with self._changed:
                if rgb is None:
                    self._fault = fault or self._ended()
                else:
                    at = time.monotonic() - started
                    frame = Frame(rgb, self.name, self._count, at, sequence=self.name)
                    self._new.append(frame)
                    self._count += 1
                self._changed.notify()
        self._capture.release()

    def _ended(self) -> InputError:
        return InputError(
            f"{shown(self.name)}: the stream ended, or gave nothing for {TIMEOUT_S:g} s, after"
            f" {self._count} frames; what was done stays"
        )

    def __iter__(self) -> Iterator[Sequence[Frame]]:
        """The newest frames since the last time, at least one; InputError where none come."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._new or self._fault, 2 * TIMEOUT_S)
                frames = list(self._new)
                self._new.clear()
            if not frames:
                raise self._fault or self._ended()
            yield frames
            del frames


def _read_container(path: Path, name: str) -> bytes:
    """The first bytes of a video file."""
    if not os.path.lexists(path):
        raise InputError(f"{name}: there is no such file or folder; check the path")
    head = read_head(path, name, "video", HEAD_BYTES)
    if not VIDEO.match(head):
        raise InputError(
            f"{name}: is not an MP4, MOV, AVI, Matroska, WebM, MPEG or WMV video, whatever its name"
            " says; convert it or leave it out"
        )
    return head


def _open(place: str | int, name: str) -> Any:
    """A capture that has opened; FFmpeg and OpenCV keep silent about those that have not."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        if isinstance(place, int):
            capture = cv2.VideoCapture(place)
        else:
            patience = int(1000 * TIMEOUT_S)
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience]
            limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience]
            capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, limits)
    except cv2.error:
        capture = None
    finally:
        log.setLogLevel(level)
    if capture is not None and capture.isOpened():
        return capture
    if isinstance(place, int):
        raise InputError(f"{name}: there is no such camera, or another program has it; try another")
    if STREAM.match(place):
        raise InputError(
            f"{name}: does not answer as a video stream within {TIMEOUT_S:g} s; check the address"
        )
    if _lacks_contents(Path(place)):
        raise InputError(
            f"{name}: is cut or was never closed, its table of contents (moov) is missing; copy the"
            " file anew or repair it with a program for such files"
        )
    raise InputError(f"{name}: is cut or damaged, or holds no video; copy the file anew")


def _lacks_contents(path: Path) -> bool:
    """Whether an MP4 or QuickTime file has frames and no whole table that tells where they are."""
    seen: set[bytes] = set()
    size = path.stat().st_size
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4]), head[4:]
            if length == 1:
                length = int.from_bytes(file.read(8)) - 8
            if kind != b"moov" or file.tell() + length - 8 <= size:
                seen.add(kind)
            if length < 8:
                break
            file.seek(length - 8, os.SEEK_CUR)
    return b"mdat" in seen and b"moov" not in seen


def _read(capture: Any, max_pixels: int, name: str) -> UInt8Image | None:
    """The next frame as RGB, None at the end or where no more can be decoded."""
    try:
        done, bgr = capture.read()
    except cv2.error:
        return None
    if not done:
        return None
    _check_size(bgr.shape[1], bgr.shape[0], max_pixels, name)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _check_size(width: float, height: float, max_pixels: int, name: str) -> None:
    if width * height > max_pixels:
        raise InputError(
            f"{shown(name)}: {width:.0f}×{height:.0f} pixels are over the limit of {max_pixels};"
            " shrink the video or raise max_pixels"
        )
