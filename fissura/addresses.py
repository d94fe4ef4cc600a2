"""Addresses of cameras and streams: which sources are one, and what of them may be told."""

from __future__ import annotations

import re
from pathlib import Path

from fissura.sources import VIDEO_SUFFIXES

STREAM = re.compile(r"([a-z][a-z0-9+.-]+)://\S+", re.IGNORECASE)
CAMERA = re.compile(r"camera:(\d{1,3})", re.IGNORECASE)

SECRET = re.compile(
    r"(\b[\w.-]*(?:use?r|login|pas|pwd|psw|token|key|secret|auth|sig|credential)[\w.-]*(?:=|%3d))"
    r"[^&;#]*",
    re.IGNORECASE,
)
"""Names whose values stay out of results, in the path of an address too: cameras put them there."""


def is_live(source: object) -> bool:
    """Whether a source is a camera or a stream, which has no end and does not wait."""
    text = str(source)
    if not isinstance(source, str) or not (STREAM.match(text) or CAMERA.fullmatch(text)):
        return False
    return suffix_of(text) not in VIDEO_SUFFIXES


def suffix_of(address: str) -> str:
    """That of the file which the path of an address names."""
    return Path(re.split(r"[?#]", address, maxsplit=1)[0]).suffix.lower()


def public_name(source: str | Path) -> str:
    """The source without what the address of a stream may hold of users, passwords and keys."""
    scheme, separator, rest = str(source).partition("://")
    if not isinstance(source, str) or not separator:
        return str(source)
    return scheme + separator + SECRET.sub(r"\1***", _without_user(rest))


def _without_user(rest: str) -> str:
    """What stands behind `://` without `user:password@`; where in doubt, without too much.

    A password may hold @, / and ?, so that only what can hold neither user nor port is left whole.
    """
    server = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" not in server and ":" not in server:
        return rest
    is_whole = "@" in server or re.fullmatch(r"(\[.*\]|[^:]*)(:\d*)?", server)
    end = rest.find("?") if is_whole else -1
    start = rest.rfind("@", 0, end if end >= 0 else len(rest)) + 1
    return rest[start:]


def lower_scheme(source: str) -> str:
    """FFmpeg knows protocols in small letters alone."""
    found = STREAM.match(source)
    return found[1].lower() + source[found.end(1) :] if found else source
