"""Each network written a second time, plainly, from its published description.

The functions below know nothing of the package's own classes: they read a state dict and compute
in eager float32, channels first. The script proves that the package's network gives the same
numbers, then times it and every installed engine against this reference, in turn.

    python benchmarks/naive.py --model cgnet --size 1024x1024 --frames 10 --threads 2
    python benchmarks/naive.py --model deepcrack_zou --size 512x512 --frames 5 --threads 2
    python benchmarks/naive.py --model cssr --random --size 112x112 --frames 5 --threads 2
    python benchmarks/naive.py --model beltcrackdet --size 512x512 --frames 5 --threads 2

A network without shipped weights, or any with `--random`, runs in its published size with random
ones, which cost the same time. CSSR is written for the U-Net with pixel shuffle; BeltCrackDet
stands in `naive_belt.py`. Where an engine streams, it runs a second time frame by frame: then the
time is that of one new frame, beside a whole window of the reference.
On a machine that others use, `--threads 1 --clock cpu` counts processor time instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

from naive_belt import beltcrackdet
from ways import Answer, Way, open_ways

from fissura.benchmark import Workload, interleave
from fissura.engines import available_cores
from fissura.export import export_model
from fissura.export.check import differences
from fissura.models import MODELS
from fissura.types import UInt8Image
from fissura.weights import companion, read_card, resolve, shipped
from fissura.weights.network import load_module, new_card, save_safetensors

State = dict[str, Tensor]
Maps = dict[str, Tensor]

SIDES = ("side1", "side2", "side3", "side4", "side5")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def cgnet(state: State, x: Tensor) -> Maps:
    """CGNet M3N21 with a fully convolutional head: N×3×H×W → logits N×2×⌈H/8⌉×⌈W/8⌉."""
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
    return {"logits": _conv(state, "decode_head.conv_seg", stage2)}


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


def _norm(state: State, name: str, x: Tensor, eps: float = 1e-3) -> Tensor:
    parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts, eps=eps)


def deepcrack_zou(state: State, x: Tensor) -> Maps:
    """DeepCrack after SegNet, sides from 32 on: N×3×H×W BGR in 0…1 → six maps N×1×H×W."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % 16, 0, -height % 16), mode="reflect")
    encoded, places, sides = [], [], []
    for k in range(1, 6):
        encoded.append(_convolutions(state, f"down{k}", x))
        x, place = F.max_pool2d(encoded[-1], 2, 2, return_indices=True)
        places.append(place)
    for k in range(5, 0, -1):
        like = encoded[k - 1]
        x = F.max_unpool2d(x, places[k - 1], 2, 2, output_size=like.shape[-2:])
        x = _convolutions(state, f"up{k}", x)
        joint = torch.cat([like, x], 1)
        joint = F.interpolate(joint, scale_factor=2 ** (k - 1), mode="bilinear")
        sides.append(_conv(state, f"fuse{k}.conv", F.relu(_conv(state, f"fuse{k}.nn.conv", joint))))
    maps = dict(zip(SIDES, sides[::-1], strict=True))
    maps["logits"] = _conv(state, "final", torch.cat(sides, 1))
    return {name: values[..., :height, :width] for name, values in maps.items()}


def deepcrack_liu(state: State, x: Tensor) -> Maps:
    """DeepCrack on VGG16, sides from 16 on: N×3×H×W RGB in −1…1 → six maps N×1×H×W."""
    size, sides = x.shape[-2:], []
    for k in range(1, 6):
        x = x if k == 1 else F.max_pool2d(x, 2)
        for i in range(0, 9, 3):
            if f"conv{k}.{i}.weight" in state:
                y = _conv(state, f"conv{k}.{i}", x)
                x = F.relu(_norm(state, f"conv{k}.{i + 1}", y, eps=1e-5))
        side = _conv(state, f"side_conv{k}", x)
        sides.append(F.interpolate(side, size, mode="bilinear", align_corners=True))
    logits = _conv(state, "fuse_conv", torch.cat(sides, 1))
    return {"logits": logits} | dict(zip(SIDES, sides, strict=True))


def cssr(state: State, x: Tensor, skip: bool = False) -> Maps:
    """CSSR, DBPN and a U-Net: N×3×H×W in 0…1 → logits N×1×sH×sW and the picture N×3×sH×sW."""
    image = _dbpn(state, "sr_model", x)
    if skip:
        scale = image.shape[-1] // x.shape[-1]
        image = image + F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False)
    mean = image.mean((2, 3), keepdim=True)
    variance = image.var((2, 3), correction=0, keepdim=True)
    seen = (image - mean) / torch.sqrt(variance + 1e-5)
    return {"logits": _unet_vgg16(state, "segmentation_model", seen), "image": image}


def _dbpn(state: State, name: str, x: Tensor) -> Tensor:
    scale = {6: 2, 8: 4, 12: 8}[state[f"{name}.up1.up_conv1.deconv.weight"].shape[-1]]

    def layer(part: str, x: Tensor, padding: int = 0, stride: int = 1) -> Tensor:
        part = f"{name}.{part}"
        y = F.conv2d(x, state[f"{part}.conv.weight"], state[f"{part}.conv.bias"], stride, padding)
        return F.prelu(y, state[f"{part}.act.weight"]) if f"{part}.act.weight" in state else y

    def enlarge(part: str, x: Tensor) -> Tensor:
        part = f"{name}.{part}"
        weight, bias = state[f"{part}.deconv.weight"], state[f"{part}.deconv.bias"]
        return F.prelu(F.conv_transpose2d(x, weight, bias, scale, 2), state[f"{part}.act.weight"])

    def entry(part: str, features: list[Tensor]) -> Tensor:
        joint = torch.cat(features, 1)
        return layer(f"{part}.conv", joint) if len(features) > 1 else joint

    def up(t: int, small: list[Tensor]) -> Tensor:
        x = entry(f"up{t}", small)
        large = enlarge(f"up{t}.up_conv1", x)
        error = layer(f"up{t}.up_conv2", large, 2, scale) - x
        return large + enlarge(f"up{t}.up_conv3", error)

    def down(t: int, large: list[Tensor]) -> Tensor:
        x = entry(f"down{t}", large)
        small = layer(f"down{t}.down_conv1", x, 2, scale)
        error = enlarge(f"down{t}.down_conv2", small) - x
        return small + layer(f"down{t}.down_conv3", error, 2, scale)

    small = [layer("feat1", layer("feat0", x, 1))]
    large = [up(1, small)]
    small = []
    while f"{name}.down{len(large)}.down_conv1.conv.weight" in state:
        small.insert(0, down(len(large), large))
        large.insert(0, up(len(large) + 1, small))
    return layer("output_conv", torch.cat(large, 1), 1)


def _unet_vgg16(state: State, name: str, x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % 16, 0, -height % 16), mode="reflect")
    skips = []
    for k in range(1, 6):
        for i in (0, 2, 4) if k > 2 else (0, 2):
            x = F.relu(_conv(state, f"{name}.conv{k}.{i}", x))
        skips.append(x)
        x = F.max_pool2d(x, 2) if k < 5 else x
    x = F.pixel_shuffle(F.relu(_conv(state, f"{name}.center.block.0.conv", x)), 2)
    for k in (4, 3, 2):
        joint = torch.cat([x, skips[k - 1]], 1)
        x = F.pixel_shuffle(F.relu(_conv(state, f"{name}.dec{k}.block.0.conv", joint)), 2)
    x = F.relu(_conv(state, f"{name}.dec1.conv", torch.cat([x, skips[0]], 1)))
    return _conv(state, f"{name}.final", x)[..., :height, :width]


def _convolutions(state: State, name: str, x: Tensor) -> Tensor:
    index = 0
    while f"{name}.nn.{index}.conv.weight" in state:
        x = F.relu(_conv(state, f"{name}.nn.{index}.conv", x))
        index += 1
    return x


def _conv(state: State, name: str, x: Tensor) -> Tensor:
    kernel = state[f"{name}.weight"]
    return F.conv2d(x, kernel, state.get(f"{name}.bias"), padding=kernel.shape[-1] // 2)


NETWORKS: dict[str, Callable[[State, Tensor], Maps]] = {
    "beltcrackdet": beltcrackdet,
    "cgnet": cgnet,
    "cssr": cssr,
    "deepcrack_liu": deepcrack_liu,
    "deepcrack_zou": deepcrack_zou,
}


class Reference:
    """One of the networks above behind the interface of an engine."""

    name = "reference"

    def __init__(self, path: Path) -> None:
        module, self.card = load_module(path)
        self._state = module.state_dict()
        self._network = NETWORKS[self.card.name]
        if self.card.arguments.get("sr", {}).get("skip"):
            self._network = partial(self._network, skip=True)

    def run(self, image: UInt8Image) -> dict[str, np.ndarray]:
        """H×W×3 or T×H×W×3 uint8 RGB → named maps without batch axis."""
        planes = np.ascontiguousarray(np.moveaxis(image, -1, 0), np.float32)[None]
        scale = (self.card.mean_rgb, self.card.std_rgb)
        mean, std = (torch.tensor(v).view(1, 3, *[1] * (image.ndim - 1)) for v in scale)
        x = (torch.from_numpy(planes) - mean) / std
        with torch.inference_mode():
            maps = self._network(self._state, x.flip(1) if self.card.channels == "bgr" else x)
        return {name: values[0].numpy() for name, values in maps.items()}


def with_random_weights(name: str, folder: Path) -> Path:
    """The network of this name, exported to a folder; norms that are not the identity."""
    torch.manual_seed(0)
    network = MODELS[name]().eval()
    for part, values in network.state_dict().items():
        if part.endswith("running_var"):
            values.uniform_(0.5, 2)
    path = folder / f"{name}.safetensors"
    save_safetensors(network, new_card(name), path)
    export_model(path, path.with_suffix(".onnx"))
    return path


def open_all(model: str | Path, workload: Workload, folder: Path) -> dict[str, Way]:
    """The reference first, then the package's class and every installed engine."""
    path = companion(resolve(model), ".safetensors")
    torch.set_num_threads(workload.threads)
    reference = Reference(path)
    workload = workload.fitted(reference.card)
    run = partial(reference.run, workload.picture())
    return {"reference": Way(run, run)} | open_ways(path, workload, folder)


def main() -> int:
    """Prints a Markdown table; exit code 1 if an exact engine differs from the reference."""
    parser = argparse.ArgumentParser(description="engines against a plain reference")
    parser.add_argument("--model", default="cgnet", help="shipped name or model file")
    parser.add_argument("--size", default="1024x1024", help="height x width of the network input")
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--random", action="store_true", help="random weights, published size")
    options = parser.parse_args()
    if options.model in NETWORKS and (options.random or options.model not in shipped()):
        with tempfile.TemporaryDirectory() as folder:
            return print_table(with_random_weights(options.model, Path(folder)), options)
    return print_table(options.model, options)


@dataclass(frozen=True)
class Row:
    """What a way costs and changes.

    `ratio`, with its quartiles, says how often it runs in the reference's time; `gaps` are the
    largest difference of the output, and what 99 % and 50 % stay within.
    """

    way: str
    median_ms: float
    ratio: tuple[float, float, float]
    gaps: tuple[float, float, float]
    differs: bool

    @property
    def cells(self) -> str:
        """Way, time, ratio and differences of a Markdown row."""
        low, ratio, high = self.ratio
        largest, p99, p50 = self.gaps
        return (
            f"{self.way} | {self.median_ms:.0f} | {ratio:.2f} ({low:.2f} to {high:.2f})"
            f" | {largest:.1e} | {p99:.1e} | {p50:.1e}"
        )


COLUMNS = "engine | median ms | times as fast (quartiles) | largest difference | 99 % | 50 %"


def measure(model: str | Path, options: argparse.Namespace) -> Iterator[Row]:
    """All ways to run a model in turn; an exact one `differs` if by more than rounding."""
    height, width = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        ways = open_all(model, Workload((height, width), threads=options.threads), Path(folder))
        outputs = {name: _main_output(way.answer()) for name, way in ways.items()}
        steps = [way.step for way in ways.values()]
        seconds = interleave(steps, options.frames, CLOCKS[options.clock])
    # Where maxima that are equal up to rounding decide on places, some pixels change.
    counts = 50 if read_card(resolve(model)).name == "deepcrack_zou" else 100
    for column, name in enumerate(ways):
        low, ratio, high = np.percentile(seconds[:, 0] / seconds[:, column], [25, 50, 75])
        gaps = differences(outputs["reference"], outputs[name])
        differs = bool(np.percentile(gaps, counts) > 1e-4) and ways[name].exact
        largest, p99, p50 = np.percentile(gaps, [100, 99, 50])
        median = 1e3 * float(np.median(seconds[:, column]))
        yield Row(name, median, (low, ratio, high), (largest, p99, p50), differs)


def _main_output(found: Answer) -> np.ndarray:
    return found["logits" if "logits" in found else "boxes_raw"]


def print_table(model: str | Path, options: argparse.Namespace) -> int:
    """Runs all and prints; 1 if an exact engine differs in more than rounding."""
    print(f"| {COLUMNS} |\n|-|-|-|-|-|-|")
    rows = list(measure(model, options))
    for row in rows:
        print(f"| {row.cells} |")
    return int(any(row.differs for row in rows))


if __name__ == "__main__":
    sys.exit(main())
