"""What is seen in each frame by itself.

Shapes: B batch, T frames, C channels (128 at full width), H×W a frame, h×w = H/8×W/8.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fissura.models.yolox import TopDown


class FrameBackbone(TopDown):
    """YOLOX's body and the descending half of its PAFPN, the same weights for every frame."""

    def forward(self, clip: Tensor) -> list[Tensor]:
        """B×3×T×H×W → T maps B×C×h×w, oldest first.

        Batch statistics are those of one frame's pictures, so that in training the frames go
        through one after the other.
        """
        frames = clip.unbind(2)
        if self.training:
            return [self.descend(frame)[0] for frame in frames]
        return list(apart(self.descend(torch.cat(frames))[0], len(frames)))


def apart(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """count·B×C×h×w → `count` maps B×C×h×w, what `torch.cat` made one batch."""
    return x.reshape(count, -1, *x.shape[1:]).unbind()
