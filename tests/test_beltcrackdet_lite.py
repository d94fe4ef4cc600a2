"""BeltCrackDetLite: what it costs, that it streams exactly, that every frame tells, its start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from small_models import small_arguments  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from fissura.engines import open_engine  # noqa: E402
from fissura.models import BeltCrackDetLite, YoloxS  # noqa: E402
from fissura.models.building import restart  # noqa: E402
from fissura.types import InputError  # noqa: E402
from fissura.weights.network import new_card, save_safetensors  # noqa: E402
from fissura.weights.official import start_from  # noqa: E402

SIDE = 512
MOST_GMACS, MOST_PARAMETERS = 6.0, 3_000_000


def small(**arguments: Any) -> BeltCrackDetLite:
    torch.manual_seed(0)
    return BeltCrackDetLite(**(small_arguments("beltcrackdet_lite") | arguments))


@torch.no_grad()
def lively(network: BeltCrackDetLite, seen: Tensor | None = None) -> BeltCrackDetLite:
    """As a training begins, with the norms at what they find: every part tells in the answer."""
    torch.manual_seed(1)
    restart(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(clip(2, network.frames) if seen is None else seen)
    return network.eval()


def clip(batch: int = 1, frames: int = 5, width: int = 64) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(batch, 3, frames, 64, width)


def test_a_new_frame_costs_little_and_so_do_the_parameters() -> None:
    """Attention is counted too, of which the work grows with the square of the places."""
    with torch.device("meta"):
        network, image = BeltCrackDetLite().eval(), torch.rand(1, 3, SIDE, SIDE)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features = network.per_frame(image)
        network.fuse([features] * network.frames)
    assert counter.get_total_flops() / 2e9 <= MOST_GMACS
    assert sum(values.numel() for values in network.parameters()) <= MOST_PARAMETERS


@torch.no_grad()
@pytest.mark.parametrize("frames", [2, 3, 7])
def test_frames_one_by_one_tell_what_the_clip_does(frames: int) -> None:
    network = lively(small(frames=frames, classes=2))
    x = clip(2, frames, 96)
    features = [network.per_frame(x[:, :, k]) for k in range(frames)]
    whole, parts = network(x)["boxes_raw"], network.fuse(features)["boxes_raw"]
    assert whole.shape == (2, 7, 8, 12)
    assert float((parts - whole).abs().max()) <= 1e-5 * float(whole.abs().max())
    with pytest.raises(ValueError, match=f"must be {frames} frames"):
        network.fuse(features[1:])
    with pytest.raises(ValueError, match="input must be"):
        network(x[:, :, 1:])


@torch.no_grad()
def test_every_frame_tells() -> None:
    network, x = lively(small()), clip()
    raw = network(x)["boxes_raw"]
    for k in range(network.frames):
        changed = x.clone()
        changed[:, :, k] += torch.randn_like(changed[:, :, k])
        assert float((network(changed)["boxes_raw"] - raw).abs().max()) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("branch", ["recall", "change", "waves"])
def test_every_domain_sees_the_oldest_frame(branch: str) -> None:
    network, x = lively(small()), clip()
    seen: list[Tensor] = []
    part = getattr(network.neck, branch)
    handle = part.register_forward_hook(lambda _module, _given, out: seen.append(out))
    changed = x.clone()
    changed[:, :, 0] += torch.randn_like(changed[:, :, 0])
    for each in (x, changed):
        network(each)
    handle.remove()
    assert float((seen[0] - seen[1]).abs().max()) > 1e-3


@torch.no_grad()
def test_what_moved_is_recalled_wherever_it_went() -> None:
    """Places of an earlier frame in another order are read alike."""
    recall, key = lively(small()).neck.recall, torch.randn(1, 16, 8, 8)
    held = [recall.per_frame(torch.randn(1, 16, 8, 8)) for _ in range(2)]
    moved = [values.roll((1, 2), (2, 3)) for values in held]
    assert torch.allclose(recall(key, moved), recall(key, held), atol=1e-5)


@torch.no_grad()
def test_nothing_is_remembered_and_clips_of_a_batch_do_not_mix() -> None:
    network, x = lively(small()), clip(3)
    alone = torch.cat([network(part)["boxes_raw"] for part in x.split(1)])
    assert torch.allclose(network(x)["boxes_raw"], alone, atol=1e-4)
    assert torch.equal(network(x[:1])["boxes_raw"], alone[:1])


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "share"), [(torch.float16, 0.1), (torch.bfloat16, 0.5)])
def test_half_precision(dtype: torch.dtype, share: float) -> None:
    """Untrained, its norms enlarge what is rounded; bfloat16 rounds eight times as coarsely."""
    network, x = lively(small()), clip()
    exact = network(x)["boxes_raw"]
    with torch.autocast("cpu", dtype):
        automatic = network(x)["boxes_raw"]
    direct = network.to(dtype)(x.to(dtype))["boxes_raw"]
    assert direct.dtype == dtype
    for rounded in (automatic, direct):
        assert float((rounded.float() - exact).square().mean()) < share**2 * float(exact.var())


def test_a_training_can_begin_with_yolox(tmp_path: Path) -> None:
    """The whole backbone, and the head of the finest map."""
    yolox, path = YoloxS(classes=2, width=0.0625), tmp_path / "yolox.safetensors"
    save_safetensors(yolox, new_card("yolox_s", {"classes": 2, "width": 0.0625}), path)
    network = small(classes=2)
    start_from(network, "beltcrackdet_lite", path)
    given = yolox.state_dict()
    for name, values in network.state_dict().items():
        if name.startswith(("backbone.", "head.")):
            assert torch.equal(values, given[name]), name
    with pytest.raises(InputError, match="a quarter of its width"):
        start_from(small(width=0.5), "beltcrackdet_lite", path)


def test_the_engine_keeps_what_frames_tell(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    card = new_card("beltcrackdet_lite", small_arguments("beltcrackdet_lite"), size_hw=(64, 96))
    frames = np.random.default_rng(0).integers(0, 256, (5, 64, 96, 3), np.uint8)
    # With norms of quite other frames, its rounding alone would pass the tolerance.
    seen = torch.from_numpy(frames / 57.0 - 2.1).float().permute(3, 0, 1, 2)
    save_safetensors(lively(small(), seen + torch.randn(4, *seen.shape)), card, path)
    engine = open_engine(path, "torch", threads=1)
    assert engine.streams
    streamed = engine.fuse([engine.run_frame(frame) for frame in frames])["boxes_raw"]
    window = engine.run_clip(frames)["boxes_raw"]
    np.testing.assert_allclose(streamed, window, atol=1e-5 * float(np.abs(window).max()))


@pytest.mark.slow
def test_exported_as_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from fissura.export import export_model

    arguments = small_arguments("beltcrackdet_lite")
    path = tmp_path / "network.safetensors"
    card = new_card("beltcrackdet_lite", arguments, size_hw=(64, 96))
    save_safetensors(lively(small()), card, path)
    assert export_model(path, path.with_suffix(".onnx")).ok
