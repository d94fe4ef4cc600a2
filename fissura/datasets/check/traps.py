"""Faults that published sets are known for: twins, crops across a split, lossy or thin truths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from fissura.datasets.check.files import Known, Say, stray_levels
from fissura.datasets.check.finding import Finding
from fissura.datasets.crack500 import MISSPELT
from fissura.datasets.deepcrack537 import BINARY
from fissura.datasets.grouping import photograph, stratum
from fissura.datasets.held_back import ELSEWHERE, kept_back
from fissura.datasets.layout import Entry, Part, entries
from fissura.datasets.truth import read_mask
from fissura.types import BoolMask, InputError

TWINS = {"khanhha": ("CFD_", "forest_")}
"""Set -> beginnings of names under which it holds the same photographs twice."""

LOOKED_AT = 8
FEWEST = 3
THIN_SHARE = 0.8
THIN_PX = 1.4

Places = Mapping[Path, str]


def named_faults(parts: Sequence[Part], sides: Places, say: Say) -> Iterator[Finding]:
    """What names alone give away, set by set."""
    for part in parts:
        yield from _misspelt(part, say)
    for dataset, found in _by_set(parts):
        yield from _parted_photographs(dataset, found, sides, say)
        yield from _twins(dataset, found, sides, say)
        yield from _held_back_elsewhere(dataset, found, sides, say)


def known_twins(parts: Sequence[Part]) -> set[frozenset[Path]]:
    """Pairs of pictures that need no comparing: their names say that they are the same."""
    return {
        frozenset(pair) for dataset, found in _by_set(parts) for pair in twins_of(dataset, found)
    }


def _by_set(parts: Sequence[Part]) -> list[tuple[str, list[Entry]]]:
    by_set: dict[tuple[str, Path], list[Entry]] = defaultdict(list)
    for part in parts:
        by_set[part.name, part.root] += entries(part)
    return [(dataset, found) for (dataset, _), found in by_set.items()]


def _parted_photographs(
    dataset: str, found: Sequence[Entry], sides: Places, say: Say
) -> Iterator[Finding]:
    """One finding for each source of which photographs have pictures on both sides."""
    members: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for entry in found:
        key = stratum(dataset, entry.name), photograph(dataset, entry.name)
        members[key].append(entry.image)
    parted: dict[str, list[str]] = defaultdict(list)
    for (source, shot), images in sorted(members.items()):
        if len({sides[path] for path in images if path in sides}) > 1:
            parted[source].append(shot)
    for source, shots in parted.items():
        files = [path for shot in shots for path in members[source, shot]]
        more = f" and {len(shots) - 1} more" if len(shots) > 1 else ""
        message = (
            f"by their names these pictures are of photograph '{shots[0]}'{more}, yet stand on both"
            " sides of the split; split by photograph"
        )
        yield say("photograph_leak", "warning", files, message)


def twins_of(dataset: str, found: Sequence[Entry]) -> list[tuple[Path, Path]]:
    """Pictures that are the same photograph under two names."""
    first, second = TWINS.get(dataset, ("", ""))
    images = {entry.name: entry.image for entry in found} if first else {}
    return [
        (path, images[second + name.removeprefix(first)])
        for name, path in images.items()
        if name.startswith(first) and second + name.removeprefix(first) in images
    ]


def _twins(dataset: str, found: Sequence[Entry], sides: Places, say: Say) -> Iterator[Finding]:
    """The same photographs under two names: on one side, and across the split."""
    pairs = twins_of(dataset, found)
    apart = [pair for pair in pairs if sides.get(pair[0]) != sides.get(pair[1])]
    if pairs:
        message = f"{len(pairs)} photographs are there under two names; leave one of each out"
        yield say("twins", "warning", [path for pair in pairs for path in pair], message)
    if apart:
        message = f"{len(apart)} of the twins stand on both sides of the split; leave one out"
        yield say("split_leak", "error", [path for pair in apart for path in pair], message)


def _held_back_elsewhere(
    dataset: str, found: Sequence[Entry], sides: Places, say: Say
) -> Iterator[Finding]:
    if dataset not in ELSEWHERE:
        return
    kept = kept_back(dataset, [entry.name for entry in found]) or frozenset()
    training = [e.image for e in found if e.name in kept and sides.get(e.image) in ("train", "val")]
    if training:
        message = (
            f"{len(training)} training pictures are of photographs that our held-back list keeps"
            " for the final score; the reader leaves them out of train and val"
        )
        yield say("held_back", "note", training, message)


def _misspelt(part: Part, say: Say) -> Iterator[Finding]:
    for folder in sorted({path.relative_to(part.root).parts[0] for _, path in part.pictures}):
        meant = MISSPELT.get(folder.casefold())
        if meant:
            message = f"taken for the {meant} part; rename the folder"
            yield say("misspelt_folder", "warning", [part.root / folder], message)


# ---- truths --------------------------------------------------------------------------------


def truth_faults(parts: Sequence[Part], known: Known, say: Say) -> Iterator[Finding]:
    """Masks that lost their values, that are centre lines, or whose copies say something else."""
    thin: dict[tuple[str, Path, str], list[Path]] = defaultdict(list)
    for part in parts:
        masks = [(name, path) for name, path in part.masks or () if not known[path].error]
        lossy = [path for _, path in masks if _is_lossy(path, known)]
        if lossy:
            message = (
                f"{len(lossy)} masks are JPEG with values besides 0 and 255; above 127 counts as"
                " crack, any value above 0 would add a fringe"
            )
            yield say("lossy_masks", "note", lossy, message)
        for name, path in masks:
            if len(known[path].values) > 1:
                thin[part.name, part.root, stratum(part.name, name)].append(path)
        yield from _copies([path for _, path in masks], say)
    for paths in thin.values():
        yield from _thin(paths, say)


def _is_lossy(path: Path, known: Known) -> bool:
    return known[path].format == "JPEG" and stray_levels(known[path])


def _thin(paths: Sequence[Path], say: Say) -> Iterator[Finding]:
    """Looks at a few masks: curves without width are no ground for overlap measures."""
    step = max(1, len(paths) // LOOKED_AT)
    masks = [mask for mask in map(read_or_none, paths[::step][:LOOKED_AT]) if mask is not None]
    curves = sum(_is_curve(mask) for mask in masks)
    if len(masks) >= FEWEST and curves >= THIN_SHARE * len(masks):
        message = (
            f"the cracks are curves of 1 or 2 px ({curves} of {len(masks)} masks looked at);"
            " score with a tolerance, as the protocol zou2019 does"
        )
        yield say("thin_truth", "note", paths, message)


def read_or_none(path: Path) -> BoolMask | None:
    """None where the file is damaged, which is said elsewhere."""
    try:
        return read_mask(path)
    except InputError:
        return None


def _is_curve(mask: BoolMask) -> bool:
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    inside = distance[distance > 0]
    return bool(inside.size) and float(np.percentile(inside, 90)) <= THIN_PX


def _copies(masks: Iterable[Path], say: Say) -> Iterator[Finding]:
    """`STEM_binary_label.png` beside a label must mark the same pixels."""
    masks = list(masks)
    copies = {
        copy for folder in {path.parent for path in masks} for copy in folder.glob(f"*{BINARY}.png")
    }
    for path in masks if copies else ():
        copy = path.with_name(f"{path.stem}{BINARY}.png")
        if copy not in copies:
            continue
        one, other = read_or_none(path), read_or_none(copy)
        if one is None or other is None or not np.array_equal(one, other):
            message = "the converted copy marks other pixels than the label; convert it again"
            yield say("copies_disagree", "error", [path, copy], message)
