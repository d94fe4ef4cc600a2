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


def described(precision: str, proto: Any) -> str:
    """What was rounded of a model: "int8 in 120 of 131 convolutions"."""
    if precision != "int8":
        return precision
    given = {name: node.op_type for node in proto.graph.node for name in node.output}
    kinds = [given.get(node.input[0]) for node in proto.graph.node if node.op_type == "Conv"]
    return f"int8 in {kinds.count('DequantizeLinear')} of {len(kinds)} convolutions"


def _all_int8(protos: Sequence[Any], pictures: Sequence[UInt8Image]) -> list[Any]:
    """What a frame tells is no answer, so that the whole network and its parts round alike."""
    from fissura.export.int8 import to_int8

    whole, *parts = protos
    inputs = tuple(one.name for one in whole.graph.input)
    found = [to_int8(whole, lambda: (whole_feeds(inputs, picture) for picture in pictures))]
    if parts:
        frame, fusion = parts
        graph = open_proto(frame, Path("frame.onnx"))
        found += [
            to_int8(frame, lambda: chain.from_iterable(map(frame_feeds, pictures)), answers=False),
            to_int8(fusion, lambda: (fusion_feeds(graph, clip) for clip in pictures)),
        ]
    return found
