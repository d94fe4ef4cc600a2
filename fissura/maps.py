"""A picture to its crack map: tiles at the network's scale, and the answers joined again.

Legend: H, W height and width of the picture; h, w of what the network sees, which is the tile
enlarged by the network's input scale; s how many times larger a network with super-resolution
answers, 1 for all others; K maps of one picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fissura import decode, enlarged, overlap, windows
from fissura.config import PredictSettings
from fissura.engines import Engine
from fissura.refine import SIDE_GUIDED, refine
from fissura.types import FloatMap, InputError, SettingError, UInt8Image
from fissura.weights import ModelCard


def crack_map(image: UInt8Image, engine: Engine, settings: PredictSettings) -> FloatMap:
    """Probability of crack, H×W: what the network finds, refined as the settings say."""
    probability, _ = enlarged_map(image, engine, settings)
    return enlarged.shrink_map(probability, (image.shape[0], image.shape[1]))


def enlarged_map(
    image: UInt8Image, engine: Engine, settings: PredictSettings
) -> tuple[FloatMap, UInt8Image]:
    """Probability of crack sH×sW, refined, and the picture sH×sW×3; for most networks s is 1."""
    (probability, *side1), image = seen_maps(image, engine, settings)
    return refine(probability, image, settings, *side1), image


def seen_maps(
    image: UInt8Image, engine: Engine, settings: PredictSettings
) -> tuple[FloatMap, UInt8Image]:
    """K×sH×sW maps as refining wants them, crack probability first, and the picture sH×sW×3."""
    outputs = ("logits", "side1") if settings.refine in SIDE_GUIDED else ("logits",)
    maps = network_maps(image, engine, settings, outputs)
    rgb = maps[len(outputs) :]
    if not len(rgb):
        return maps, image
    return maps[: len(outputs)].copy(), enlarged.to_picture(rgb)


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
        overlap.go_on()
        return windows.enlarged_by(tile, factor)

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
    tile, shared = choose_tile(size_hw, card, settings)
    whole = None
    if max(size_hw) > tile and engine.standardises:
        whole = windows.mean_and_variance(image, draw, tile, shared, times).astype(np.float32)
    maps = windows.map_tiles(image, run, tile, shared, enlarges=times)
    engine.rest()
    return maps


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
