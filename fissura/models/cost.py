"""What a network costs by its size alone: multiply-adds and parameters, without running it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from fissura.models import MODELS


def count(
    name: str, arguments: Mapping[str, Any], size_hw: tuple[int, int], streams: bool = False
) -> tuple[int, int]:
    """Multiply-adds of one picture or clip at this size, and parameters.

    Every product counts, those of attention too; what is folded or skipped when deployed is
    counted as well. With `streams` it is the work of one new frame of a sequence.
    """
    with torch.device("meta"):
        network: Any = MODELS[name](**arguments).eval()
        frames = getattr(network, "frames", 1)
        image = torch.empty(1, 3, *size_hw)
        clip = torch.empty(1, 3, frames, *size_hw)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if streams:
            network.fuse([network.per_frame(image)] * frames)
        else:
            network(clip if frames > 1 else image)
    return counter.get_total_flops() // 2, sum(p.numel() for p in network.parameters())
