"""Images of any size become overlapping tiles, and maps of the tiles one map without seams.

Along each axis tiles lie on a grid and share at least `overlap` pixels. A tile is not believed
within `margin` pixels of an inner edge, where its network lacks the neighbourhood; between the two
margins neighbouring tiles fade into each other. So the result equals that of the whole image
wherever a network sees no further than `margin` pixels, half the overlap unless told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import FloatMap, InputError, Tile, UInt8Image

GRIDS = (32, 16, 8, 4, 2, 1)
"""Tile origins are multiples of the first that fits: strided networks then sample alike."""

WHOLE_NETWORK_PIXELS = 4_000_000
TILE_BYTES = 800_000_000
BYTES_PER_NETWORK_PIXEL = 300
DEFAULT_OVERLAP = 64
MIN_TILE = 256

Run = Callable[[UInt8Image], FloatMap]


def enlarged_by(tile: UInt8Image, factor: float) -> UInt8Image:
    """A part of a picture at the network's scale, at least one pixel wide and high."""
    height, width = (max(1, int(factor * side + 0.5)) for side in tile.shape[:2])
    return np.asarray(cv2.resize(tile, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def automatic_tile(
    size_hw: tuple[int, int],
    tile: int | None = None,
    overlap: int | None = None,
    input_scale: float = 2.0,
    bytes_per_network_pixel: float = BYTES_PER_NETWORK_PIXEL,
) -> tuple[int, int]:
    """Tile side and overlap for an image, None standing for a choice by size.

    What gives the network up to 4 megapixels stays whole; beyond, a tile is as large as a network
    that holds `bytes_per_network_pixel` at `input_scale` may be within 0.8 GB, a multiple of 32.
    """
    height, width = size_hw
    if tile is None and height * width * input_scale**2 <= WHOLE_NETWORK_PIXELS:
        tile = max(height, width)
    elif tile is None:
        pixels = TILE_BYTES / (bytes_per_network_pixel * input_scale**2)
        side = max(pixels**0.5, pixels / min(height, width))
        tile = max(MIN_TILE, int(side) // GRIDS[0] * GRIDS[0])
    if overlap is None:
        overlap = min(DEFAULT_OVERLAP, tile // 4)
    return tile, overlap


def plan_tiles(size_hw: tuple[int, int], tile: int, overlap: int) -> list[Tile]:
    """Tiles of one size, row by row, that cover an image and share at least `overlap` pixels.

    `tile` is the longest side allowed: tiles shrink to the smallest size that needs no more of
    them. An axis no longer than `tile` is not divided.
    """
    height, width = size_hw
    if not 0 <= overlap < tile:
        raise InputError(f"overlap {overlap} does not fit tile {tile}; lower it or raise the tile")
    rows, columns = _spans(height, tile, overlap), _spans(width, tile, overlap)
    return [Tile(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Starts and ends of equal spans: starts on the grid, the last end at `length`."""
    if length <= tile:
        return [(0, length)]
    grid = next((grid for grid in GRIDS if tile - overlap >= 2 * grid), 1)
    span = tile - (tile - length) % grid
    step = (span - overlap) // grid
    gaps = -((span - length) // grid // step)
    while _largest_gap(length - span + grid, gaps, grid) <= span - grid - overlap:
        span -= grid
    steps = (length - span) // grid
    starts = [steps * i // gaps * grid for i in range(gaps + 1)]
    return [(start, start + span) for start in starts]


def _largest_gap(distance: int, gaps: int, grid: int) -> int:
    return -(-distance // (grid * gaps)) * grid


def map_tiles(
    image: UInt8Image,
    run: Run,
    tile: int,
    overlap: int,
    margin: int | None = None,
    enlarges: int = 1,
) -> FloatMap:
    """The H×W map (or K×H×W maps) of an image, from `run`, which maps an h×w×3 tile.

    With `enlarges` s, `run` gives s·h×s·w and the result is s·H×s·W.

    Beyond the image and the result only one tile is held. Tiles share half of `overlap` more than
    asked where that fits, to fade into each other between their margins.
    """

    def run_on(part: Tile) -> FloatMap:
        return run(np.ascontiguousarray(image[part.slices]))

    size_hw = image.shape[0], image.shape[1]
    return blend_tiles(size_hw, run_on, tile, overlap, margin, enlarges)


def blend_tiles(
    size_hw: tuple[int, int],
    run_on: Callable[[Tile], FloatMap],
    tile: int,
    overlap: int,
    margin: int | None = None,
    enlarges: int = 1,
) -> FloatMap:
    """As `map_tiles`, for work that takes more than a picture: `run_on` is told which tile.

    Its maps, and so the result, are `enlarges` times as large as the tile.
    """
    result: FloatMap = np.zeros(0, np.float32)
    low: FloatMap = np.array(np.inf, np.float32)
    high: FloatMap = np.array(-np.inf, np.float32)
    for part, place, weights in _weighted_tiles(size_hw, tile, overlap, margin, enlarges):
        values = _checked(run_on(part), place)
        if (part.bottom - part.top, part.right - part.left) == size_hw:
            return values  # There is no other.
        if not result.size:
            height, width = size_hw[0] * enlarges, size_hw[1] * enlarges
            result = np.zeros((*values.shape[:-2], height, width), np.float32)
        low = np.minimum(low, values.min((-2, -1), keepdims=True))
        high = np.maximum(high, values.max((-2, -1), keepdims=True))
        result[(..., *place.slices)] += weights * values
    return np.clip(result, low, high, out=result)


def mean_and_variance(
    image: UInt8Image, run: Run, tile: int, overlap: int, enlarges: int = 1
) -> NDArray[np.float64]:
    """2×K: those of each of the K maps that `map_tiles` would give, which are never all held."""
    sums: NDArray[np.float64] = np.zeros(0)
    size_hw = image.shape[0], image.shape[1]
    for part, place, weights in _weighted_tiles(size_hw, tile, overlap, None, enlarges):
        values = _checked(run(np.ascontiguousarray(image[part.slices])), place)
        values = values.astype(np.float64)
        shares = [(weights * powers).sum((-2, -1)) for powers in (values, values**2)]
        sums = np.array(shares) + (sums if sums.size else 0)
    mean, square = sums / (size_hw[0] * size_hw[1] * enlarges**2)
    return np.array([mean, np.maximum(square - mean**2, 0)])


def _weighted_tiles(
    size_hw: tuple[int, int], tile: int, overlap: int, margin: int | None, enlarges: int
) -> Iterator[tuple[Tile, Tile, FloatMap]]:
    """Every tile, its place in the result, and the weights of its values there."""
    margin = overlap // 2 if margin is None else margin
    if not 0 <= margin <= overlap // 2:
        raise InputError(f"margin {margin} does not fit overlap {overlap}; give at most half of it")
    shared = max(overlap, min(2 * margin + max(overlap // 2, 1), tile // 2))
    tiles = plan_tiles(size_hw, tile, shared)
    height, width = size_hw[0] * enlarges, size_hw[1] * enlarges
    places = [part.enlarged(enlarges) for part in tiles]
    down = _weights([(p.top, p.bottom) for p in places], height, margin * enlarges)
    across = _weights([(p.left, p.right) for p in places], width, margin * enlarges)
    for part, place in zip(tiles, places, strict=True):
        weights = down[place.top, place.bottom][:, None] * across[place.left, place.right]
        yield part, place, weights


def _checked(values: FloatMap, part: Tile) -> FloatMap:
    size_hw = part.bottom - part.top, part.right - part.left
    if values.shape[-2:] != size_hw:
        raise ValueError(f"expected a map of {size_hw} for its tile, got {values.shape}")
    return values.astype(np.float32, copy=False)


def _weights(
    spans: list[tuple[int, int]], length: int, margin: int
) -> dict[tuple[int, int], FloatMap]:
    """Weight of each span along one axis: 0 in its inner margins, smooth, adding up to 1."""
    ordered = sorted(set(spans))
    weights = {}
    total = np.zeros(length, np.float64)
    for i, (start, end) in enumerate(ordered):
        weight = np.ones(end - start, np.float64)
        if i > 0:
            weight *= _ramp(end - start, ordered[i - 1][1] - start, margin)
        if i + 1 < len(ordered):
            weight *= _ramp(end - start, end - ordered[i + 1][0], margin)[::-1]
        total[start:end] += weight
        weights[start, end] = weight
    return {
        span: (weight / total[span[0] : span[1]]).astype(np.float32)
        for span, weight in weights.items()
    }


def _ramp(length: int, shared: int, margin: int) -> FloatMap:
    """0 up to `margin`, a half cosine up to `shared - margin`, then 1."""
    width = max(shared - 2 * margin, 1)
    position = np.clip((np.arange(length) + 0.5 - margin) / width, 0, 1)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * position))
