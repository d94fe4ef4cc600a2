"""Pictures or belts of a user's own become what a network sees, for choosing its 8-bit ranges."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from fissura.addresses import is_live, public_name
from fissura.frames import read_image
from fissura.letterbox import fit_clip
from fissura.sequence import count_frames, find_sources, sequence_of, steps
from fissura.types import InputError, UInt8Image
from fissura.video import is_video
from fissura.weights import ModelCard

MOST = 32
"""So many pictures, or windows of frames, spread evenly over what is given."""

SIDE = 640
"""Longest side in network pixels of what is cut from the middle of a photograph."""

MAX_PIXELS = 200_000_000


def seen_by(card: ModelCard, sources: Sequence[str | Path], most: int = MOST) -> list[UInt8Image]:
    """H×W×3 uint8 RGB at network scale, or T×H×W×3 windows, oldest frame first, of a detector.

    Of many files some are taken, evenly spread; folders are searched with those below them.
    """
    for source in sources:
        if isinstance(source, str) and is_live(source):
            raise InputError(f"calibrate: {public_name(source)} has no end; give files or a folder")
    files = find_sources(sources, recursive=True)
    places = _spread(len(files), most)
    share = most // max(len(places), 1)
    return [
        _fitted(card, window)
        for place in places
        for window in _windows(files[: place + 1], card.frames, share)
    ]


def _spread(total: int, most: int) -> list[int]:
    return sorted(set(np.linspace(0, total - 1, min(most, total)).round().astype(int).tolist()))


def _windows(
    files: Sequence[str | Path], frames: int, share: int
) -> Iterator[Sequence[UInt8Image]]:
    """What ends with the last of the files: a picture after those before it, or `share` windows of
    a video. The first frame stands in for those before it."""
    last = files[-1]
    if is_video(last):
        wanted = set(_spread(count_frames([last], MAX_PIXELS), share))
        window: deque[UInt8Image] = deque(maxlen=frames)
        for number, step in enumerate(steps(last, MAX_PIXELS)):
            window.append(step.frames[-1].image)
            if number in wanted:
                yield _filled(list(window), frames)
        return
    sequence = sequence_of(str(last))
    own = [file for file in files[-frames:] if sequence_of(str(file)) == sequence]
    yield _filled([read_image(Path(file), MAX_PIXELS).image for file in own], frames)


def _filled(window: list[UInt8Image], frames: int) -> list[UInt8Image]:
    return [window[0]] * (frames - len(window)) + window


def _fitted(card: ModelCard, window: Sequence[UInt8Image]) -> UInt8Image:
    if card.classes:
        clip = fit_clip(window, card.network_hw, card.resize)
        return clip if card.frames > 1 else clip[0]
    image = window[-1]
    height, width = (min(side, int(SIDE / card.input_scale)) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    size = (int(card.input_scale * width + 0.5), int(card.input_scale * height + 0.5))
    middle = np.ascontiguousarray(image[top : top + height, left : left + width])
    return np.asarray(cv2.resize(middle, size, interpolation=cv2.INTER_LINEAR), np.uint8)
