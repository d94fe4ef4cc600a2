"""Frames of one video belong together in a set of masks as well: what COCO files beside it say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from fissura.datasets.coco_files import coco_files, read_coco
from fissura.datasets.documents import looks_like
from fissura.datasets.grouping import PHOTOGRAPH, base_set
from fissura.datasets.layout import Part
from fissura.types import InputError

WORDS = (b'"videos"', b'"video_id"')


def with_videos(parts: Iterable[Part]) -> list[Part]:
    """The parts with the video of every frame, as annotations in their folders list it.

    A file of videos that cannot be read is refused: without it frames would be split apart.
    """
    listed = list(parts)
    videos = {root: _videos_in(root) for root in dict.fromkeys(part.root for part in listed)}
    return [of_videos(part, videos[part.root]) for part in listed]


def of_videos(part: Part, videos: Mapping[Path, str]) -> Part:
    """The part with `videos` (picture file to video) by name; a list may name a whole video.

    Sets whose pictures' names tell the sequence keep their groups, and with them their splits.
    """
    known = {name: videos[path] for name, path in part.pictures if path in videos}
    if not known or base_set(part.name) in PHOTOGRAPH:
        return part
    splits = {
        side: frozenset((names - set(known.values())) | _frames_of(names, known))
        for side, names in part.splits.items()
    }
    return replace(part, sequences=known, splits=splits)


def _frames_of(names: frozenset[str], known: Mapping[str, str]) -> set[str]:
    return {frame for frame, video in known.items() if video in names}


def _videos_in(root: Path) -> dict[Path, str]:
    if not any(looks_like(path, word) for path in coco_files(root) for word in WORDS):
        return {}
    found = read_coco(root, folders=False)
    for fault in found.faults:
        if fault.kind == "bad_annotations":
            raise InputError(str(fault))
    return {one.file: one.sequence for one in found.pictures if one.sequence is not None}
