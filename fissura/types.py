"""The values that travel through fissura, from a photograph to its measured cracks.

Legend: H, W image height and width in pixels; xyxy boxes are left, top, right, bottom in pixels of
the original image, x to the right and y down, pixel centres at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from pydantic.json_schema import SkipJsonSchema

ARRAY = {"json": False}
"""Field metadata of arrays that stay out of the JSON form."""

UInt8Image = NDArray[np.uint8]
FloatMap = NDArray[np.float32]
BoolMask = NDArray[np.bool_]

CrackType = Literal["longitudinal", "transverse", "diagonal", "branched"]
WidthSource = Literal["photograph", "map"]


class InputError(Exception):
    """A user's mistake: the message is one sentence that names the file or setting and the mend."""


class SettingError(InputError):
    """A mistake of the whole run, so that every other picture would fail alike."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class Frame:
    """One picture as every later step sees it: H×W×3 uint8 RGB, upright.

    `gps` is (latitude, longitude) in degrees, `notes` says what reading had to mend (rotation,
    bit depth, colour), `time_s` and `index` place a frame in its sequence, whose name is
    `sequence`; `fps` is the rate of its video where that says so.
    """

    image: UInt8Image
    source: str
    index: int = 0
    time_s: float | None = None
    gps: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    sequence: str | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        ok = self.image.ndim == 3 and self.image.shape[2] == 3 and self.image.dtype == np.uint8
        found = f"{self.image.shape} {self.image.dtype}"
        _require(ok, f"frame {self.source}: expected H×W×3 uint8, got {found}")

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True)
class Sample:
    """A picture of a data set with its truth: H×W×3 uint8 RGB, bool H×W (None where unmasked).

    `name` is the stem below the set's image folder, `set` the data set's name; `region` is the
    area that counts in a score (bool H×W), None where all of it does.
    """

    image: UInt8Image
    mask: BoolMask | None
    name: str
    set: str
    region: BoolMask | None = None

    def __post_init__(self) -> None:
        want = self.image.shape[:2]
        for what, array in (("mask", self.mask), ("region mask", self.region)):
            got = want if array is None else array.shape
            _require(want == got, f"{self.set}/{self.name}: picture {want} but {what} {got} (H, W)")


@dataclass(frozen=True)
class Keyframe:
    """An annotated frame of a sequence, with what came before it.

    `paths` T pictures, oldest first, the key frame last; the start of a sequence is repeated where
    nothing came before. `boxes` N×4 float32 xyxy in pixels of the key frame's picture, as their
    source has them, `labels` N class names, `size_hw` of that picture. `image_id` is the one of
    the annotation file.
    """

    paths: tuple[Path, ...]
    sequence: str
    number: int
    image_id: int
    size_hw: tuple[int, int]
    boxes: NDArray[np.float32]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.labels)
        where = f"{self.sequence}/{self.number}"
        _require(self.boxes.shape == (n, 4), f"{where}: {self.boxes.shape} boxes but {n} labels")


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image: rows top to bottom, columns left to right, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle into an H×W… array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def enlarged(self, factor: int) -> Tile:
        """The same rectangle of an image `factor` times as large."""
        edges = (self.top, self.left, self.bottom, self.right)
        return Tile(*(edge * factor for edge in edges))


@dataclass(frozen=True)
class Detections:
    """N boxes: `boxes` N×4 float32 xyxy, `scores` N float32 in [0, 1], `labels` N names."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.labels)
        shapes = f"got boxes {self.boxes.shape}, scores {self.scores.shape}, {n} labels"
        ok = self.boxes.shape == (n, 4) and self.scores.shape == (n,)
        _require(ok, f"expected N×4 boxes, N scores and N labels, {shapes}")


@dataclass(frozen=True)
class Scale:
    """Millimetres per pixel, its relative standard uncertainty, and where it comes from."""

    mm_per_px: float
    relative_uncertainty: float
    origin: str

    def __post_init__(self) -> None:
        _require(self.mm_per_px > 0, f"mm per pixel must be above 0, got {self.mm_per_px}")


@dataclass(frozen=True)
class Quantity:
    """A measured value with its 90 % interval, in `unit` (px, mm, px² or mm²).

    `value` is None where the pixel size and blur do not resolve it; `high` is then the upper bound.
    """

    value: float | None
    low: float
    high: float
    unit: Literal["px", "mm", "px²", "mm²"]


@dataclass(frozen=True)
class Measures:
    """What is measured on one crack, all in one unit; lengths and widths follow the skeleton."""

    length: Quantity
    width_mean: Quantity
    width_median: Quantity
    width_max: Quantity
    area: Quantity


@dataclass(frozen=True)
class Crack:
    """One connected crack.

    `box` xyxy; `region` its pixels inside that box (bool h×w), `centrelines` its skeleton branches
    as K×2 float32 x, y polylines: both arrays stay out of the JSON form, which gives the pixels as
    COCO run lengths instead. `orientation_deg` in [0, 180) from the x axis, counter-clockwise as
    seen. `probability` is the mean over its pixels. `mm` is None without a scale. `width_source`
    says whether widths and ends were measured on the photograph or on the crack map.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)

    id: int
    box: tuple[int, int, int, int]
    type: CrackType
    orientation_deg: float
    branches: int
    junctions: int
    probability: float
    max_width_at_xy: tuple[float, float]
    px: Measures
    mm: Measures | None
    region: SkipJsonSchema[BoolMask] = field(repr=False, metadata=ARRAY)
    centrelines: SkipJsonSchema[tuple[FloatMap, ...]] = field(repr=False, metadata=ARRAY)
    width_source: WidthSource = "map"


@dataclass(frozen=True)
class Result:
    """What fissura says about one picture or keyframe.

    `size_hw` pixels of the original; `crack_map` float32 H×W in [0, 1] and `mask` bool H×W, or
    None for a detector; `detections` None for a segmentation network; `weights_sha256` of the
    file that ran; `settings` the resolved prediction settings; `image` the H×W×3 picture itself;
    `enlarged` sH×sW×3 where the network enlarges s times, the only field that is not in the
    original's pixels. `sequence` names the video or the numbered pictures that a frame belongs to,
    `fps` is the rate of a video that says so.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)

    source: str
    size_hw: tuple[int, int]
    model: str
    weights_sha256: str
    settings: dict[str, Any]
    cracks: tuple[Crack, ...] = ()
    frame_index: int = 0
    time_s: float | None = None
    gps: tuple[float, float] | None = None
    scale: Scale | None = None
    notes: tuple[str, ...] = ()
    sequence: str | None = None
    fps: SkipJsonSchema[float | None] = field(default=None, metadata=ARRAY)
    detections: SkipJsonSchema[Detections | None] = field(default=None, metadata=ARRAY)
    image: SkipJsonSchema[UInt8Image | None] = field(default=None, repr=False, metadata=ARRAY)
    enlarged: SkipJsonSchema[UInt8Image | None] = field(default=None, repr=False, metadata=ARRAY)
    crack_map: SkipJsonSchema[FloatMap | None] = field(default=None, repr=False, metadata=ARRAY)
    mask: SkipJsonSchema[BoolMask | None] = field(default=None, repr=False, metadata=ARRAY)

    def __post_init__(self) -> None:
        for name, array in (("crack_map", self.crack_map), ("mask", self.mask)):
            if array is not None:
                message = f"{name}: expected shape {self.size_hw}, got {array.shape}"
                _require(array.shape == self.size_hw, message)
        if self.enlarged is not None:
            times = self.enlarged.shape[0] // self.size_hw[0]
            want = (times * self.size_hw[0], times * self.size_hw[1], 3)
            message = f"enlarged: expected a multiple of {self.size_hw}, got {self.enlarged.shape}"
            _require(self.enlarged.shape == want and times >= 1, message)
