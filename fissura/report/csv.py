"""cracks.csv with one row a crack, images.csv with one row a picture."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fissura.report.parts.words import plain, rank, readable, total
from fissura.types import Crack, Measures, Result

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
IMAGE_COLUMNS = (
    *("source", "frame_index", "time_s", "width_px", "height_px", "cracks"),
    *("total_length_px", "max_width_px", "mm_per_px", "total_length_mm", "max_width_mm"),
    *("latitude_deg", "longitude_deg", "model", "notes"),
)


class CsvWriter:
    """Appends to cracks.csv and images.csv, each row whole when it is written."""

    def __init__(self, out_dir: Path) -> None:
        self._folder = out_dir
        self._open = ExitStack()

    def __enter__(self) -> CsvWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._cracks = self._table("cracks.csv", CRACK_COLUMNS)
        self._images = self._table("images.csv", IMAGE_COLUMNS)
        return self

    def _table(self, name: str, columns: tuple[str, ...]) -> csv.DictWriter[str]:
        file = (self._folder / name).open("w", encoding="utf-8", newline="", buffering=1)
        table = csv.DictWriter(self._open.enter_context(file), columns, restval="")
        table.writeheader()
        return table

    def write(self, result: Result) -> None:
        """Append one picture and its cracks."""
        for crack in result.cracks:
            self._cracks.writerow(_cells({**_place(result), **_crack_row(crack)}))
        self._images.writerow(_cells({**_place(result), **_image_row(result)}))

    def __exit__(self, *error: object) -> None:
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
    for unit in ("px", "mm"):
        known = [measures for crack in result.cracks if (measures := getattr(crack, unit))]
        if known:
            widest = max((measures.width_max for measures in known), key=rank)
            row[f"total_length_{unit}"] = total(measures.length for measures in known)
            row[f"max_width_{unit}"] = widest.value
    return row
