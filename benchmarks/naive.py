"""Each network written a second time, plainly, from its published description.

The functions below know nothing of the package's own classes: they read a state dict and compute
in eager float32, channels first. The script proves that the package's network gives the same
numbers, then times it and every installed engine against this reference, in turn.

    python benchmarks/naive.py --model cgnet --size 1024x1024 --frames 10 --threads 2

On a machine that others use, `--threads 1 --clock cpu` counts processor time instead.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fissura.benchmark import NaiveEngine, Workload, interleave
from fissura.engines import available_cores, open_engine
from fissura.export.check import difference
from fissura.types import UInt8Image
from fissura.weights import companion, resolve
from fissura.weights.network import load_module

State = dict[str, Tensor]

BN_EPS = 1e-3
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def cgnet(state: State, x: Tensor) -> Tensor:
    """CGNet M3N21 with a fully convolutional head: N×3×H×W → N×2×⌈H/8⌉×⌈W/8⌉."""
    half = F.avg_pool2d(x, 3, 2, 1, count_include_pad=True)
    quarter = F.avg_pool2d(half, 3, 2, 1, count_include_pad=True)
    stem = x
    for i in range(3):
        stem = _entry(state, f"backbone.stem.{i}", stem, stride=2 if i == 0 else 1)
    stage0 = _norm_prelu(state, "backbone.norm_prelu_0", torch.cat([stem, half], 1))
    down1, out1 = _level(state, "backbone.level1", stage0, dilation=2)
    joined = torch.cat([out1, down1, quarter], 1)
    stage1 = _norm_prelu(state, "backbone.norm_prelu_1", joined)
    down2, out2 = _level(state, "backbone.level2", stage1, dilation=4)
    stage2 = _norm_prelu(state, "backbone.norm_prelu_2", torch.cat([down2, out2], 1))
    head = "decode_head.conv_seg"
    return F.conv2d(stage2, state[f"{head}.weight"], state[f"{head}.bias"])


def _level(state: State, name: str, x: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    """The down-sampling block's output and that of the last block after it."""
    down = out = _block(state, f"{name}.0", x, dilation, stride=2)
    index = 1
    while f"{name}.{index}.f_loc.weight" in state:
        out = out + _block(state, f"{name}.{index}", out, dilation, stride=1)
        index += 1
    return down, out


def _block(state: State, name: str, x: Tensor, dilation: int, stride: int) -> Tensor:
    entry = _entry(state, f"{name}.conv1x1", x, stride)
    n = entry.shape[1]
    local = F.conv2d(entry, state[f"{name}.f_loc.weight"], padding=1, groups=n)
    around = F.conv2d(
        entry, state[f"{name}.f_sur.weight"], padding=dilation, dilation=dilation, groups=n
    )
    joint = _norm(state, f"{name}.bn", torch.cat([local, around], 1))
    joint = F.prelu(joint, state[f"{name}.activate.weight"])
    if stride == 2:
        joint = F.conv2d(joint, state[f"{name}.bottleneck.weight"])
    gate = F.adaptive_avg_pool2d(joint, 1).flatten(1)
    fc = f"{name}.f_glo.fc"
    gate = F.relu(F.linear(gate, state[f"{fc}.0.weight"], state[f"{fc}.0.bias"]))
    gate = torch.sigmoid(F.linear(gate, state[f"{fc}.2.weight"], state[f"{fc}.2.bias"]))
    return joint * gate[:, :, None, None]


def _entry(state: State, name: str, x: Tensor, stride: int) -> Tensor:
    """Convolution, batch norm, PReLU; the padding follows from the kernel's size."""
    kernel = state[f"{name}.conv.weight"]
    y = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
    return F.prelu(_norm(state, f"{name}.bn", y), state[f"{name}.activate.weight"])


def _norm_prelu(state: State, name: str, x: Tensor) -> Tensor:
    return F.prelu(_norm(state, f"{name}.0", x), state[f"{name}.1.weight"])


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts, eps=BN_EPS)


NETWORKS: dict[str, Callable[[State, Tensor], Tensor]] = {"cgnet": cgnet}


class Reference:
    """One of the networks above behind the interface of an engine."""

    name = "reference"

    def __init__(self, path: Path) -> None:
        module, self.card = load_module(path)
        self._state = module.state_dict()
        self._network = NETWORKS[self.card.name]

    def run(self, image: UInt8Image) -> dict[str, np.ndarray]:
        """H×W×3 uint8 RGB → logits without batch axis."""
        planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)[None]
        mean, std = (_column(values) for values in (self.card.mean_rgb, self.card.std_rgb))
        with torch.inference_mode():
            logits = self._network(self._state, (torch.from_numpy(planes) - mean) / std)
        return {"logits": logits[0].numpy()}


def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def open_all(model: str, threads: int) -> dict[str, Callable[[UInt8Image], dict[str, np.ndarray]]]:
    """The reference first, then the package's class and every installed engine."""
    path = companion(resolve(model), ".safetensors")
    torch.set_num_threads(threads)
    runs = {"reference": Reference(path).run, "class, eager": NaiveEngine(path, threads).run}
    wanted = [("onnxruntime", "float32"), ("torch", "float32"), ("torch", "bf16")]
    if importlib.util.find_spec("openvino"):
        wanted += [("openvino", "float32"), ("openvino", "bf16")]
    for engine, precision in wanted:
        runs[f"{engine} {precision}"] = open_engine(path, engine, precision, threads).run
    return runs


def main() -> int:
    """Prints a Markdown table; exit code 1 if an exact engine differs from the reference."""
    parser = argparse.ArgumentParser(description="engines against a plain reference")
    parser.add_argument("--model", default="cgnet", help="shipped name or model file")
    parser.add_argument("--size", default="1024x1024", help="height x width of the network input")
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    picture = Workload((height, width)).picture()
    runs = open_all(options.model, options.threads)
    outputs = {name: run(picture)["logits"] for name, run in runs.items()}
    calls = [lambda run=run: run(picture) for run in runs.values()]
    seconds = interleave(calls, options.frames, CLOCKS[options.clock])
    print("| engine | median ms | times as fast | quartiles | largest difference |")
    print("|-|-|-|-|-|")
    differs = False
    for column, name in enumerate(runs):
        low, ratio, high = np.percentile(seconds[:, 0] / seconds[:, column], [25, 50, 75])
        gap = difference(outputs["reference"], outputs[name])
        differs |= gap > 1e-4 and "bf16" not in name
        median = 1e3 * np.median(seconds[:, column])
        print(f"| {name} | {median:.0f} | {ratio:.2f} | {low:.2f} to {high:.2f} | {gap:.1e} |")
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
