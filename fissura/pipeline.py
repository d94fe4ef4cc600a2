"""The whole way in one place: photograph, tiles, network, crack map, cracks, measures.

Legend: H, W height and width of the picture; h, w of what the network sees, which is the tile
enlarged by the network's input scale; s how many times larger a network with super-resolution
answers, 1 for all others; K maps of one picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fissura import decode, enlarged, windows
from fissura.config import PredictSettings, build_settings
from fissura.detect import Window
from fissura.engines import Engine, open_engine
from fissura.measure import measure_cracks
from fissura.measure.scale import from_mm_per_px, parse_gsd_from
from fissura.refine import OWN_THRESHOLDS, SIDE_GUIDED, clean_mask, refine
from fissura.sequence import OnError, Source, Step, find_sources, refuse, steps
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
from fissura.video import is_video, public_name
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


@contextmanager
def open_writers(
    formats: Sequence[str], out_dir: Path, overwrite: bool = False
) -> Iterator[Callable[[Result], None]]:
    """A function that writes a result in every format; the files are closed on leaving."""
    from fissura.report import WRITERS, prepare_output

    unknown = [name for name in formats if name not in WRITERS]
    if unknown or not formats:
        raise InputError(
            f"formats: no {', '.join(unknown) or 'name'}; choose from {', '.join(WRITERS)}"
        )
    prepare_output(out_dir, overwrite)
    with ExitStack() as stack:
        opened = [stack.enter_context(WRITERS[name](out_dir)) for name in dict.fromkeys(formats)]

        def write(result: Result) -> None:
            for writer in opened:
                writer.write(result)

        yield write


def crack_map(image: UInt8Image, engine: Engine, settings: PredictSettings) -> FloatMap:
    """Probability of crack, H×W: what the network finds, refined as the settings say."""
    probability, _ = enlarged_map(image, engine, settings)
    return enlarged.shrink_map(probability, (image.shape[0], image.shape[1]))


def enlarged_map(
    image: UInt8Image, engine: Engine, settings: PredictSettings
) -> tuple[FloatMap, UInt8Image]:
    """Probability of crack sH×sW, refined, and the picture sH×sW×3; for most networks s is 1."""
    outputs = ("logits", "side1") if settings.refine in SIDE_GUIDED else ("logits",)
    probability, *others = network_maps(image, engine, settings, outputs)
    side1, rgb = others[: len(outputs) - 1], others[len(outputs) - 1 :]
    if rgb:
        image = enlarged.to_picture(np.stack(rgb))
    return refine(probability, image, settings, *side1), image


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


def network_maps(
    image: UInt8Image, engine: Engine, settings: PredictSettings, outputs: Sequence[str]
) -> FloatMap:
    """K×sH×sW maps of K outputs: the picture in tiles, each enlarged to the network's scale.

    A network that enlarges the picture (s above 1) adds three more, red, green and blue. For one
    that standardises a picture by its own statistics a first pass over the tiles finds them.
    """
    card = engine.card
    times = card.output_scale
    factor = settings.input_scale or card.input_scale
    _check_enlarged(image, times, settings.max_pixels)

    def see(tile: UInt8Image) -> UInt8Image:
        h, w = (int(factor * side + 0.5) for side in tile.shape[:2])
        return np.asarray(cv2.resize(tile, (w, h), interpolation=cv2.INTER_LINEAR), np.uint8)

    def draw(tile: UInt8Image) -> FloatMap:
        size_hw = times * tile.shape[0], times * tile.shape[1]
        raw = {"image": engine.draw(see(tile))}
        return enlarged.planes(raw, tile, size_hw, (0, 0, 0), (1, 1, 1))

    def run(tile: UInt8Image) -> FloatMap:
        height, width = tile.shape[:2]
        seen = see(tile)
        h, w = seen.shape[:2]
        raw = engine.run(seen) if whole is None else engine.run_tile(seen, whole)
        if "logits" not in raw:
            raise SettingError(
                f"model: {card.name} gives {', '.join(raw)} and finds no cracks; choose another"
            )
        if not set(outputs) <= set(raw):
            raise SettingError(
                f"refine {settings.refine}: {card.name} gives {', '.join(raw)} but no"
                f" {', '.join(set(outputs) - set(raw))}; choose refine guided or crf"
            )
        size_hw, seen_hw = (times * height, times * width), (times * h, times * w)
        maps = [decode.crack_map(raw, size_hw, seen_hw, output)[None] for output in outputs]
        if times > 1:
            maps.append(enlarged.planes(raw, tile, size_hw, card.mean_rgb, card.std_rgb))
        return np.concatenate(maps) if len(maps) > 1 else maps[0]

    size_hw = image.shape[0], image.shape[1]
    tile, overlap = choose_tile(size_hw, card, settings)
    whole = None
    if max(size_hw) > tile and engine.standardises:
        whole = windows.mean_and_variance(image, draw, tile, overlap, times).astype(np.float32)
    return windows.map_tiles(image, run, tile, overlap, enlarges=times)


def _check_enlarged(image: UInt8Image, times: int, max_pixels: int) -> None:
    pixels = image.shape[0] * image.shape[1] * times**2
    if times > 1 and pixels > max_pixels:
        raise InputError(
            f"max_pixels: enlarged ×{times} the picture has {pixels} pixels, more than"
            f" {max_pixels}; choose a smaller picture or a model that does not enlarge"
        )


def choose_tile(
    size_hw: tuple[int, int], card: ModelCard, settings: PredictSettings
) -> tuple[int, int]:
    """Tile side and overlap in the picture's pixels: as set, or the model's own, or by memory."""
    factor = settings.input_scale or card.input_scale
    tile, overlap = settings.tile, settings.overlap
    if tile is None and card.tile is not None:
        tile = max(int(card.tile / factor), windows.GRIDS[0])
    tile, by_size = windows.automatic_tile(size_hw, tile, overlap, factor)
    if overlap is None and card.overlap is not None:
        return tile, min(math.ceil(card.overlap / factor), tile // 2)
    return tile, by_size


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


def predict_frame(frame: Frame, engine: Engine, settings: PredictSettings) -> Prediction:
    """Find, clean and measure the cracks of one picture; a detector finds their boxes."""
    settings = resolve(settings, engine)
    if engine.card.classes:
        detections = detect_clip([frame.image], engine, settings)
        return _record(frame, engine, settings, detections=detections)
    assert settings.threshold is not None
    times = engine.card.output_scale
    probability, picture = enlarged_map(frame.image, engine, settings)
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
        model=engine.card.name,
        weights_sha256=engine.card.weights_sha256,
        settings=settings.model_dump(),
        frame_index=frame.index,
        time_s=frame.time_s,
        gps=frame.gps,
        scale=find_scale(settings, frame.size_hw),
        notes=frame.notes,
        image=frame.image,
        **found,
    )


class Watch:
    """Predictions step by step; a detector of several frames remembers those of its sequence."""

    def __init__(self, engine: Engine, settings: PredictSettings) -> None:
        self._engine, self._settings = engine, settings
        self._window = Window(engine.card) if engine.card.classes else None
        self._sequence: object = None
        self._count = 0

    def see(self, step: Step) -> Prediction:
        """What the newest frame of the step shows."""
        newest = step.frames[-1]
        if self._window is None:
            return predict_frame(newest, self._engine, self._settings)
        if step.sequence != self._sequence:
            self._window.clear()
            self._sequence, self._count = step.sequence, 0
        for frame in step.frames[-self._engine.card.frames :]:
            self._window.push(frame.image)
        self._count += len(step.frames)
        if newest.time_s is None and self._engine.card.frames > 1:
            newest = replace(newest, index=self._count - 1)
        detections = self._window.detect(self._engine, self._settings)
        return _record(newest, self._engine, self._settings, detections=detections)


def predict(
    sources: Iterable[Source],
    engine: Engine,
    settings: PredictSettings,
    on_error: OnError = refuse,
) -> Iterator[Prediction]:
    """One Prediction per picture or frame, made when asked for; unreadable ones to `on_error`."""
    watch = Watch(engine, resolve(settings, engine))
    for source in sources:
        try:
            for step in steps(source, settings.max_pixels, engine.card.frames):
                yield watch.see(step)
                del step  # or two frames would be in memory while the next is worked on
        except SettingError:
            raise  # every other picture would fail alike
        except InputError as error:
            on_error(_name(source), error)


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
        source: Source | Sequence[Source],
        recursive: bool = False,
        on_error: OnError = refuse,
    ) -> Iterator[Prediction]:
        """Results, one at a time, of an array, a Frame, a file, a glob, a folder or a list of them.

        A video gives one per frame, and so do `camera:0` and the address of a stream. A picture
        that cannot be read raises InputError, or goes to `on_error(source, error)`.
        """
        parts = [source] if isinstance(source, str | Path | Frame | np.ndarray) else source
        return predict(_expand(parts, recursive, on_error), self.engine, self.settings, on_error)


def _expand(parts: Sequence[Source], recursive: bool, on_error: OnError) -> Iterator[Source]:
    for part in parts:
        if isinstance(part, str | Path):
            yield from find_sources([part], recursive, on_error)
        else:
            yield part


def load(model: str | Path = "cgnet", **settings: Any) -> Predictor:
    """A Predictor for a shipped model's name or an exported file; settings as PredictSettings."""
    values = {"model": str(model), **settings}
    checked = build_settings(PredictSettings, values, "fissura.load")
    engine = open_engine(checked.model, checked.engine, checked.precision, checked.threads)
    return Predictor(engine, checked)
