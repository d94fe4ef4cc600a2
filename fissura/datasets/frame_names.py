"""Numbers of frames in the names of files: `12.jpg`, `frame_0012.jpg`, `belt_3/belt_3_0012.jpg`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

WORDS = frozenset({"frame", "frm", "f"})

_NAME = re.compile(r"(.*?)([0-9]{1,18})", re.DOTALL)
_SEPARATORS = "_-. "


def frame_number(path: PurePath) -> int | None:
    """The number where the name is one alone, or after a word for frame or the folder's own name.

    None for `crack_0012`: photographs that a camera or a person numbered are no sequence.
    """
    found = _NAME.fullmatch(path.stem)
    if found is None:
        return None
    word = found[1].rstrip(_SEPARATORS).casefold()
    known = not found[1] or word in WORDS or (word and word == path.parent.name.casefold())
    return int(found[2]) if known else None


def look_numbered(paths: Sequence[PurePath]) -> bool:
    """Whether several names differ in the number at their end alone, as those of frames do."""
    parts = [_NAME.fullmatch(path.stem) for path in paths]
    starts = {(path.parent, part and part[1]) for path, part in zip(paths, parts, strict=True)}
    return all(parts) and len(paths) > 1 and len(starts) == len({home for home, _ in starts})
