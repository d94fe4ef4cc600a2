"""What a network leaves out or does at once when it only runs changes no answer."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from small_models import small_arguments  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from fissura.models import MODELS  # noqa: E402
from fissura.models.beltcrackdet.spatial import MemoryReader  # noqa: E402
from fissura.models.beltcrackdet.swin import FrameSwin  # noqa: E402
from fissura.models.beltcrackdet.temporal import EDGES, NeighbourGraph  # noqa: E402
from fissura.weights.deploy import simplify  # noqa: E402
from fissura.weights.winograd import WinogradConv, fits, with_winograd  # noqa: E402

sides = st.integers(1, 21)


def uneven(network: nn.Module) -> nn.Module:
    """Norms that are no identity, in 64 bits and eval mode, so that nothing is lost in rounding."""
    torch.manual_seed(1)
    for name, values in network.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 2)
        elif values.is_floating_point():
            values.add_(0.1 * torch.randn_like(values))
    return network.double().eval()


@torch.no_grad()
def same(network: nn.Module, *given: Any) -> bool:
    """Whether a simplified copy answers as the network does, in 64 bits."""
    simple = nn.Sequential(copy.deepcopy(network))
    simplify(simple, fused=True)
    assert type(simple[0]) is not type(network) or not isinstance(network, FrameSwin)
    wanted, found = network(*given), simple[0](*given)
    if isinstance(wanted, Tensor):
        wanted, found = {"": wanted}, {"": found}
    return all(torch.allclose(found[k], wanted[k], rtol=1e-9, atol=1e-10) for k in wanted)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 2), sides, sides, st.integers(1, 3))
def test_attention_from_windows_to_windows(batch: int, h: int, w: int, frames: int) -> None:
    swin = uneven(FrameSwin(16, frames))
    assert same(swin, torch.randn(batch, 16 * frames, h, w).double())


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 2), st.integers(2, 9), st.integers(2, 9), st.sampled_from(EDGES))
def test_every_edge_is_computed_once(batch: int, h: int, w: int, edges: Any) -> None:
    graph = uneven(NeighbourGraph(8, edges))
    assert same(graph, torch.randn(batch, 8, h, w).double())


def test_keys_as_long_as_values() -> None:
    reader = uneven(MemoryReader(8))
    pairs = [(torch.randn(2, 4, 3, 5).double(), torch.randn(2, 8, 3, 5).double()) for _ in "ab"]
    assert same(reader, *pairs)


@pytest.mark.parametrize("name", ["beltcrackdet", "beltcrackdet_lite", "yolox_s"])
def test_detectors_answer_the_same_without_norms(name: str) -> None:
    torch.manual_seed(0)
    network = uneven(MODELS[name](**small_arguments(name)))
    frames = getattr(network, "frames", 0)
    x = torch.randn(2, 3, *([frames] if frames else []), 64, 96).double()
    assert same(network, x)
    simplify(network)
    left = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]
    assert not left


@torch.no_grad()
def test_sizes_may_change_and_share_nothing() -> None:
    network = uneven(MODELS["beltcrackdet"](**small_arguments("beltcrackdet")))
    simple = copy.deepcopy(network)
    simplify(simple, (64, 64))
    for side in (64, 128, 64):
        x = torch.randn(1, 3, 5, side, 96).double()
        found, wanted = simple(x)["boxes_raw"], network(x)["boxes_raw"]
        assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-10)


def test_a_norm_by_the_batch_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    x = torch.randn(2, 3, 5, 5)
    wanted = network(x)
    simplify(network)
    assert torch.allclose(network(x), wanted)


# ---- fewer products ------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13), st.booleans())
def test_fewer_products_make_the_same_sums(batch: int, h: int, w: int, bias: bool) -> None:
    torch.manual_seed(h)
    conv = nn.Conv2d(64, 80, 3, padding=1, bias=bias).double()
    x = torch.randn(batch, 64, h, w).double()
    with torch.no_grad():
        assert torch.allclose(WinogradConv(conv)(x), conv(x), rtol=1e-9, atol=1e-10)


@torch.no_grad()
def test_rounding_stays_small() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(128, 128, 3, padding=1), torch.randn(1, 128, 32, 32)
    exact = conv.double()(x.double())
    found = WinogradConv(conv.float())(x)
    assert float((found - exact).abs().max()) < 4e-6 * float(exact.abs().max())


def test_only_wide_plain_convolutions_are_replaced() -> None:
    plain = nn.Conv2d(64, 64, 3, padding=1)
    others = [
        nn.Conv2d(32, 64, 3, padding=1),
        nn.Conv2d(64, 64, 3, padding=1, stride=2),
        nn.Conv2d(64, 64, 3, padding=2, dilation=2),
        nn.Conv2d(64, 64, 3, padding=1, groups=64),
        nn.Conv2d(64, 64, 1),
    ]
    assert fits(plain)
    assert not any(fits(other) for other in others)
    network = nn.Sequential(plain, *others)
    with_winograd(network)
    assert [type(part) for part in network] == [WinogradConv, *[nn.Conv2d] * 5]
