"""A network of four operations for the tests: what is dark is a crack."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fissura.weights import ModelCard, to_metadata

DARK = 90.0
"""Grey level below which a pixel counts as crack."""


def write_toy_model(
    path: Path, input_scale: float = 1.0, threshold: float = 0.5, output_scale: int = 1
) -> Path:
    """An exported file like any other: `image` 1×3×H×W in, `logits` 1×2×H×W out.

    With an `output_scale` s it takes `picture` and gives `image` too, its pixels repeated s times.
    """
    from onnx import TensorProto, helper, numpy_helper, save

    card = ModelCard(
        name="toy",
        mean_rgb=(0.0, 0.0, 0.0),
        std_rgb=(1.0, 1.0, 1.0),
        input_scale=input_scale,
        threshold=threshold,
        output_scale=output_scale,
        weights_sha256="0" * 64,
        licence="Apache-2.0",
        summary="Calls everything dark a crack; for tests.",
        trained_on="nothing",
    )
    floats = TensorProto.FLOAT
    constants = {"dark": [DARK], "steep": [0.2], "nought": [0.0]}
    nodes = [
        helper.make_node("ReduceMean", ["image", "channels"], ["grey"], keepdims=1),
        helper.make_node("Sub", ["dark", "grey"], ["darkness"]),
        helper.make_node("Mul", ["darkness", "steep"], ["crack"]),
        helper.make_node("Mul", ["grey", "nought"], ["background"]),
        helper.make_node("Concat", ["background", "crack"], ["logits"], axis=1),
    ]
    given, outputs = "image", {"logits": [1, 2, "sH", "sW"]}
    if output_scale > 1:
        given, outputs = "picture", outputs | {"image": [1, 3, "sH", "sW"]}
        constants["times"] = [1.0, 1.0, output_scale, output_scale]
        nodes.insert(0, helper.make_node("Resize", ["picture", "", "times"], ["image"]))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(given, floats, [1, 3, "H", "W"])],
        [helper.make_tensor_value_info(name, floats, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in constants.items()]
        + [numpy_helper.from_array(np.array([1], np.int64), "channels")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, to_metadata(card))
    save(model, str(path))
    return path
