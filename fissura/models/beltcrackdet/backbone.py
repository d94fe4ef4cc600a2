"""What is seen in each frame by itself.

Shapes: B batch, C channels (128 at full width), H×W a frame, h×w = H/8×W/8.
"""

from __future__ import annotations

from torch import Tensor

from fissura.models.yolox import TopDown


class FrameBackbone(TopDown):
    """YOLOX's body and the descending half of its PAFPN, the same weights for every frame."""

    def forward(self, frame: Tensor) -> Tensor:
        """B×3×H×W → B×C×h×w."""
        return self.descend(frame)[0]
