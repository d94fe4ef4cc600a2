"""What a detector found, as plain values and drawn."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from fissura.report.parts import plates
from fissura.report.parts.plates import Box, Colour
from fissura.report.parts.words import readable
from fissura.types import Detections, UInt8Image

MAX_LABELS = 24
"""Only so many of the surest boxes get a label."""

CRACK_COLOUR: Colour = (255, 176, 46)


def box_entries(detections: Detections) -> list[dict[str, Any]]:
    """Per box: its edges left, top, right, bottom in pixels, its score and its class."""
    parts = zip(
        detections.boxes.tolist(), detections.scores.tolist(), detections.labels, strict=True
    )
    return [
        {
            "box": [round(edge, 3) for edge in box],
            "score": round(score, 6),
            "label": readable(label),
        }
        for box, score, label in parts
    ]


def label_colour(label: str) -> Colour:
    """The same for a class in every picture; classes other than crack may share one."""
    colours = [colour for colour in plates.TYPE_COLOURS.values() if colour != CRACK_COLOUR]
    other = colours[zlib.crc32(readable(label).encode()) % len(colours)]
    return CRACK_COLOUR if label == "crack" else other


def draw_boxes(canvas: UInt8Image, detections: Detections, zoom: float, letter: int) -> None:
    """Draw every box, clipped to the picture, and label the surest, best on top."""
    height, width = canvas.shape[:2]
    most_xy = np.array([width - 1, height - 1] * 2)
    edges = np.clip(np.rint(detections.boxes * zoom), 0, most_xy).astype(np.int32)
    order = np.argsort(detections.scores, kind="stable")
    labelled = set(order[-MAX_LABELS:].tolist())
    for i in order.tolist():
        left, top, right, bottom = edges[i].tolist()
        colour = label_colour(detections.labels[i])
        ring = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.int32)
        plates.strokes(canvas, [ring], colour, plates.line_width(letter), closed=True)
        if i in labelled:
            text = f"{readable(detections.labels[i])} {detections.scores[i]:.2f}"
            place = _label_place((left, top, bottom), text, letter, (width, height))
            if place:
                plates.write(canvas, text, place, letter, colour)


def _label_place(
    edges: tuple[int, int, int], text: str, letter: int, size_wh: tuple[int, int]
) -> Box | None:
    """Above the box where there is room, else below it or inside; None in too small a picture."""
    left, top, bottom = edges
    width, height = plates.plate_size(text, letter)
    if width > size_wh[0] or height > size_wh[1]:
        return None
    gap = plates.line_width(letter)
    above, below = top - height - gap, bottom + gap
    y = above if above >= 0 else below if below + height <= size_wh[1] else top
    x, y = min(left, size_wh[0] - width), min(y, size_wh[1] - height)
    return x, y, x + width, y + height
