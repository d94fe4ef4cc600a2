"""The two graphs of a streaming detector, beside the file of its whole network.

NAME.frame.onnx takes one frame and gives what it tells by itself, NAME.fusion.onnx takes that of T
frames, oldest first, and gives the boxes of the last; NAME.onnx takes the T frames at once. Those
for OpenVINO end in .xml instead.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fissura.types import InputError
from fissura.weights import PREFIX, ModelCard, from_metadata
from fissura.weights.files import read_metadata

PARTS = ("frame", "fusion")
PART_NOTE = f"{PREFIX}part"
TOGETHER_NOTE = f"{PREFIX}together"
"""The same in all files of one export, and in those of no other."""


class Parts(NamedTuple):
    """The files of both."""

    frame: Path
    fusion: Path


def parts_of(path: Path) -> Parts:
    """Where both stand, or would stand, beside NAME.onnx or NAME.xml."""
    return Parts(*(path.with_name(f"{path.stem}.{part}{path.suffix}") for part in PARTS))


def find_parts(path: Path, card: ModelCard) -> Parts | None:
    """The parts beside NAME.onnx, None where there are none; InputError if they do not belong."""
    parts = parts_of(path)
    missing = [part for part in parts if not part.is_file()]
    if card.frames == 1 or len(missing) == len(parts):
        return None
    if missing:
        raise InputError(
            f"{missing[0]}: is missing, and {path.name} streams with two graphs or with none;"
            " export it again, or remove the other one"
        )
    for name, part in zip(PARTS, parts, strict=True):
        _check(part, name, path, card)
    return parts


def read_whole(path: Path) -> ModelCard:
    """The card of a file with a graph, which must not be one of the parts."""
    notes = read_metadata(path)
    if PART_NOTE in notes:
        raise InputError(
            f"{path}: is one of the two graphs of a streaming detector; give the file of the"
            " whole network beside it"
        )
    return from_metadata(notes, path)


def _check(part: Path, name: str, path: Path, card: ModelCard) -> None:
    notes = read_metadata(part)
    found = from_metadata(notes, part)
    if notes.get(PART_NOTE) != name:
        raise InputError(f"{part}: does not hold the {name} graph of {path.name}; export it again")
    if found.weights_sha256 != card.weights_sha256:
        raise InputError(f"{part}: holds other weights than {path.name}; export it again")
    if found.network_hw != card.network_hw:
        own, other = ("{}×{}".format(*each.network_hw) for each in (found, card))
        raise InputError(
            f"{part}: is for frames of {own}, {path.name} for {other}; export it again"
        )
    together = notes.get(TOGETHER_NOTE) == read_metadata(path).get(TOGETHER_NOTE)
    if not together or replace(found, path=None) != replace(card, path=None):
        raise InputError(f"{part}: its notes differ from those of {path.name}; export it again")
