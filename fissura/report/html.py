"""report.html: one self-contained page that a person can read, sort, filter, print and send."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Self

from fissura.report.parts.annotate import draw_close_up, draw_result, resized
from fissura.report.parts.boxes import box_entries
from fissura.report.parts.files import encode, needed
from fissura.report.parts.plates import TYPE_COLOURS
from fissura.report.parts.words import (
    TYPE_WORDS,
    amount,
    best,
    bound,
    interval,
    quantity,
    rank,
    readable,
)
from fissura.types import Crack, Measures, Quantity, Result, UInt8Image

if TYPE_CHECKING:
    from jinja2 import Environment

THUMBNAIL_SIDE = 760
LETTER = 17
CLEAR_SIDE = 240
MAX_CLOSE_UPS = 12
EVERY_S = 1.0
SECTIONS = ("rows", "cards", "clear")


@dataclass
class Summary:
    """What the head of the page says about all pictures; `boxes` None unless a detector ran."""

    pictures: int = 0
    cracks: int = 0
    boxes: int | None = None
    labels: Counter[str] = field(default_factory=Counter)
    surest: dict[str, Any] | None = None
    passed_over: int = 0
    types: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, float] = field(default_factory=dict)
    widest: dict[str, dict[str, Any]] = field(default_factory=dict)
    clear: int = 0
    models: dict[str, None] = field(default_factory=dict)

    def add(self, result: Result, card: dict[str, Any]) -> None:
        """Count one picture."""
        self.pictures += 1
        self.clear += not (card["cracks"] or card["boxes"])
        self.cracks += len(result.cracks)
        if result.detections is not None:
            self._add_boxes(card)
        if len(self.models) < 5:
            self.models[f"{result.model} ({result.weights_sha256[:12]})"] = None
        for crack in result.cracks:
            width, length = best(crack).width_max, best(crack).length
            self.types[crack.type] += 1
            self.lengths[length.unit] = self.lengths.get(length.unit, 0.0) + (length.value or 0.0)
            known = self.widest.get(width.unit)
            if known is None or rank(width) > rank(known["width"]):
                place = {"anchor": card["anchor"], "name": card["name"], "id": crack.id}
                self.widest[width.unit] = {"width": width, **place}

    def _add_boxes(self, card: dict[str, Any]) -> None:
        self.boxes = (self.boxes or 0) + len(card["boxes"])
        self.labels.update(entry["label"] for entry in card["boxes"])
        best_score = self.surest["score"] if self.surest else 0.0
        for entry in card["boxes"][:1]:
            if entry["score"] > best_score:
                place = {"anchor": card["anchor"], "name": card["name"]}
                self.surest = {"score": entry["score"], **place}

    @property
    def headline(self) -> str:
        """What was found in how many pictures."""
        noun, found = ("crack", self.cracks) if self.boxes is None else ("box", self.boxes)
        pictures = f"{self.pictures:,} picture{'s' * (self.pictures != 1)}"
        if not self.pictures:
            return "No picture was processed"
        if not found:
            return f"No {noun} found in {pictures}"
        plural = {"crack": "cracks", "box": "boxes"}[noun]
        shown = self.pictures - self.clear
        return f"{found:,} {noun if found == 1 else plural} in {shown:,} of {pictures}"


class HtmlWriter:
    """Spools table rows and picture cards to disk, then writes report.html around them."""

    def __init__(self, out_dir: Path) -> None:
        self._path = out_dir / "report.html"
        self._summary = Summary()
        self._last = ("", 0.0)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._page = _environment()
        self._open = ExitStack()
        self._spools: dict[str, IO[str]] = {
            name: self._open.enter_context(TemporaryFile("w+", encoding="utf-8"))  # noqa: SIM115
            for name in SECTIONS
        }
        return self

    def write(self, result: Result) -> None:
        """Add one picture and what was found on it; of a video, one frame a second."""
        source, time_s = self._last
        if result.time_s is not None:
            if source == result.source and time_s <= result.time_s < time_s + EVERY_S:
                self._summary.passed_over += 1
                return
            self._last = result.source, result.time_s
        card = _card(result, self._summary.pictures + 1)
        macros: Any = self._page.get_template("page_rows.html").module
        if card["boxes"]:
            self._spools["cards"].write(str(macros.box_card(card)))
            rows = [str(macros.box_row(card, entry)) for entry in card["boxes"]]
            self._spools["rows"].write("".join(rows))
        elif result.cracks:
            self._spools["cards"].write(str(macros.card(card)))
            self._spools["rows"].write("".join(str(macros.row(card, c)) for c in card["cracks"]))
        else:
            self._spools["clear"].write(str(macros.clear(card)))
        self._summary.add(result, card)

    def __exit__(self, *error: object) -> None:
        part = self._path.with_name("report.html.part")
        words = {"types": TYPE_WORDS, "colours": TYPE_COLOURS, "max_close_ups": MAX_CLOSE_UPS}
        now = datetime.now().astimezone()
        made = f"{now.day} {now:%B %Y, %H:%M}"
        pieces = {name: _pieces(spool) for name, spool in self._spools.items()}
        template = self._page.get_template("page.html")
        stream = template.stream(all=self._summary, made=made, **words, **pieces)
        stream.enable_buffering(64)
        with self._open, part.open("w", encoding="utf-8") as file:
            file.writelines(stream)
        part.replace(self._path)


def _pieces(spool: IO[str]) -> Iterator[str]:
    spool.seek(0)
    while piece := spool.read(1 << 16):
        yield piece


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update(quantity=quantity, interval=interval, amount=amount)
    return page


def _card(result: Result, number: int) -> dict[str, Any]:
    source = readable(result.source)
    path = PurePosixPath(source.replace("\\", "/"))
    frame = "" if result.time_s is None else f" at {result.time_s:.2f} s"
    longest = sorted(result.cracks, key=lambda crack: -bound(crack.px.length))
    shown = {crack.id for crack in longest[:MAX_CLOSE_UPS]}
    anchor = f"p{number}"
    return {
        **{"anchor": anchor, "name": (path.name or source) + frame, "source": source},
        **{"size_wh": result.size_hw[::-1], "scale": result.scale, "gps": result.gps},
        "notes": [readable(note) for note in result.notes],
        "thumbnail": _thumbnail(result),
        "cracks": [_entry(result, crack, anchor, crack.id in shown) for crack in result.cracks],
        "boxes": box_entries(result.detections) if result.detections is not None else [],
    }


def _thumbnail(result: Result) -> str:
    found = result.cracks or (result.detections is not None and result.detections.labels)
    if found:
        return _data_url(draw_result(result, THUMBNAIL_SIDE, max_zoom=2, letter=LETTER), 72)
    picture: UInt8Image = needed(result, "image", "html")
    return _data_url(resized(picture, min(1.0, CLEAR_SIDE / max(result.size_hw))), 72)


def _entry(result: Result, crack: Crack, anchor: str, close_up: bool) -> dict[str, Any]:
    measures = best(crack)
    return {
        **{
            "crack": crack,
            "measures": measures,
            "anchor": f"{anchor}c{crack.id}" if close_up else anchor,
        },
        "sort": _keys(measures),
        "close_up": _data_url(draw_close_up(result, crack), 76) if close_up else None,
    }


def _keys(measures: Measures) -> dict[str, float]:
    """Numbers to sort by: what is not resolved comes below all that is, and px below mm."""
    names = ("length", "width_mean", "width_max", "area")
    return {name: _key(getattr(measures, name)) for name in names}


def _key(measured: Quantity) -> float:
    offset = 1e12 if measured.unit.startswith("mm") else 0.0
    return offset + (0.0 if measured.value is None else measured.value)


def _data_url(image: UInt8Image, quality: int) -> str:
    return "data:image/jpeg;base64," + b64encode(encode(image, ".jpg", quality)).decode()
