"""Files, folders and glob patterns become the list of pictures, or videos, behind them."""

from __future__ import annotations

import glob
import os
import re
import stat
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

from fissura.types import InputError

STANDARD_ERROR = threading.Lock()
"""Held while libraries are muted, which mutes the whole process, and while a message is written."""

SUFFIX_FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    ".png": "PNG",
    ".webp": "WEBP",
    **dict.fromkeys((".ppm", ".pgm"), "PPM"),
}
IMAGE_SUFFIXES = frozenset(SUFFIX_FORMATS)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts"}
    | {".mts", ".wmv", ".asf", ".flv", ".ogv"}
)
SIGNATURES = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("TIFF", rb"II[*+]\0|MM\0[*+]"),
    ("WEBP", rb"RIFF....WEBP"),
    ("BMP", rb"BM"),
    ("PPM", rb"P[56]\s"),
)
FOREIGN_SIGNATURES = (
    ("a GIF", rb"GIF8"),
    ("a PDF", rb"%PDF"),
    ("a HEIC or AVIF picture or a video", rb"....ftyp"),
    ("a JPEG 2000 picture", rb"\0\0\0\x0cjP|\xff\x4f\xff\x51"),
    ("an SVG drawing or a web page", rb"\s*<"),
)


def find_images(
    sources: Sequence[str | Path],
    recursive: bool = False,
    suffixes: Collection[str] = IMAGE_SUFFIXES,
) -> list[Path]:
    """The pictures behind files, folders and glob patterns, each file once.

    Sources keep their order, pictures inside a folder or pattern come in natural order (2 before
    10). Folders give their own files, with `recursive` those of their subfolders too; hidden
    files are left out. A source that is missing or holds no picture raises InputError. `suffixes`
    say what is looked for in folders and patterns.
    """
    found: dict[str, Path] = {}
    for source in sources:
        for path in _expand(source, recursive, suffixes):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _expand(source: str | Path, recursive: bool, suffixes: Collection[str]) -> list[Path]:
    path, name = Path(source).expanduser(), shown(source)
    if not str(source).strip():
        raise InputError("an empty source names no picture; give a file, a folder or a pattern")
    if path.is_dir():
        paths = _in_folder(path, recursive, suffixes)
        hint = "check the path" if recursive else "check the path or search subfolders (recursive)"
        if not paths:
            raise InputError(f"{name}: the folder holds no {_kind(suffixes)}; {hint}")
        return paths
    if os.path.lexists(path):
        return [path]
    if glob.has_magic(str(path)):
        paths = _matching(str(path), recursive, suffixes)
        if not paths:
            raise InputError(f"{name}: no {_kind(suffixes)} matches; check the pattern")
        return paths
    raise InputError(f"{name}: there is no such file or folder; check the path")


def _kind(suffixes: Collection[str]) -> str:
    kinds = {"picture": IMAGE_SUFFIXES, "video": VIDEO_SUFFIXES}
    noun = " or ".join(kind for kind, own in kinds.items() if not own.isdisjoint(suffixes))
    return f"{noun} ({', '.join(sorted(suffixes))})"


def _in_folder(folder: Path, recursive: bool, suffixes: Collection[str]) -> list[Path]:
    """Pictures of a folder; anything else that is named like one comes too and is refused later."""
    paths: list[Path] = []

    def stop(error: OSError) -> None:
        raise InputError(f"{shown(error.filename)}: {error.strerror}; check its permissions")

    for base, folders, files in os.walk(folder, onerror=stop):
        names = files if recursive else [*files, *folders]
        paths += [Path(base, name) for name in names if _wanted(name, suffixes)]
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
    return sorted(paths, key=natural_key)


def _matching(pattern: str, recursive: bool, suffixes: Collection[str]) -> list[Path]:
    paths: set[Path] = set()
    for match in map(Path, glob.iglob(pattern, recursive=True)):  # noqa: PTH207  absolute patterns
        if match.is_dir():
            paths.update(_in_folder(match, recursive, suffixes))
        elif match.suffix.lower() in suffixes:
            paths.add(match)
    return sorted(paths, key=natural_key)


def _wanted(name: str, suffixes: Collection[str]) -> bool:
    return Path(name).suffix.lower() in suffixes and not name.startswith(".")


def read_head(path: Path, name: str, kind: str = "picture", length: int = 32) -> bytes:
    """First bytes of a regular, non-empty file; InputError for anything else."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            found = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
            raise InputError(f"{name}: is {found}, not a {kind} file; leave it out")
        with path.open("rb") as file:
            head = file.read(length)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{name}: cannot be read ({reason}); check the path") from error
    if not head:
        raise InputError(f"{name}: the file is empty (zero bytes); copy it anew")
    return head


def natural_key(path: Path) -> list[tuple[list[tuple[int, str]], str]]:
    """Sort key that puts img2 before img10, whatever the case."""

    def key(part: str) -> list[tuple[int, str]]:
        pieces = re.split(r"([0-9]+)", part.casefold())
        return [(int(p), "") if p.isdigit() and p.isascii() else (-1, p) for p in pieces]

    return [(key(part), part) for part in path.parts]


def shown(path: object) -> str:
    """A name fit for one line on a terminal: odd bytes and control characters escaped."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
