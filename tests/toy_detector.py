"""A detector of a few operations for the tests: every dark cell of 8×8 pixels is a box."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from fissura.weights import ModelCard, to_metadata

DARK = 90.0
"""Grey level below which a cell counts as crack."""

SIDE = 12.0
"""Width of every box in pixels of the network."""


def write_toy_detector(
    path: Path,
    frames: int = 1,
    size_hw: tuple[int, int] = (64, 96),
    threshold: float = 0.5,
    classes: tuple[str, ...] = ("crack",),
    resize: str = "letterbox",
) -> Path:
    """An exported file: `image` 1×3×H×W, or `clip` 1×3×T×H×W, in, `boxes_raw` 1×(5+K)×h×w out.

    What is dark in the newest frame is a box; its height is 8·exp(grey / 255) of the oldest, which
    shows how far back the network saw. The first class is the sure one.
    """
    from onnx import TensorProto, helper, numpy_helper, save

    card = ModelCard(
        name="toydetector",
        mean_rgb=(0.0, 0.0, 0.0),
        std_rgb=(1.0, 1.0, 1.0),
        classes=classes,
        strides=(8,),
        frames=frames,
        size_hw=size_hw,
        resize=resize,
        nms_iou=0.65,
        threshold=threshold,
        weights_sha256="0" * 64,
        licence="Apache-2.0",
        summary="Calls every dark cell a crack; for tests.",
        trained_on="nothing",
    )
    floats, n = TensorProto.FLOAT, helper.make_node
    pool = {"kernel_shape": [8, 8], "strides": [8, 8]}
    newest, oldest, given = "image", "image", [1, 3, "H", "W"]
    nodes = []
    if frames > 1:
        newest, oldest, given = "newest", "oldest", [1, 3, frames, "H", "W"]
        nodes += [
            n("Gather", ["clip", "last"], ["newest"], axis=2),
            n("Gather", ["clip", "first"], ["oldest"], axis=2),
        ]
    nodes += [
        n("AveragePool", [newest], ["cells"], **pool),
        n("ReduceMean", ["cells", "channels"], ["grey"], keepdims=1),
        n("AveragePool", [oldest], ["old cells"], **pool),
        n("ReduceMean", ["old cells", "channels"], ["old grey"], keepdims=1),
        n("Sub", ["dark", "grey"], ["darkness"]),
        n("Mul", ["darkness", "steep"], ["objectness"]),
        n("Mul", ["grey", "nought"], ["zero"]),
        n("Add", ["zero", "half"], ["middle"]),
        n("Add", ["zero", "width"], ["wide"]),
        n("Mul", ["old grey", "share"], ["high"]),
        n("Add", ["zero", "sure"], ["class"]),
        n("Sub", ["zero", "sure"], ["other"]),
    ]
    parts = ["middle", "middle", "wide", "high", "objectness", "class"]
    parts += ["other"] * (len(classes) - 1)
    nodes.append(n("Concat", parts, ["boxes_raw"], axis=1))
    numbers = {
        **{"dark": [DARK], "steep": [0.2], "nought": [0.0], "half": [0.5], "sure": [20.0]},
        **{"width": [math.log(SIDE / 8)], "share": [1 / 255]},
    }
    whole = {"channels": np.array([1]), "last": np.array(frames - 1), "first": np.array(0)}
    used = whole if frames > 1 else {"channels": whole["channels"]}
    graph = helper.make_graph(
        nodes,
        "toydetector",
        [helper.make_tensor_value_info("clip" if frames > 1 else "image", floats, given)],
        [helper.make_tensor_value_info("boxes_raw", floats, [1, 5 + len(classes), "h", "w"])],
        [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in numbers.items()]
        + [numpy_helper.from_array(v.astype(np.int64), k) for k, v in used.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, to_metadata(card))
    save(model, str(path))
    return path
