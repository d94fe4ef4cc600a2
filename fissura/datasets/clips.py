"""Windows of frames that end in a key frame, and their pictures."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path

from PIL import Image

from fissura.datasets.boxes import Frames
from fissura.frames import read_image
from fissura.types import InputError, Keyframe, UInt8Image

CACHE_BYTES = 256_000_000
ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)

_FileState = tuple[str, int, int]


def window(frames: Frames, place: int, length: int) -> tuple[Path, ...]:
    """`length` pictures that end at `frames[place]`; before the first frame stands the first."""
    return tuple(frames[max(place - back, 0)][1] for back in reversed(range(length)))


def stood_in(frames: Frames, missing: Collection[Path]) -> Frames:
    """The same frames with the nearest earlier picture that is there, or else the first, instead.

    Empty where none is there.
    """
    there = next((path for _, path in frames if path not in missing), None)
    if there is None:
        return ()
    found = []
    for number, path in frames:
        there = there if path in missing else path
        found.append((number, there))
    return tuple(found)


def header_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, upright, without decoding it where that is possible."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(path) as image:
                width, height = image.size
                orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # the careful reader says what is wrong
        return read_image(path).size_hw
    return (width, height) if orientation in SIDEWAYS else (height, width)


class _Cache:
    """The last decoded pictures, of bounded size; what it gives must not be written to."""

    def __init__(self) -> None:
        self._held: OrderedDict[_FileState, UInt8Image] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: Path) -> UInt8Image:
        key = _state(path)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        image = read_image(path).image
        image.flags.writeable = False
        with self._lock:
            self._held[key] = image
            while len(self._held) > 1 and sum(a.nbytes for a in self._held.values()) > CACHE_BYTES:
                self._held.popitem(last=False)
        return image


_cache = _Cache()


def _state(path: Path) -> _FileState:
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); copy it again") from error
    return str(path), found.st_mtime_ns, found.st_size


def read_clip(keyframe: Keyframe) -> list[UInt8Image]:
    """The pictures of a key frame's window, oldest first, H×W×3 uint8 each of its own size.

    They are shared with later windows and cannot be written to. A key frame of another size than
    its annotations say is refused, since its boxes would be wrong.
    """
    images = [_cache.read(path) for path in keyframe.paths]
    require_stated_size(keyframe, (images[-1].shape[0], images[-1].shape[1]))
    return images


def require_stated_size(keyframe: Keyframe, found_hw: tuple[int, int]) -> None:
    """InputError where the key frame's picture is not of the size that its boxes are for."""
    (height, width), (there, across) = keyframe.size_hw, found_hw
    if found_hw != keyframe.size_hw:
        raise InputError(
            f"{keyframe.paths[-1]}: is {across}×{there}, its annotations say {width}×{height}; "
            "mend one of them"
        )
