"""COCO's run lengths of a mask: column by column, zeros first, packed into one short string."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fissura.types import BoolMask, Crack


def run_lengths(region: BoolMask, left_top: tuple[int, int], size_hw: tuple[int, int]) -> list[int]:
    """Run lengths of a region placed at left, top in an otherwise empty H×W mask."""
    left, top = left_top
    columns, rows = np.nonzero(region.T)
    positions = (columns + left) * size_hw[0] + rows + top
    if not positions.size:
        return [size_hw[0] * size_hw[1]]
    gaps = np.flatnonzero(np.diff(positions) > 1)
    starts = positions[np.concatenate(([0], gaps + 1))]
    ends = positions[np.concatenate((gaps, [positions.size - 1]))] + 1
    edges = np.empty(2 * starts.size + 1, dtype=np.int64)
    edges[0], edges[1::2], edges[2::2] = 0, starts, ends
    counts: NDArray[np.int64] = np.diff(edges)
    rest = size_hw[0] * size_hw[1] - int(ends[-1])
    return [*counts.tolist(), *([rest] if rest else [])]


def pack(counts: list[int]) -> str:
    """The string that pycocotools reads: steps to the count two before, five bits a letter."""
    letters = []
    for i, count in enumerate(counts):
        number = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits, number = number & 0x1F, number >> 5
            more = number != (-1 if bits & 0x10 else 0)
            letters.append(chr(48 + bits + 0x20 * more))
    return "".join(letters)


def crack_rle(crack: Crack, size_hw: tuple[int, int]) -> dict[str, object]:
    """A crack's pixels in the whole picture as `{"size": [H, W], "counts": "..."}`."""
    counts = run_lengths(crack.region, (crack.box[0], crack.box[1]), size_hw)
    return {"size": list(size_hw), "counts": pack(counts)}
