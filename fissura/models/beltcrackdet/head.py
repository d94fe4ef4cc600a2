"""The head: boxes at a stride of 8, from twice the channels of the map.

Shapes: B batch, C channels, h×w the map, K classes.
"""

from __future__ import annotations

from torch import Tensor

from fissura.models.yolox import DecoupledHead


class OneLevelHead(DecoupledHead):
    """YOLOX's decoupled head for one map."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__([width], 2 * width, classes)

    def single(self, x: Tensor) -> Tensor:
        """B×C×h×w → B×(5+K)×h×w: x, y, w, h, objectness, classes, all raw."""
        out: Tensor = self([x])[0]
        return out
