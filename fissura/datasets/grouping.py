"""Which pictures belong together, and splits that never part them.

A group is a photograph with all its crops, a set of near duplicates, or a whole sequence. Groups
come from file names here; matches between pictures are joined in by `join`.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

PHOTOGRAPH = {
    "crack500_crops": r"(\d{8}_\d{6})_",
    "crackmap": r"(GOPR\d{4})_",
    "masonry": r"([a-z]_\d+)_",
    "khanhha_mix": r"(.+_(?:9S6A|DSC)?\d{4,5})a?(?:_|$)|(noncrack_concrete_wall_\d+)_",
    "asphaltcrack300": r"(\d+)_",
    "road_sequences": r"(.+)/",
    "quay_uav": r"(.+)_\d+_\d+$",
    "belt_defects": r"(?!stills)([^/]+)/",
    "deepcrack537": r"(.+?)-\d+(?:_test)?$",
    "crack500": r"(?:.*/)?(\d{8}_\d{6})",
    "khanhha": (
        r"(?:CFD|forest)_(\d+)|CRACK500_(\d{8}_\d{6})|DeepCrack_(.+?)(?:-\d+)?$"
        r"|(GAPS384_.+?_\d{4})_|(?:noncrack_)+(.+?_\d+)(?:_\d+)?$"
        r"|((?:Rissbilder_for_Florian|Volker|Eugen_Muller|Nohra_Muller)_[0-9A-Z]+)"
    ),
}
"""Data set -> pattern whose first filled group names the photograph or sequence of a stem."""

STRATUM = {
    "khanhha_mix": r"([A-Za-z_]+?\d*?)_",
    "masonry": r"(a)?",
    "belt_defects": r"(stills)?",
    "khanhha": (
        r"(CRACK500|GAPS384|CFD|forest|cracktree200|DeepCrack|Sylvie_Chambon|Volker|noncrack"
        r"|Rissbilder_for_Florian|Eugen_Muller|Nohra_Muller)_"
    ),
}
"""Data set -> pattern of the part that a split keeps in proportion."""

AUGMENTED = r"(?:.*/)?(.+?)(?:_rot\d+)?_crop\d+(?:_mirror\d+)?$"
"""Turned, cropped and mirrored copies as DeepCrack (Zou et al.) names them, in any set."""


def _first_group(pattern: str | None, stem: str) -> str | None:
    found = re.match(pattern, stem) if pattern else None
    return next((part for part in found.groups() if part), None) if found else None


def base_set(dataset: str) -> str:
    """`khanhha` of `khanhha/CFD`: parts of a merged set are scored apart and split together."""
    return dataset.split("/", maxsplit=1)[0]


def photograph(dataset: str, stem: str) -> str:
    """Name of the photograph or sequence that `stem` was cut from; the stem itself if unknown."""
    return _first_group(PHOTOGRAPH.get(dataset, AUGMENTED), stem) or stem


def stratum(dataset: str, stem: str) -> str:
    """The part of a mixed data set that `stem` comes from; empty for an even one."""
    return _first_group(STRATUM.get(dataset), stem) or ""


def join(groups: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Merge the groups (stem -> group) of every pair of stems; the smallest name wins."""
    parent = {group: group for group in groups.values()}

    def root(group: str) -> str:
        while parent[group] != group:
            group = parent[group]
        return group

    for one, other in pairs:
        low, high = sorted((root(groups[one]), root(groups[other])))
        parent[high] = low
    return {stem: root(group) for stem, group in groups.items()}


def split(
    names: Sequence[str], groups: Sequence[str], fraction: float, seed: int
) -> tuple[list[str], list[str]]:
    """Part names into (rest, chosen), about `fraction` of them chosen, whole groups at a time.

    The groups' order is drawn from a hash of the seed and their names; one is passed over when the
    count is nearer to the share without it.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for name, group in zip(names, groups, strict=True):
        members[group].append(name)
    target = fraction * len(names)
    chosen: set[str] = set()
    for group in sorted(members, key=lambda g: hashlib.sha256(f"{seed}:{g}".encode()).digest()):
        if len(chosen) + len(members[group]) / 2 < target:
            chosen.update(members[group])
    return [n for n in names if n not in chosen], [n for n in names if n in chosen]
