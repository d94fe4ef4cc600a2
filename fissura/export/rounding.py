"""Named approximations of an exported network, of all of its files alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from fissura.export.files import open_proto
from fissura.export.fp16 import to_fp16
from fissura.export.int8 import Feeds, to_int8
from fissura.export.runs import frame_feeds, fusion_feeds, whole_feeds
from fissura.types import UInt8Image


def rounded(
    protos: Mapping[Path, Any], precision: str, pictures: Sequence[UInt8Image]
) -> dict[Path, Any]:
    """The models by file, the whole network first, in fp16 or int8; the latter's ranges come from
    the pictures, or windows of frames."""
    if precision == "fp16":
        return {path: to_fp16(proto) for path, proto in protos.items()}
    feeds = _feeds(protos, pictures)
    return {path: to_int8(proto, next(feeds)) for path, proto in protos.items()}


def _feeds(protos: Mapping[Path, Any], pictures: Sequence[UInt8Image]) -> Iterator[Iterator[Feeds]]:
    """What each of the models takes for all of the pictures."""
    (whole, *parts) = protos.values()
    inputs = tuple(one.name for one in whole.graph.input)
    yield (whole_feeds(inputs, picture) for picture in pictures)
    if parts:
        yield chain.from_iterable(map(frame_feeds, pictures))
        frame = open_proto(parts[0], Path("frame.onnx"))
        yield (fusion_feeds(frame, clip) for clip in pictures)
