"""Pictures or belts of a user's own become what a network sees, for choosing its 8-bit ranges."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fissura.addresses import is_live, public_name
from fissura.frames import MAX_PIXELS, read_image
from fissura.letterbox import fit_clip
from fissura.sequence import count_frames, find_sources, sequence_of, steps
from fissura.types import InputError, UInt8Image
from fissura.video import is_video
from fissura.weights import ModelCard
from fissura.windows import enlarged_by

MOST = 32
"""So many pictures, or windows of frames, spread evenly over what is given."""

SIDE = 640
"""Longest side in network pixels of what is cut from the middle of a photograph."""

UNKNOWN = 300
"""Frames of a video that does not say how many it has, of which some are taken."""


def seen_by(card: ModelCard, sources: Sequence[str | Path], most: int = MOST) -> list[UInt8Image]:
    """H×W×3 uint8 RGB at network scale, or T×H×W×3 windows, oldest frame first, of a detector.

    Of many files some are taken, evenly spread; folders are searched with those below them.
    """
    for source in sources:
        if isinstance(source, str) and is_live(source):
            raise InputError(f"calibrate: {public_name(source)} has no end; give files or a folder")
    files = find_sources(sources, recursive=True)
    ends = _ends(files, card.frames)
    places = _spread(len(ends), most)
    share = most // max(len(places), 1)
    found = [
        _fitted(card, window)
        for place in places
        for window in _windows(files[: ends[place] + 1], card.frames, share)
    ]
    if not found:
        raise InputError("calibrate: the videos hold no frame; give pictures or other videos")
    return found


def _spread(total: int, most: int) -> list[int]:
    """Numbers below `total`; a single one from the middle."""
    if most == 1:
        return [total // 2] if total else []
    return sorted(set(np.linspace(0, total - 1, min(most, total)).round().astype(int).tolist()))


def _ends(files: Sequence[str | Path], frames: int) -> list[int]:
    """Places of the files that may be a window's newest frame: where enough of their sequence
    comes before, or all where that is nowhere so."""
    sequences = [sequence_of(str(file)) for file in files]
    full = [
        place
        for place, file in enumerate(files)
        if is_video(file)
        or (place + 1 >= frames and sequences[place + 1 - frames] == sequences[place])
    ]
    return full or list(range(len(files)))


def _windows(
    files: Sequence[str | Path], frames: int, share: int
) -> Iterator[Sequence[UInt8Image]]:
    """What ends with the last of the files: a picture after those before it, or `share` windows of
    a video. The first frame stands in for those that are missing before it."""
    last = files[-1]
    if is_video(last):
        yield from _of_video(last, frames, share)
        return
    sequence = sequence_of(str(last))
    own = [file for file in files[-frames:] if sequence_of(str(file)) == sequence]
    yield _filled([read_image(Path(file), MAX_PIXELS).image for file in own], frames)


def _of_video(path: str | Path, frames: int, share: int) -> Iterator[Sequence[UInt8Image]]:
    total = count_frames([path], MAX_PIXELS) or UNKNOWN
    wanted = {frames - 1 + number for number in _spread(max(total - frames + 1, 1), share)}
    window: deque[UInt8Image] = deque(maxlen=frames)
    given = False
    for number, step in enumerate(steps(path, MAX_PIXELS)):
        window.append(step.frames[-1].image)
        if number in wanted:
            given = True
            yield list(window)
        if number >= max(wanted):
            return
    if window and not given:  # shorter than it says
        yield _filled(list(window), frames)


def _filled(window: list[UInt8Image], frames: int) -> list[UInt8Image]:
    return [window[0]] * (frames - len(window)) + window


def _fitted(card: ModelCard, window: Sequence[UInt8Image]) -> UInt8Image:
    if card.classes:
        clip = fit_clip(window, card.network_hw, card.resize)
        return clip if card.frames > 1 else clip[0]
    image = window[-1]
    most = max(1, int(SIDE / card.input_scale))
    height, width = (min(side, most) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    middle = image[top : top + height, left : left + width]
    return enlarged_by(np.ascontiguousarray(middle), card.input_scale)
