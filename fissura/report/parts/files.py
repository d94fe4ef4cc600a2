"""Files that are whole or absent, and names that never collide."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

import cv2
import numpy as np

from fissura.types import BoolMask, InputError, Result, UInt8Image

MAX_STEM_BYTES = 180
RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{i}" for port in ("com", "lpt") for i in range(10)),
}


def safe_stem(source: str) -> str:
    """A source's last part as a file name that every common file system takes."""
    text = source.encode("utf-8", "replace").decode("utf-8")
    name = PurePosixPath(text.replace("\\", "/")).name
    stem = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", name)
    stem = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]+', "_", stem).strip(". ")
    stem = stem.encode()[:MAX_STEM_BYTES].decode("utf-8", "ignore")
    return f"_{stem}" if not stem or stem.lower() in RESERVED else stem


class Names:
    """Gives each result a stem of its own, about 100 bytes of memory a picture.

    The second `x` takes its folder along (`b-x`), then a number (`b-x-2`). Upper and lower case
    count as equal, since some file systems hold them equal.
    """

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def stem(self, result: Result) -> str:
        """The stem of this result's files."""
        frame = f"_{result.frame_index:06d}" if result.time_s is not None else ""
        return self.stem_of(result.source, frame)

    def stem_of(self, source: str, frame: str = "") -> str:
        """The same for a source's name, with `frame` behind it."""
        stem = safe_stem(source) + frame
        folder = safe_stem(str(PurePosixPath(source.replace("\\", "/")).parent))
        for candidate in (stem, f"{folder}-{stem}"):
            if self._claim(candidate):
                return candidate
        return self._numbered(candidate)

    def _claim(self, stem: str) -> bool:
        free = stem.casefold() not in self._next
        if free:
            self._next[stem.casefold()] = 2
        return free

    def _numbered(self, stem: str) -> str:
        key = stem.casefold()
        while True:
            candidate = f"{stem}-{self._next[key]}"
            self._next[key] += 1
            if self._claim(candidate):
                return candidate


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the target, then rename: nobody ever sees half a file."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def encode(image: UInt8Image | BoolMask, suffix: str, quality: int = 80) -> bytes:
    """An H×W or H×W×3 RGB image as the bytes of a PNG or JPEG file."""
    pixels: UInt8Image = np.asarray(image, np.uint8)
    if image.dtype == bool:
        pixels = pixels * np.uint8(255)
    if pixels.ndim == 3:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    done, data = cv2.imencode(suffix, pixels, settings)
    if not done:
        raise OSError(f"could not encode an image of shape {image.shape} as {suffix}")
    return bytes(data)


def needed(result: Result, name: str, wanted_by: str) -> Any:
    """An array of the result, or one clear sentence where the result does not hold it."""
    array = getattr(result, name)
    if array is None:
        raise InputError(
            f"{result.source}: its result holds no {name}, which {wanted_by} needs; "
            f"leave that format out or keep the {name}"
        )
    return array


class JsonList:
    """A JSON list that grows item by item in a file which is valid after every one.

    `head` precedes the items, `tail()` follows them and is written anew behind each.
    """

    def __init__(self, path: Path, head: str, tail: Callable[[], str]) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._tail = tail
        self._end = self._file.write(head.encode())
        self._count = 0
        self._finish(b"")

    def append(self, item: dict[str, Any]) -> None:
        """Add one item and leave a valid file behind."""
        text = json.dumps(item, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._finish((",\n" if self._count else "\n").encode() + text.encode())
        self._count += 1

    def close(self) -> None:
        """Write the tail once more, as it now reads, and close the file."""
        self._finish(b"")
        self._file.close()

    def _finish(self, content: bytes) -> None:
        self._file.seek(self._end)
        self._file.write(content + self._tail().encode())
        self._file.truncate()
        self._file.flush()
        self._end += len(content)
