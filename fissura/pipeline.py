"""The whole way in one place: photograph, network, crack map, cracks, measures; many in a line.

Legend: H, W height and width of the picture; s how many times larger a network with
super-resolution answers, 1 for all others; K maps of one picture.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fissura import enlarged
from fissura.addresses import is_live, public_name
from fissura.config import PredictSettings, applied, build_settings
from fissura.detect import Window
from fissura.engines import Engine, open_engine
from fissura.maps import seen_maps
from fissura.measure import measure_cracks
from fissura.measure.scale import from_mm_per_px, parse_gsd_from
from fissura.overlap import Stages, ahead
from fissura.refine import OWN_THRESHOLDS, clean_mask, refine
from fissura.sequence import OnError, Places, Source, Step, find_sources, refuse, steps
from fissura.types import (
    Detections,
    FloatMap,
    Frame,
    InputError,
    Result,
    Scale,
    SettingError,
    UInt8Image,
)
from fissura.video import is_video
from fissura.weights import ModelCard


@dataclass(frozen=True)
class Prediction(Result):
    """A Result that can draw itself, save itself and turn into plain values."""

    def plot(self) -> UInt8Image:
        """The picture with every crack outlined and labelled, H×W×3 or sH×sW×3 RGB."""
        from fissura.report import draw

        return draw(self)

    def save(
        self,
        out_dir: str | Path,
        formats: Sequence[str] | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the reports named in `formats` (None: the usual) and return the folder."""
        from fissura.report import open_writers

        boxes, timed = self.detections is not None, self.time_s is not None
        formats = formats or usual_formats(self.enlarged is not None, boxes, timed)
        with open_writers(formats, Path(out_dir), overwrite) as write:
            write(self)
        return Path(out_dir)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, as `results.json` has it."""
        from fissura.report import result_to_dict

        return result_to_dict(self)


def usual_formats(enlarges: bool, boxes: bool, video: bool) -> tuple[str, ...]:
    """What is written where nobody asks for anything else."""
    if video:
        return ("video", "jsonl", "csv", *(["coco"] if boxes else []))
    if boxes:
        return ("json", "csv", "coco", "overlay", "html")
    return ("json", "csv", "overlay", "masks", "html", *(["enlarged"] if enlarges else []))


def formats_for(card: ModelCard, sources: Sequence[str | Path]) -> tuple[str, ...]:
    """The usual formats for a run of this model over these sources."""
    video = any(is_video(source) for source in sources)
    several = card.frames > 1 and len(sources) > 1
    return usual_formats(card.output_scale > 1, bool(card.classes), video or several)


def detect_clip(
    images: Sequence[UInt8Image], engine: Engine, settings: PredictSettings
) -> Detections:
    """Boxes on the last of the images, oldest first, H×W×3 each.

    Fewer than the network's T are completed by repeating the first, as at the start of a sequence.
    """
    window = Window(engine.card)
    for image in images[-engine.card.frames :]:
        window.push(image)
    return window.detect(engine, settings)


def find_scale(settings: PredictSettings, size_hw: tuple[int, int]) -> Scale | None:
    """Millimetres per pixel as the settings give them, or None."""
    if settings.mm_per_px is not None:
        return from_mm_per_px(settings.mm_per_px)
    if settings.gsd_from is not None:
        return parse_gsd_from(settings.gsd_from, size_hw)
    return None


def resolve(settings: PredictSettings, engine: Engine) -> PredictSettings:
    """The settings with the model's own values in place of None."""
    threshold = OWN_THRESHOLDS.get(settings.refine, engine.card.threshold)
    times = engine.card.output_scale
    if settings.scale not in (None, times):
        does = f"enlarges ×{times}" if times > 1 else "does not enlarge"
        raise InputError(
            f"scale {settings.scale}: {engine.card.name} {does}; give --scale {times} or leave it"
            " out, or choose another model"
        )
    if engine.card.classes and settings.refine != "none":
        raise InputError(
            f"refine {settings.refine}: {engine.card.name} finds boxes and has no crack map to"
            " refine; leave it out"
        )
    boxes = {"nms_iou": settings.nms_iou or engine.card.nms_iou} if engine.card.classes else {}
    own = boxes | {
        "engine": engine.name,
        "scale": times,
        "threshold": settings.threshold or threshold,
        "input_scale": settings.input_scale or engine.card.input_scale,
    }
    return build_settings(PredictSettings, settings.model_dump() | own, engine.card.name)


@dataclass(frozen=True)
class Seen:
    """What the network says of a frame, still to be cleaned and measured; or boxes.

    `maps` K×sH×sW, crack probability first; `picture` sH×sW×3, the frame's own where s is 1.
    """

    frame: Frame
    maps: FloatMap | None = None
    picture: UInt8Image | None = None
    detections: Detections | None = None


def predict_frame(frame: Frame, engine: Engine, settings: PredictSettings) -> Prediction:
    """Find, clean and measure the cracks of one picture; a detector finds their boxes."""
    settings = resolve(settings, engine)
    return conclude(look(frame, engine, settings), engine, settings)


def look(frame: Frame, engine: Engine, settings: PredictSettings) -> Seen:
    """The network's part of `predict_frame`; settings are resolved."""
    if engine.card.classes:
        return Seen(frame, detections=detect_clip([frame.image], engine, settings))
    return Seen(frame, *seen_maps(frame.image, engine, settings))


def conclude(seen: Seen, engine: Engine, settings: PredictSettings) -> Prediction:
    """The rest of `predict_frame`: refine, clean, measure."""
    frame, picture = seen.frame, seen.picture
    if seen.maps is None or picture is None:
        return _record(frame, engine, settings, detections=seen.detections)
    assert settings.threshold is not None
    times = engine.card.output_scale
    probability = refine(seen.maps[0], picture, settings, *seen.maps[1:])
    mask = clean_mask(
        probability,
        settings.threshold,
        settings.low_threshold,
        settings.min_area_px * times**2,
        settings.max_hole_px * times**2,
    )
    # From here on all is in the original's pixels: that photograph is what can be measured.
    mask = enlarged.shrink_mask(mask, frame.size_hw)
    probability = enlarged.shrink_map(probability, frame.size_hw)
    scale = find_scale(settings, frame.size_hw)
    cracks = measure_cracks(mask, probability, frame.image, scale, settings.blur_px)
    return _record(
        frame,
        engine,
        settings,
        cracks=cracks,
        enlarged=picture if times > 1 else None,
        crack_map=probability,
        mask=mask,
    )


def _record(frame: Frame, engine: Engine, settings: PredictSettings, **found: Any) -> Prediction:
    """What was found in a picture, with where it comes from."""
    return Prediction(
        source=frame.source,
        size_hw=frame.size_hw,
        model=engine.card.title,
        weights_sha256=engine.card.weights_sha256,
        settings=applied(settings, bool(engine.card.classes)),
        frame_index=frame.index,
        time_s=frame.time_s,
        gps=frame.gps,
        scale=find_scale(settings, frame.size_hw),
        notes=frame.notes,
        sequence=frame.sequence,
        fps=frame.fps,
        image=frame.image,
        **found,
    )


class Watch:
    """Looks at step after step; a detector of several frames remembers those of its sequence.

    `are_frames` says that pictures are a sequence whatever the network.
    """

    def __init__(self, engine: Engine, settings: PredictSettings, are_frames: bool = False) -> None:
        self._engine, self._settings = engine, settings
        self._window = Window(engine.card) if engine.card.classes else None
        self._places = Places(are_frames or engine.card.frames > 1, settings.fps)
        self._sequence: object = None

    def see(self, step: Step) -> Seen:
        """What the network says of the newest frame of the step."""
        newest = self._places.place(step)
        if self._window is None:
            return look(newest, self._engine, self._settings)
        if step.sequence != self._sequence:
            self._window.clear()
            self._sequence = step.sequence
        for frame in step.frames[-self._engine.card.frames :]:
            self._window.push(frame.image)
        return Seen(newest, detections=self._window.detect(self._engine, self._settings))


AHEAD_ITEMS, AHEAD_PIXELS = 2, 20_000_000
"""Between two stages wait so many pictures at most, and none beside one of so many pixels."""


class Item(NamedTuple):
    """What a stage hands to the next, or the fault that it met; `number` and `name` of a source."""

    number: int
    name: str
    value: Step | Seen | Prediction | InputError

    @property
    def pixels(self) -> int:
        """How large the picture is, roughly."""
        if isinstance(self.value, Step):
            return sum(frame.image.size for frame in self.value.frames) // 3
        if isinstance(self.value, Seen):
            picture = self.value.picture
            return (self.value.frame.image if picture is None else picture).size // 3
        return 0


Items = Generator[Item, None, None]


class Line:
    """The stages that every source passes through, and what each of them costs.

    With `overlaps` reading and the network work ahead in threads of their own; a fault takes its
    place among the results either way, and ends its source.
    """

    def __init__(
        self, engine: Engine, settings: PredictSettings, stages: Stages, overlaps: bool
    ) -> None:
        self._engine, self._settings = engine, settings
        self._stages, self._overlaps = stages, overlaps
        self._ended: set[int] = set()

    def items(self, sources: Iterable[Source | Item]) -> Items:
        """Predictions and faults in the order of the sources."""
        watch = Watch(self._engine, self._settings)
        seen = self._each("network", watch.see, self._ahead(self._read(sources)))
        return self._each("measure", self._conclude, self._ahead(seen))

    def _conclude(self, seen: Seen) -> Prediction:
        return conclude(seen, self._engine, self._settings)

    def _ahead(self, items: Items) -> Items:
        if not self._overlaps:
            return items
        return ahead(items, lambda item: item.pixels, AHEAD_PIXELS, AHEAD_ITEMS)

    def _read(self, sources: Iterable[Source | Item]) -> Items:
        for number, source in enumerate(sources):
            if isinstance(source, Item):
                yield source._replace(number=number)
            else:
                yield from self._steps(number, source)

    def _steps(self, number: int, source: Source) -> Items:
        name = _name(source)
        found = steps(source, self._settings.max_pixels, self._engine.card.frames)
        try:
            for step in self._stages.each("read", found):
                yield Item(number, name, step)
                del step  # or two frames would be in memory while the next is worked on
                if number in self._ended:
                    return
        except InputError as error:
            yield Item(number, name, error)

    def _each(self, stage: str, work: Callable[[Any], Any], items: Items) -> Items:
        ended = -1
        with closing(items):
            for item in items:
                if item.number == ended:
                    continue
                made = item._replace(value=self._try(stage, work, item.value))
                if isinstance(made.value, InputError):
                    ended = item.number
                    self._ended.add(ended)
                del item
                yield made
                del made

    def _try(self, stage: str, work: Callable[[Any], Any], value: Any) -> Any:
        if isinstance(value, InputError):
            return value
        try:
            with self._stages.timing(stage):
                return work(value)
        except SettingError:
            raise  # every other picture would fail alike
        except InputError as error:
            return error


def _name(source: Source) -> str:
    if isinstance(source, str | Path):
        return public_name(source)
    return source.source if isinstance(source, Frame) else "array"


class Predictor:
    """A network ready to predict; make one with `fissura.load`."""

    def __init__(self, engine: Engine, settings: PredictSettings) -> None:
        find_scale(settings, (1, 1))
        self.engine = engine
        self.settings = resolve(settings, engine)

    def predict(
        self,
        source: Source | Iterable[Source],
        recursive: bool = False,
        on_error: OnError = refuse,
        stages: Stages | None = None,
    ) -> Iterator[Prediction]:
        """Results, one at a time, of an array, a Frame, a file, a glob, a folder or a list of them.

        A video gives one per frame, and so do `camera:0` and the address of a stream. A picture
        that cannot be read raises InputError, or goes to `on_error(source, error)`. The next
        pictures of files are read and seen meanwhile; `stages` learns how long each stage worked.
        """
        parts = [source] if isinstance(source, str | Path | Frame | np.ndarray) else source
        line = Line(self.engine, self.settings, stages or Stages(), _waits(parts))
        with closing(line.items(_expand(parts, recursive))) as items:
            for item in items:
                if isinstance(item.value, InputError):
                    on_error(item.name, item.value)
                elif isinstance(item.value, Prediction):
                    yield item.value
                del item  # or two pictures would be in memory while the next is worked on


def _waits(parts: Iterable[Source]) -> bool:
    """Whether all sources are files, which may be read before they are asked for."""
    known = isinstance(parts, list | tuple)
    return known and all(isinstance(part, str | Path) and not is_live(part) for part in parts)


def _expand(parts: Iterable[Source], recursive: bool) -> Iterator[Source | Item]:
    for part in parts:
        yield from _found(part, recursive) if isinstance(part, str | Path) else [part]


def _found(source: str | Path, recursive: bool) -> list[Source | Item]:
    """The files behind a source, after its faults."""
    faults: list[Source | Item] = []
    files = find_sources([source], recursive, lambda *fault: faults.append(Item(0, *fault)))
    return faults + list(files)


def load(model: str | Path = "cgnet", **settings: Any) -> Predictor:
    """A Predictor for a shipped model's name or an exported file; settings as PredictSettings."""
    values = {"model": str(model), **settings}
    checked = build_settings(PredictSettings, values, "fissura.load")
    engine = open_engine(checked.model, checked.engine, checked.precision, checked.threads)
    return Predictor(engine, checked)
