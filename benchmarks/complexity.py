"""What the detectors cost: parameters, multiply-adds, frames a second, beside the published table.

    python benchmarks/complexity.py [--size 512] [--repeats 100] [--threads N] [--device cuda]
    python benchmarks/complexity.py --repeats 0      without the speed: a few seconds

Two countings. The first takes every product, those of attention too, and every parameter. The
second goes module by module, as the counting tool of the original does: convolutions (a transposed
one at every pixel of its output with all of its taps), linear layers and normalisation, with the
parameters of these modules; what is computed between modules is not seen. FLOPs are twice the
multiply-adds.

Speed is the network, decoding and suppression on noise with random weights, as the original timed
it: reading and letterbox are not in it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fissura.decode import found_boxes
from fissura.models import MODELS

DETECTORS = ("beltcrackdet", "yolox_s")
PER_NORMALISED = 4
"""So many operations the original's tool takes for a value that is normalised."""

PUBLISHED = {
    "RIND": (265.15, 8.37, 7.6),
    "YOLOX": (29.68, 9.2, 50.8),
    "CrackFormer": (50.58, 8.42, 17.3),
    "JTFN": (656.48, 17.87, 1.8),
    "PyramidFlow": (76.28, 10.27, 14.5),
    "CrackNex": (47.35, 14.21, 13.6),
    "SimCrack": (76.19, 9.54, 15.1),
    "ADL4VAD": (120.72, 15.88, 11.7),
    "UniAS": (127.02, 11.95, 12.9),
    "vid-TLDR": (351.14, 46.71, 2.6),
    "TAPTR": (57.28, 27.40, 13.3),
    "AOST": (182.45, 33.84, 9.5),
    "BeltCrackDet": (254.04, 24.41, 9.2),
}
"""GFLOPs, million parameters and frames a second (RTX 4090) of table 4 of the paper."""


def build(name: str, size: int, device: str) -> tuple[Any, Tensor]:
    """The network as published and an input of noise for it."""
    with torch.device(device):
        network: Any = MODELS[name]()
        frames = getattr(network, "frames", 1)
        shape = (1, 3, frames, size, size) if frames > 1 else (1, 3, size, size)
        return network, torch.rand(shape)


def count_all(network: nn.Module, x: Tensor) -> tuple[float, int]:
    """GFLOPs with attention, and all parameters; nothing is computed."""
    # In training the block whose share starts at 0 is not passed over.
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.train()(x)
    return counter.get_total_flops() / 1e9, sum(p.numel() for p in network.parameters())


def count_modules(network: nn.Module, x: Tensor) -> tuple[float, int]:
    """GFLOPs and parameters of the modules that counting tools know."""
    total, seen = 0, set()

    def note(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        seen.update(module.parameters(recurse=False))
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            rows, columns = module.kernel_size
            total += out.numel() * module.in_channels // module.groups * rows * columns
        elif isinstance(module, nn.Linear):
            total += out.numel() * module.in_features
        else:
            total += PER_NORMALISED * given[0].numel()

    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d, nn.BatchNorm1d, nn.LayerNorm)
    known = [module for module in network.modules() if isinstance(module, kinds)]
    hooks = [module.register_forward_hook(note) for module in known]
    with torch.no_grad():
        network.train()(x)
    for hook in hooks:
        hook.remove()
    return 2 * total / 1e9, sum(p.numel() for p in seen)


def frames_per_second(name: str, size: int, repeats: int, device: str) -> float:
    """Median speed of network, decoding and suppression."""
    network, x = build(name, size, device)
    network.eval()
    seconds = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        with torch.inference_mode():
            raw = {key: value[0].cpu().numpy() for key, value in network(x).items()}
        found_boxes(raw, network.STRIDES, network.THRESHOLD, 0.65)
        seconds.append(time.perf_counter() - start)
    return 1 / statistics.median(seconds[2:])


def main() -> None:
    """Print one table: both countings of ours, then the published rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    torch.manual_seed(0)
    if given.threads:
        torch.set_num_threads(given.threads)
    where = torch.cuda.get_device_name() if given.device == "cuda" else "processor"
    print(f"| network, {given.size}×{given.size} | counting | parameters (M) | GFLOPs | frames/s |")
    print("|-|-|-|-|-|")
    for name in DETECTORS:
        network, x = build(name, given.size, "meta")
        speed = ""
        if given.repeats:
            fps = frames_per_second(name, given.size, given.repeats, given.device)
            speed = f"{fps:.3g} ({where}, {torch.get_num_threads()} threads)"
        for kind, count in (("all", count_all), ("by module", count_modules)):
            flops, parameters = count(network, x)
            print(f"| {name} | {kind} | {parameters / 1e6:.2f} | {flops:.2f} | {speed} |")
            speed = ""
    for name, (flops, millions, fps) in PUBLISHED.items():
        print(f"| {name} | published | {millions} | {flops} | {fps} (RTX 4090) |")


if __name__ == "__main__":
    main()
