"""Pictures of what was found: comparison of systems on one frame, and heat maps.

Red: a box found, the detection as it is. Green: a true box that is missed. Green with red inside:
incomplete, a true box that is missed although a detection lies at least half in it. Yellow: a
detection that matches nothing and lies less than half in any missed box: a false alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.datasets.sequences import read_clip
from fissura.decode import box_outputs, resample, sigmoid
from fissura.engines import Engine
from fissura.evaluate.boxes.naming import file_names
from fissura.evaluate.boxes.scoring import FIXED_SCORE, System
from fissura.letterbox import Letterbox, fit_clip
from fissura.metrics.detection import Values
from fissura.types import FloatMap, Keyframe, UInt8Image

FOUND, MISSED, FALSE = (225, 29, 38), (0, 190, 60), (255, 214, 0)
HALF = 0.5
OPACITY = 0.5
PANEL_WIDTH = 640
ACROSS = 4
STRIP = 26
KEY = (
    (FOUND, "found"),
    (MISSED, "missed; with red inside: incomplete"),
    (FALSE, "false alarm"),
)
QUALITY = 92


@dataclass(frozen=True)
class Outcome:
    """The boxes of one picture, xywh: detections that are right, true boxes that are missed.

    `partial` are detections at least half inside a missed box, `false` all other wrong ones.
    """

    right: Values
    missed: Values
    partial: Values
    false: Values


def outcome(system: System, picture: int) -> Outcome:
    """What became of the boxes of one picture at the system's threshold."""
    matches = system.matches
    threshold = FIXED_SCORE if system.choice.value is None else system.choice.value
    here = matches.found.image == picture
    shown = here & (matches.found.score >= threshold)
    right = shown & (matches.taken >= 0)
    of_picture = np.flatnonzero((matches.truth.image == picture) & ~matches.truth.crowd)
    missed = np.setdiff1d(of_picture, matches.taken[right])
    wrong, boxes = matches.found.xywh[shown & ~right], matches.truth.xywh[missed]
    inside = _share_inside(wrong, boxes) >= HALF
    partial = inside.any(axis=1)
    return Outcome(matches.found.xywh[right], boxes, wrong[partial], wrong[~partial])


def draw_outcome(image: UInt8Image, found: Outcome, title: str) -> UInt8Image:
    """The picture at panel width with its boxes under a line of text."""
    scale = PANEL_WIDTH / image.shape[1]
    height = max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, (PANEL_WIDTH, height), interpolation=cv2.INTER_AREA)
    panel = np.asarray(small, np.uint8)
    for boxes, colour in (
        (found.missed, MISSED),
        (found.right, FOUND),
        (found.partial, FOUND),
        (found.false, FALSE),
    ):
        for left, top, right, bottom in _drawable(boxes * scale, height):
            cv2.rectangle(panel, (left, top), (right, bottom), colour, 2, cv2.LINE_AA)
    return _titled(panel, title)


def _drawable(boxes: Values, height: int) -> NDArray[np.int32]:
    """Corners of xywh in whole pixels, at most a line's width outside a panel of that height."""
    xyxy = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    ends = np.array([PANEL_WIDTH, height] * 2) + STRIP
    return np.asarray(np.clip(xyxy, -STRIP, ends).round(), np.int32)


def heat_map(
    outputs: Mapping[str, NDArray[np.float32]], strides: Sequence[int], box: Letterbox
) -> FloatMap:
    """Objectness times the best class at every pixel of the picture, H×W, in [0, 1].

    Each output is enlarged to the network's input and cut to where the picture lies in it, so that
    the border does not shift the map; of several strides the highest value counts.
    """
    (top, left), (height, width) = box.corner_yx, box.inner_hw
    maps = []
    for name in box_outputs(strides):
        raw = outputs[name]
        score = sigmoid(raw[4]) * sigmoid(raw[5:].max(axis=0))
        whole = resample(score, box.network_hw)
        maps.append(whole[top : top + height, left : left + width])
    return resample(np.ascontiguousarray(np.max(maps, axis=0)), box.image_hw)


def draw_heat(image: UInt8Image, heat: FloatMap) -> UInt8Image:
    """The picture with the map over it in blue to red, half transparent."""
    grey = (255 * heat).astype(np.uint8)
    colours = cv2.applyColorMap(grey, cv2.COLORMAP_JET)[..., ::-1]
    mixed = (1 - OPACITY) * image.astype(np.float32) + OPACITY * colours
    return np.asarray(np.rint(mixed), np.uint8)


def seen_heat(keyframe: Keyframe, engine: Engine) -> FloatMap:
    """The heat map of a key frame."""
    images, card = read_clip(keyframe)[-engine.card.frames :], engine.card
    clip = fit_clip(images, card.network_hw, card.resize)
    raw = engine.run_clip(clip) if card.frames > 1 else engine.run(clip[-1])
    size_hw = images[-1].shape[0], images[-1].shape[1]
    return heat_map(raw, card.strides, Letterbox(size_hw, card.network_hw, card.resize))


def choose_pictures(
    keyframes: Sequence[Keyframe], systems: Sequence[System], count: int
) -> list[int]:
    """Places of so many key frames, spread evenly over those with a true box or a detection.

    Boxes of classes that do not count make no frame worth a look.
    """
    busy: set[int] = set()
    for system in systems:
        busy |= set(system.matches.truth.image.tolist())
        threshold = FIXED_SCORE if system.choice.value is None else system.choice.value
        found = system.matches.found
        busy |= set(found.image[found.score >= threshold].tolist())
    places = sorted(busy) or list(range(len(keyframes)))
    at = np.linspace(0, len(places) - 1, min(count, len(places)))
    return [places[int(k)] for k in np.unique(at.round())]


def write_pictures(
    out: Path,
    keyframes: Sequence[Keyframe],
    systems: Sequence[System],
    engines: Sequence[Engine | None],
    count: int,
) -> list[str]:
    """A JPEG per chosen key frame, see `_sheet`; their names."""
    files = []
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    places = choose_pictures(keyframes, systems, count)
    chosen = [keyframes[place] for place in places]
    stems = file_names(f"{one.sequence}_{one.number:06d}" for one in chosen)
    for place, keyframe, stem in zip(places, chosen, stems, strict=True):
        sheet = _sheet(keyframe, place, systems, engines)
        name = f"pictures/{stem}.jpg"
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        (out / name).write_bytes(cv2.imencode(".jpg", sheet[..., ::-1], options)[1].tobytes())
        files.append(name)
    return files


def _sheet(
    keyframe: Keyframe, place: int, systems: Sequence[System], engines: Sequence[Engine | None]
) -> UInt8Image:
    """Four systems to a row, below them the heat maps of those that are networks, then the key."""
    image = read_clip(keyframe)[-1]
    rows = []
    for start in range(0, len(systems), ACROSS):
        some, asked = systems[start : start + ACROSS], engines[start : start + ACROSS]
        rows.append([draw_outcome(image, outcome(one, place), one.label) for one in some])
        if any(asked):
            pairs = zip(asked, some, strict=True)
            rows.append([_heat_panel(image, keyframe, *pair) for pair in pairs])
    blank = np.full_like(rows[0][0], 255)
    columns = len(rows[0])
    filled = [[*row, *[blank] * (columns - len(row))] for row in rows]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in filled])
    return np.concatenate([sheet, key_strip(sheet.shape[1], heat=any(engines))])


def _heat_panel(
    image: UInt8Image, keyframe: Keyframe, engine: Engine | None, system: System
) -> UInt8Image:
    nothing, white = Outcome(*[np.zeros((0, 4))] * 4), np.full_like(image, 255)
    if engine is None:
        return draw_outcome(white, nothing, f"{system.label}: boxes alone, no heat map")
    heat = seen_heat(keyframe, engine)
    return draw_outcome(draw_heat(image, heat), nothing, f"{system.label}: heat map")


def _share_inside(found: Values, truth: Values) -> Values:
    """D×G: which share of each detection lies in each true box."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    ends = (found[:, None, :2] + found[:, None, 2:], truth[None, :, :2] + truth[None, :, 2:])
    sides = np.maximum(np.minimum(*ends) - low, 0)
    area = np.maximum(found[:, 2] * found[:, 3], np.finfo(float).tiny)
    share: Values = sides[..., 0] * sides[..., 1] / area[:, None]
    return share


def key_strip(width: int, heat: bool) -> UInt8Image:
    """What the colours mean, 26×`width`×3; as much of it as there is room for."""
    strip = np.full((STRIP, max(width, PANEL_WIDTH), 3), 255, np.uint8)
    x = 6
    for colour, words in KEY:
        cv2.rectangle(strip, (x, 7), (x + 14, 19), colour, 2)
        x = _written(strip, words, x + 20) + 24
    if heat and x + 330 <= strip.shape[1]:
        ramp = np.arange(256, dtype=np.uint8)[None, ::4].repeat(12, axis=0)
        strip[7:19, x : x + 64] = cv2.applyColorMap(ramp, cv2.COLORMAP_JET)[..., ::-1]
        _written(strip, "heat map, 0 to 1: objectness x class", x + 70)
    return strip


def _written(strip: UInt8Image, text: str, x: int) -> int:
    """Puts the text at column `x`; returns the column after it."""
    look = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    cv2.putText(strip, text, (x, 18), *look, (40, 40, 40), 1, cv2.LINE_AA)
    return x + cv2.getTextSize(text, *look, 1)[0][0]


def _titled(panel: UInt8Image, title: str) -> UInt8Image:
    strip = np.full((STRIP, panel.shape[1], 3), 255, np.uint8)
    _written(strip, title.encode("ascii", "replace").decode()[:70], 6)
    return np.concatenate([strip, panel])
