"""Which names of a set belong to a split, and which belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fissura.datasets import grouping
from fissura.datasets.held_back import kept_back, known_overlaps, same_place
from fissura.datasets.layout import VAL_FRACTION, VAL_SEED, Entry
from fissura.types import InputError


def group_of(
    dataset: str, names: Sequence[str], sequences: Mapping[str, str] | None = None
) -> list[str]:
    """Group of every stem: photograph or sequence, joined where two show the same place."""
    known = sequences or {}
    photographs = [known.get(name) or grouping.photograph(dataset, name) for name in names]
    groups = {one: one for one in photographs}
    pairs = [(places[0], other) for places in same_place(dataset) for other in places[1:]]
    joined = grouping.join(groups, [(a, b) for a, b in pairs if a in groups and b in groups])
    return [joined[one] for one in photographs]


def split_members(
    root: Path,
    everything: Sequence[Entry],
    splits: Mapping[str, frozenset[str]],
    split: str,
    sequences: Mapping[str, str] | None = None,
) -> frozenset[str]:
    """Names of one split of one set. The class docstring of Reader says what the names mean.

    `sequences` gives the sequence of a name where the set says it.
    """
    found = _all(everything, splits, sequences or {})
    if split not in found:
        raise InputError(f"{root}: no split '{split}'; there are {', '.join(sorted(found))}")
    return found[split]


def sides_of(
    everything: Sequence[Entry],
    splits: Mapping[str, frozenset[str]],
    sequences: Mapping[str, str],
) -> dict[str, str]:
    """The side that every name is trained or scored on; none for what no split holds."""
    found = _all(everything, splits, sequences) if everything else {}
    kept = ("train", "val", "held_back", "test")
    return {name: side for side in kept for name in found.get(side, ())}


def _all(
    everything: Sequence[Entry],
    splits: Mapping[str, frozenset[str]],
    sequences: Mapping[str, str],
) -> dict[str, frozenset[str]]:
    """Names of every split of one set."""
    dataset = everything[0].set
    listed = dict(splits)
    for entry in everything:
        if entry.side:
            listed[entry.side] = listed.get(entry.side, frozenset()) | {entry.name}
    names = frozenset(entry.name for entry in everything)
    kept = kept_back(dataset, names)
    if kept is None:
        kept = listed.get("test", frozenset())
    test = listed.get("test", kept)
    others = {k: v for k, v in listed.items() if k not in ("train", "val")}
    fixed = {"held_back": kept, "test": test, **others}
    fixed["held_back_clean"] = kept - known_overlaps().get(dataset, frozenset())
    train = listed.get("train", names) - kept - test
    chosen = listed.get("val") or _validation(dataset, sorted(train & names), sequences)
    val = chosen - kept - test
    derived = {"train": train - val, "val": val, "train+val": train | val}
    found = derived | {name: members for name, members in fixed.items() if members}
    return {name: members & names for name, members in found.items()}


def _validation(dataset: str, train: list[str], sequences: Mapping[str, str]) -> frozenset[str]:
    """A fixed 15 % of the training pictures, whole groups, every part of a mixed set its share."""
    parts: dict[str, list[str]] = {}
    for name in train:
        parts.setdefault(grouping.stratum(dataset, name), []).append(name)
    chosen: set[str] = set()
    for names in parts.values():
        groups = group_of(dataset, names, sequences)
        chosen.update(grouping.split(names, groups, VAL_FRACTION, VAL_SEED)[1])
    return frozenset(chosen)
