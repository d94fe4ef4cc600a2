"""BeltCrackDet: cracks of a conveyor belt in the newest of several frames.

Huang, Ji, Ma, Ye: "BeltCrack: the First Sequential-image Industrial Conveyor Belt Crack Detection
Dataset and Its Baseline with Triple-domain Feature Learning", 2025. Parameter names are those of
the release, so that its checkpoints load by name.

Shapes: B batch, T frames (oldest first, the key frame last), C channels (128 at full width), H×W a
frame, h×w = H/8×W/8, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fissura.models.beltcrackdet.backbone import FrameBackbone
from fissura.models.beltcrackdet.frequency import WaveletConv
from fissura.models.beltcrackdet.fusion import chain, fusion
from fissura.models.beltcrackdet.head import OneLevelHead
from fissura.models.beltcrackdet.spatial import KeyValue, MemoryReader, NonLocal
from fissura.models.beltcrackdet.swin import FrameSwin
from fissura.models.beltcrackdet.temporal import EDGES, Edges, NeighbourGraph, TARFusion
from fissura.models.yolox import MOST_CLASSES, ConvBN, check_size, released_start

CHANNELS = 128
STEP = 16
"""Channels of the narrowest network; every count of channels divides by what it has to then."""
MOST_FRAMES = 16
MOST_WIDTH = 2.0
LEAST_SIDE = 64
"""Below, the maps are smaller than a window of the Swin layers."""


class Neck(nn.Module):
    """The maps of T frames become one: spatial, temporal and frequency branch, and their fusion."""

    def __init__(
        self,
        width: int,
        frames: int,
        branches: tuple[bool, bool, bool],
        rcu: Sequence[int],
        edges: Edges,
    ) -> None:
        super().__init__()
        self.hsm, self.atm, self.wfm = branches
        if self.hsm:
            self._add_spatial(width, frames)
        if self.atm:
            self.tar = TARFusion(width, frames)
            self.gal = NeighbourGraph(width, edges)
        if self.hsm and self.atm:
            self.conv_fin_mix = chain(2 * width, 2 * width, width)
        if self.wfm:
            self._add_frequency(width, frames + self.atm)
            self.resblock0, self.resblock1, self.resblock2 = (
                fusion(width, k in rcu) for k in (1, 2, 3)
            )

    def _add_spatial(self, width: int, frames: int) -> None:
        self.conv_ref = nn.Sequential(
            ConvBN((frames - 1) * width, 2 * width, 3),
            ConvBN(2 * width, width, 3, act=nn.Sigmoid()),
        )
        self.conv_cur = ConvBN(width, width, 3)
        self.conv_cr_mix = chain(2 * width, 2 * width, width)
        self.nolocal = NonLocal(width)
        self.keyvalue_Q = KeyValue(width)
        self.keyvalue_M = KeyValue(width)
        self.memory = MemoryReader(width)

    def _add_frequency(self, width: int, maps: int) -> None:
        self.conv_dw = WaveletConv(width)
        self.swin = FrameSwin(width, maps)
        self.conv_t = chain(maps * width, 8 * width, width)
        if self.atm:
            self.conv_fre_new = chain(maps * width, 4 * width, 2 * width, width)
        else:
            self.conv_fre = chain(maps * width, 2 * width, width)

    def per_frame(self, x: Tensor) -> dict[str, Tensor]:
        """B×C×h×w of a frame → itself and what the branches ask of it alone, the same shape."""
        features = {"map": x}
        if self.atm:
            features["answers"] = self.tar.answer(x)
        if self.wfm:
            features["waves"] = self.conv_dw(x)
        return features

    def forward(self, features: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """What `per_frame` gives of T frames → B×C×h×w."""
        frames = [each["map"] for each in features]
        temporal = None
        if self.atm:
            temporal = self.gal(self.tar(frames, [each["answers"] for each in features]))
        x = self._spatiotemporal(frames, temporal)
        if not self.wfm:
            return x
        filtered, exchanged = self.frequency([each["waves"] for each in features], temporal)
        first = self.resblock0(torch.cat([x, filtered], dim=1))
        second = self.resblock1(torch.cat([filtered, exchanged], dim=1))
        out: Tensor = self.resblock2(torch.cat([first, second], dim=1))
        return out

    def _spatiotemporal(self, frames: Sequence[Tensor], temporal: Tensor | None) -> Tensor:
        """What the spatial and the temporal branch, or the key frame in their stead, give."""
        if not self.hsm:
            return frames[-1] if temporal is None else temporal
        spatial = self.spatial(frames)
        if temporal is None:
            return spatial
        out: Tensor = self.conv_fin_mix(torch.cat([spatial, temporal], dim=1))
        return out

    def spatial(self, frames: Sequence[Tensor]) -> Tensor:
        """HSM: T maps B×C×h×w → B×C×h×w."""
        *earlier, key = frames
        gate = self.conv_ref(torch.cat(earlier, dim=1))
        gated = self.conv_cur(gate * key)
        local = self.conv_cr_mix(torch.cat([gated, key], dim=1))
        out: Tensor = self.memory(self.keyvalue_Q(key), self.keyvalue_M(self.nolocal(local)))
        return out

    def frequency(self, waves: Sequence[Tensor], temporal: Tensor | None) -> tuple[Tensor, Tensor]:
        """WFM: T wavelet maps B×C×h×w and the temporal branch's, filtered and exchanged."""
        maps = torch.cat([*waves, *([] if temporal is None else [temporal])], dim=1)
        mix = self.conv_fre if temporal is None else self.conv_fre_new
        return mix(maps), self.conv_t(self.swin(maps))


class BeltCrackDet(nn.Module):
    """Boxes of the cracks in the last of `frames` frames, with what the others tell about it.

    Input: B×3×T×H×W float32 RGB, normalised, oldest first; H and W multiples of 32 from 64 on.
    `hsm`, `atm` and `wfm` switch the spatial, the temporal and the frequency branch; those of the
    three residual fusions that `rcu` does not name are plain convolutions. `edges` says what lies
    beside the map's edges in the temporal branch's graph (`wrap` as released, see NeighbourGraph).
    `width` multiplies all channels.
    """

    MEAN_RGB: ClassVar[tuple[float, float, float]] = (123.675, 116.28, 103.53)
    STD_RGB: ClassVar[tuple[float, float, float]] = (58.395, 57.12, 57.375)
    CHANNELS: ClassVar[str] = "rgb"
    INPUT_SCALE: ClassVar[float] = 1.0
    THRESHOLD: ClassVar[float] = 0.5
    TILE: ClassVar[int | None] = None
    OVERLAP: ClassVar[int | None] = None
    STRIDES: ClassVar[tuple[int, ...]] = (8,)

    def __init__(
        self,
        frames: int = 5,
        classes: int = 1,
        hsm: bool = True,
        atm: bool = True,
        wfm: bool = True,
        rcu: Sequence[int] = (1, 2, 3),
        edges: Edges = "wrap",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if not 2 <= frames <= MOST_FRAMES or not 1 <= classes <= MOST_CLASSES:
            raise ValueError(
                f"frames must be 2 to {MOST_FRAMES} and classes 1 to {MOST_CLASSES}, "
                f"got {frames} and {classes}"
            )
        if not set(rcu) <= {1, 2, 3}:
            raise ValueError(f"rcu must be among 1, 2 and 3, got {list(rcu)}")
        if edges not in EDGES:
            raise ValueError(f"edges must be {', '.join(EDGES[:-1])} or {EDGES[-1]}, got {edges!r}")
        if not 0 < width <= MOST_WIDTH or width * CHANNELS % STEP:
            raise ValueError(
                f"width must be a multiple of {STEP / CHANNELS} up to {MOST_WIDTH}, got {width}"
            )
        channels = round(width * CHANNELS)
        self.frames = frames
        self.backbone = FrameBackbone(channels // 4, blocks=1)
        self.neck = Neck(channels, frames, (hsm, atm, wfm), rcu, edges)
        self.head = OneLevelHead(channels, classes)
        released_start(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """B×3×T×H×W → {"boxes_raw": B×(5+K)×h×w}: x, y, w, h, objectness, classes, all raw."""
        if x.ndim != 5 or x.shape[2] != self.frames:
            raise ValueError(f"input must be B×3×{self.frames}×H×W, got {tuple(x.shape)}")
        frames = x.unbind(2)
        # Batch statistics are those of one frame's pictures.
        if self.training:
            return self.fuse([self.per_frame(frame) for frame in frames])
        together = self.per_frame(torch.cat(frames))
        parts = {name: _apart(values, self.frames) for name, values in together.items()}
        return self.fuse(
            [{name: part[k] for name, part in parts.items()} for k in range(self.frames)]
        )

    def per_frame(self, image: Tensor) -> dict[str, Tensor]:
        """B×3×H×W → what every clip with this frame needs and no other frame tells.

        `map`, with the temporal branch `answers`, with the frequency branch `waves`: B×C×h×w each.
        """
        check_size(image, LEAST_SIDE)
        return self.neck.per_frame(self.backbone(image))

    def fuse(self, frames: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """What `per_frame` gives of T frames, oldest first → the boxes of the last as `forward`."""
        if len(frames) != self.frames:
            raise ValueError(f"there must be {self.frames} frames, got {len(frames)}")
        return {"boxes_raw": self.head.single(self.neck(frames))}


def _apart(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """count·B×C×h×w → `count` maps B×C×h×w; chunks would bind an exported graph to one B."""
    return x.reshape(count, -1, *x.shape[1:]).unbind()
