"""Names of the files that an evaluation of boxes writes, from names of systems and sequences."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 100


def file_names(labels: Iterable[str]) -> list[str]:
    """A stem for each label that every file system takes, with its place where two look alike."""
    taken: set[str] = set()
    names = []
    for place, label in enumerate(labels, 1):
        plain = _plain(label)
        name = plain
        while name.lower() in taken:
            name = f"{plain}-{place}"
            plain = f"{plain}-"
        taken.add(name.lower())
        names.append(name)
    return names


def _plain(label: str) -> str:
    plain = re.sub(r"[^\w.+-]+", "_", label, flags=re.ASCII)
    return plain[-LONGEST:].strip("._") or "unnamed"
