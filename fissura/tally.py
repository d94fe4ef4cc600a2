"""What a run of `fissura predict` found, counted as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fissura.types import Quantity, Result


class Tally:
    """What a run found: pictures, cracks, the longest and the widest; `boxes` of a detector."""

    def __init__(self) -> None:
        self.pictures = self.frames = self.cracks = 0
        self.boxes: int | None = None
        self._extremes: dict[str, dict[str, Any]] = {}

    def add(self, result: Result) -> None:
        """Count one picture."""
        self.pictures += 1
        self.frames += result.time_s is not None
        self.cracks += len(result.cracks)
        if result.detections is not None:
            self.boxes = (self.boxes or 0) + len(result.detections.labels)
        for crack in result.cracks:
            measures = crack.mm or crack.px
            self._keep("longest", measures.length, result.source)
            self._keep("widest", measures.width_max, result.source)

    def _keep(self, name: str, quantity: Quantity, source: str) -> None:
        best = self._extremes.get(name)
        if quantity.value is not None and (best is None or quantity.value > best["value"]):
            found = {"value": quantity.value, "unit": quantity.unit, "source": source}
            self._extremes[name] = found

    def to_dict(self) -> dict[str, Any]:
        """The counts, and the extremes with their picture."""
        extremes = {name: self._extremes.get(name) for name in ("longest", "widest")}
        boxes = {} if self.boxes is None else {"boxes": self.boxes}
        return {"pictures": self.pictures, "cracks": self.cracks, **boxes, **extremes}

    def lines(self) -> dict[str, str]:
        """The same for people."""
        from fissura.sources import shown  # imports much, and `fissura --help` must answer at once

        told = {
            name: f"{readable(found['value'])} {found['unit']} ({shown(found['source'])})"
            for name, found in self._extremes.items()
        }
        found = {"cracks": self.cracks} if self.boxes is None else {"boxes": self.boxes}
        pictures = self.pictures - self.frames
        seen = {"frames": self.frames} if self.frames else {}
        seen |= {"pictures": pictures} if pictures or not seen else {}
        return {**{k: str(n) for k, n in (seen | found).items()}, **told}


def readable(value: float) -> str:
    """Three figures, without an exponent: 0.123, 12.3, 12345."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
