"""Results made by hand for the tests of reports."""

from __future__ import annotations

import numpy as np

from fissura.types import BoolMask, Crack, Detections, Measures, Quantity, Result, Scale

ODD_SOURCES = (
    "a/x.jpg",
    "b/x.jpg",
    "b/X.JPG",
    "x.png",
    "=HYPERLINK(1).jpg",
    "<script>alert(1)</script>.jpg",
    'quo"te, comma\nand line.tif',
    "../../etc/passwd",
    "C:\\pictures\\con.bmp",
    "rtsp://camera/1?stream=a&b=c",
    "tür – 亀裂 🧱.webp",
    "undecodable \udcff.jpg",
    "{{ 7 * 7 }}{% raw %}.jpg",
    "%s%n.jpg",
    "." * 8,
    "x" * 400 + ".jpg",
    "",
)


def measures(length: float, width: float | None, unit: str) -> Measures:
    """Measures with plausible intervals; width None stands for a hairline."""
    along = Quantity(length, 0.98 * length, 1.02 * length, unit)
    across = Quantity(width, 0.0 if width is None else 0.9 * width, 1.1 * (width or 1.2), unit)
    area = Quantity(length * (width or 1), 0, 2 * length * (width or 1), f"{unit}²")
    return Measures(along, across, across, across, area)


def make_crack(
    mask: BoolMask, number: int = 1, mm_per_px: float | None = None, hairline: bool = False
) -> Crack:
    """A horizontal crack out of its pixels, measured by its box."""
    rows, columns = np.nonzero(mask)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    length, width = float(right - left), None if hairline else float(bottom - top)
    middle = (float(left + right) / 2, float(top + bottom) / 2)
    line = np.array([(left, middle[1]), (right, middle[1])], np.float32)
    mm = None
    if mm_per_px:
        mm = measures(length * mm_per_px, None if width is None else width * mm_per_px, "mm")
    return Crack(
        id=number,
        box=(int(left), int(top), int(right), int(bottom)),
        type=("longitudinal", "transverse", "diagonal", "branched")[number % 4],
        orientation_deg=0.0,
        branches=1,
        junctions=0,
        probability=0.875,
        max_width_at_xy=middle,
        px=measures(length, width, "px"),
        mm=mm,
        region=mask[top:bottom, left:right],
        centrelines=(line,),
    )


def make_result(
    source: str = "bridge/pier 3.jpg",
    cracks: int = 2,
    mm_per_px: float | None = None,
    gps: tuple[float, float] | None = None,
    hairline: bool = False,
) -> Result:
    """A grey picture with horizontal bars as cracks."""
    size_hw = (120, 160)
    mask, found = np.zeros(size_hw, bool), []
    for i in range(cracks):
        bar = np.zeros(size_hw, bool)
        bar[20 + 30 * i : 20 + 30 * i + 3 + i, 10 : 150 - 20 * i] = True
        found.append(make_crack(bar, i + 1, mm_per_px, hairline))
        mask |= bar
    image = np.where(mask[..., None], 60, 170).repeat(3, axis=2).astype(np.uint8)
    return Result(
        source=source,
        size_hw=size_hw,
        model="cgnet",
        weights_sha256="0" * 64,
        settings={"threshold": 0.5, "tile": None},
        cracks=tuple(found),
        gps=gps,
        scale=Scale(mm_per_px, 0.02, "given") if mm_per_px else None,
        image=image,
        enlarged=image.repeat(2, 0).repeat(2, 1),
        crack_map=np.where(mask, np.float32(0.875), np.float32(0.01)),
        mask=mask,
    )


def make_boxes(
    source: str, count: int, frame: int = 0, time_s: float | None = None, label: str = "crack"
) -> Result:
    """A grey picture with boxes, some of which reach over its edges."""
    rng = np.random.default_rng(count)
    corners = rng.uniform(-20, 140, (count, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + rng.uniform(0, 80, (count, 2))], axis=1)
    scores = np.sort(rng.uniform(0.5, 1, count).astype(np.float32))[::-1]
    return Result(
        source=source,
        size_hw=(120, 160),
        model="yolox_s",
        weights_sha256="0" * 64,
        settings={"threshold": 0.5},
        detections=Detections(boxes.astype(np.float32), scores, (label,) * count),
        frame_index=frame,
        time_s=time_s,
        image=np.full((120, 160, 3), 128, np.uint8),
    )
