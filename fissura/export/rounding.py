"""Named approximations of an exported network, of all of its files alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from fissura.export.files import open_proto
from fissura.export.fp16 import to_fp16
from fissura.export.runs import frame_feeds, fusion_feeds, whole_feeds
from fissura.types import UInt8Image


def rounded(
    protos: Mapping[Path, Any], precision: str, pictures: Sequence[UInt8Image]
) -> dict[Path, Any]:
    """The models by file, the whole network first, in fp16 or int8; the latter's ranges come from
    the pictures, or windows of frames."""
    if precision == "fp16":
        return {path: to_fp16(proto) for path, proto in protos.items()}
    return dict(zip(protos, _all_int8(list(protos.values()), pictures), strict=True))


def _all_int8(protos: Sequence[Any], pictures: Sequence[UInt8Image]) -> list[Any]:
    """What a frame tells is no answer, so that the whole network and its parts round alike."""
    from fissura.export.int8 import to_int8

    whole, *parts = protos
    inputs = tuple(one.name for one in whole.graph.input)
    found = [to_int8(whole, (whole_feeds(inputs, picture) for picture in pictures))]
    if parts:
        frame, fusion = parts
        told = chain.from_iterable(map(frame_feeds, pictures))
        found.append(to_int8(frame, told, answers=False))
        graph = open_proto(frame, Path("frame.onnx"))
        found.append(to_int8(fusion, (fusion_feeds(graph, clip) for clip in pictures)))
    return found
