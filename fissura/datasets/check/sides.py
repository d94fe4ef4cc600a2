"""Which side of its split a picture is on, and pictures that are alike across or within sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from fissura.datasets.check.files import Say
from fissura.datasets.check.finding import Finding, Severity
from fissura.datasets.grouping import join, photograph
from fissura.datasets.held_back import kept_back
from fissura.datasets.layout import SIDES, Entry, Part, entries
from fissura.datasets.splits import sides_of


def places(sets: Iterable[Part]) -> tuple[dict[Path, str], dict[Path, str]]:
    """Side and group (`set:photograph`) of every picture; no side where no split is known."""
    sides: dict[Path, str] = {}
    groups: dict[Path, str] = {}
    for one in sets:
        found = entries(one)
        listed = {k: v for k, v in one.splits.items() if k in SIDES}
        kept = kept_back(one.name, [entry.name for entry in found])
        for entry in found:
            groups[entry.image] = f"{one.name}:{photograph(one.name, entry.name)}"
            side = _side(entry, listed, kept)
            if side:
                sides[entry.image] = side
    return sides, groups


def _side(
    entry: Entry, listed: Mapping[str, frozenset[str]], kept: frozenset[str] | None
) -> str | None:
    found = next((side for side, stems in listed.items() if entry.name in stems), entry.side)
    if found or kept is None:
        return found
    return "held back" if entry.name in kept else "train"


def split_faults(one: Part, say: Say) -> Iterator[Finding]:
    """Stems that a split lists and the set lacks, and stems that two splits list."""
    listed = {k: v for k, v in one.splits.items() if k in SIDES}
    names = {entry.name: entry.image for entry in entries(one)}
    owners: dict[str, list[str]] = defaultdict(list)
    for side, stems in listed.items():
        for stem in sorted(stems):
            owners[stem].append(side)
        lost = sorted(stems - names.keys())
        if lost and not one.side:
            message = f"lists {len(lost)} stems without a picture, the first '{lost[0]}'; mend it"
            yield say(
                "split_lists_missing", "error", [one.root / "splits" / f"{side}.txt"], message
            )
    for stem, among in sorted(owners.items()):
        if len(among) > 1 and stem in names:
            message = f"listed in {' and '.join(among)}; keep it in one"
            yield say("split_leak", "error", [names[stem]], message)


def video_faults(sets: Iterable[Part], say: Say) -> Iterator[Finding]:
    """Videos whose frames stand on more than one side, by the lists or by what these leave."""
    of_set: dict[tuple[str, Path], list[Part]] = defaultdict(list)
    for one in sets:
        of_set[one.name, one.root].append(one)
    for parts in of_set.values():
        found = [entry for part in parts for entry in entries(part)]
        videos = {entry.name: entry.sequence for entry in found if entry.sequence is not None}
        side_of = sides_of(found, parts[0].splits, videos) if videos else {}
        frames: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
        for entry in found:
            if entry.sequence is not None and entry.name in side_of:
                frames[entry.sequence][side_of[entry.name]].append(entry.image)
        yield from (_video_fault(*item, say) for item in frames.items() if len(item[1]) > 1)


def _video_fault(video: str, frames: Mapping[str, list[Path]], say: Say) -> Finding:
    known = sorted(frames)
    parts = " and ".join(f"{side} ({len(frames[side])} frames)" for side in known)
    message = f"the sequence {video} is split by frame between {parts}; keep it on one side"
    return say("split_by_frame", "error", [frames[side][0] for side in known], message)


def alike_faults(
    kind: str, what: str, pairs: Iterable[tuple[Path, Path]], sides: Mapping[Path, str], say: Say
) -> Iterator[Finding]:
    """One finding for each cluster of alike pictures, and one more if it straddles a split."""
    listed = list(pairs)
    name = {str(path): path for pair in listed for path in pair}
    joined = join({text: text for text in name}, ((str(a), str(b)) for a, b in listed))
    clusters: dict[str, list[Path]] = defaultdict(list)
    for text in sorted(joined):
        clusters[joined[text]].append(name[text])
    for members in clusters.values():
        severity: Severity = "note" if kind == "same_place" else "warning"
        yield say(kind, severity, members, f"{len(members)} pictures {what}; keep them on one side")
        across = sorted({sides[path] for path in members if path in sides})
        if len(across) > 1:
            message = (
                f"{what}, yet stand on both sides of the split ({', '.join(across)}); move them"
            )
            yield say("split_leak", "error", members, message)
