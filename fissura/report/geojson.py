"""cracks.geojson: a point per picture whose EXIF holds a position, with its cracks' figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fissura.report.parts.boxes import box_entries
from fissura.report.parts.files import JsonList
from fissura.report.parts.words import best, plain, rank, readable, total
from fissura.types import Crack, Result


class GeoJsonWriter:
    """Appends to cracks.geojson and counts the pictures without a position."""

    def __init__(self, out_dir: Path) -> None:
        self._path = out_dir / "cracks.geojson"
        self._placed = self._unplaced = 0

    def __enter__(self) -> GeoJsonWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        head = '{"type":"FeatureCollection","features":['
        self._list = JsonList(self._path, head, self._tail)
        return self

    def _tail(self) -> str:
        counts = {
            "position": "where the camera stood, not where the crack lies",
            "pictures_with_position": self._placed,
            "pictures_without_position": self._unplaced,
        }
        return f'\n],"properties":{json.dumps(counts)}}}\n'

    def write(self, result: Result) -> None:
        """Append one picture, or count it where it has no position."""
        if result.gps is None:
            self._unplaced += 1
            return
        self._placed += 1
        latitude, longitude = result.gps
        point = {"type": "Point", "coordinates": plain([longitude, latitude])}
        feature = {"type": "Feature", "geometry": point, "properties": _properties(result)}
        self._list.append(feature)

    def __exit__(self, *error: object) -> None:
        self._list.close()


def _properties(result: Result) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "source": readable(result.source),
        "crack_count": len(result.cracks),
        "cracks": [_crack(crack) for crack in result.cracks],
    }
    if result.detections is not None:
        properties["detections"] = box_entries(result.detections)
    if result.cracks:
        unit = "mm" if result.cracks[0].mm else "px"
        widest = max((best(crack).width_max for crack in result.cracks), key=rank)
        properties[f"total_length_{unit}"] = plain(total(best(c).length for c in result.cracks))
        properties[f"width_max_{unit}"] = plain(widest.value)
    return properties


def _crack(crack: Crack) -> dict[str, Any]:
    measures, unit = best(crack), "mm" if crack.mm else "px"
    figures = {
        **{"id": crack.id, "type": crack.type, "orientation_deg": crack.orientation_deg},
        f"length_{unit}": measures.length.value,
        f"width_mean_{unit}": measures.width_mean.value,
        f"width_max_{unit}": measures.width_max.value,
        f"width_max_high_{unit}": measures.width_max.high,
        "probability": crack.probability,
    }
    row: dict[str, Any] = plain(figures)
    return row
