"""cracks.csv, or detections.csv, with one row a crack or box; images.csv with one row a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fissura.report.parts.boxes import box_entries
from fissura.report.parts.words import plain, rank, readable, total
from fissura.types import Crack, Detections, Measures, Result

QUANTITIES = ("length", "width_mean", "width_median", "width_max", "area")
CRACK_COLUMNS = (
    *("source", "frame_index", "time_s", "crack_id", "type"),
    *("left_px", "top_px", "right_px", "bottom_px", "orientation_deg", "branches", "junctions"),
    *("probability", "max_width_x_px", "max_width_y_px", "mm_per_px"),
    *(
        f"{name}{part}_{unit}{'2' * (name == 'area')}"
        for unit in ("px", "mm")
        for name in QUANTITIES
        for part in ("", "_low", "_high")
    ),
)
DETECTION_COLUMNS = (
    *("source", "frame_index", "time_s", "detection_id", "label", "score"),
    *("left_px", "top_px", "right_px", "bottom_px"),
)
IMAGE_COLUMNS = (
    *("source", "frame_index", "time_s", "width_px", "height_px", "cracks", "detections"),
    *("total_length_px", "max_width_px", "mm_per_px", "total_length_mm", "max_width_mm"),
    *("latitude_deg", "longitude_deg", "model", "notes"),
)


class CsvWriter:
    """Appends row by row; the model's classes or the results say which tables there are."""

    def __init__(self, out_dir: Path, classes: Sequence[str] | None = None) -> None:
        self._folder, self._classes = out_dir, classes
        self._open = ExitStack()
        self._tables: dict[str, csv.DictWriter[str]] = {}

    def __enter__(self) -> CsvWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._images = self._table("images.csv", IMAGE_COLUMNS)
        return self

    def _table(self, name: str, columns: tuple[str, ...]) -> csv.DictWriter[str]:
        if name not in self._tables:
            file = (self._folder / name).open("w", encoding="utf-8", newline="", buffering=1)
            self._tables[name] = csv.DictWriter(self._open.enter_context(file), columns, restval="")
            self._tables[name].writeheader()
        return self._tables[name]

    def _expected(self) -> None:
        """The table of a run that found nothing at all."""
        if self._classes:
            self._table("detections.csv", DETECTION_COLUMNS)
        else:
            self._table("cracks.csv", CRACK_COLUMNS)

    def write(self, result: Result) -> None:
        """Append one picture and what was found on it."""
        if result.detections is None:
            rows = [_crack_row(crack) for crack in result.cracks]
            table = self._table("cracks.csv", CRACK_COLUMNS)
        else:
            rows = _detection_rows(result.detections)
            table = self._table("detections.csv", DETECTION_COLUMNS)
        place = _place(result)
        for row in rows:
            table.writerow(_cells({name: place.get(name) for name in table.fieldnames} | row))
        self._images.writerow(_cells({**place, **_image_row(result)}))

    def __exit__(self, *error: object) -> None:
        if len(self._tables) == 1:
            self._expected()
        self._open.close()


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Any:
    # A spreadsheet runs text that begins like a formula; a leading apostrophe keeps it text.
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else readable(value)
    return "" if value is None else plain(value)


def _place(result: Result) -> dict[str, Any]:
    return {
        "source": result.source,
        "frame_index": result.frame_index,
        "time_s": result.time_s,
        "mm_per_px": result.scale.mm_per_px if result.scale else None,
    }


def _crack_row(crack: Crack) -> dict[str, Any]:
    left, top, right, bottom = crack.box
    x, y = crack.max_width_at_xy
    return {
        **{"crack_id": crack.id, "type": crack.type, "probability": crack.probability},
        **{"left_px": left, "top_px": top, "right_px": right, "bottom_px": bottom},
        **{"orientation_deg": crack.orientation_deg, "branches": crack.branches},
        **{"junctions": crack.junctions, "max_width_x_px": x, "max_width_y_px": y},
        **_measures(crack.px, "px"),
        **(_measures(crack.mm, "mm") if crack.mm else {}),
    }


def _detection_rows(detections: Detections) -> list[dict[str, Any]]:
    edges = ("left_px", "top_px", "right_px", "bottom_px")
    return [
        {
            **{"detection_id": number, "label": entry["label"], "score": entry["score"]},
            **dict(zip(edges, entry["box"], strict=True)),
        }
        for number, entry in enumerate(box_entries(detections), 1)
    ]


def _measures(measures: Measures, unit: str) -> dict[str, Any]:
    row = {}
    for name in QUANTITIES:
        measured, power = getattr(measures, name), "2" if name == "area" else ""
        row[f"{name}_{unit}{power}"] = measured.value
        row[f"{name}_low_{unit}{power}"] = measured.low
        row[f"{name}_high_{unit}{power}"] = measured.high
    return row


def _image_row(result: Result) -> dict[str, Any]:
    latitude, longitude = result.gps or (None, None)
    row = {
        **{"width_px": result.size_hw[1], "height_px": result.size_hw[0]},
        **{"cracks": len(result.cracks), "latitude_deg": latitude, "longitude_deg": longitude},
        **{"model": result.model, "notes": "; ".join(result.notes)},
    }
    if result.detections is not None:
        row |= {"detections": len(result.detections.labels), "cracks": None}
    for unit in ("px", "mm"):
        known = [measures for crack in result.cracks if (measures := getattr(crack, unit))]
        if known:
            widest = max((measures.width_max for measures in known), key=rank)
            row[f"total_length_{unit}"] = total(measures.length for measures in known)
            row[f"max_width_{unit}"] = widest.value
    return row
