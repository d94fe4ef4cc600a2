"""BeltCrackDet: its switches, its parts against plain arithmetic, number formats, export."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from small_models import small_arguments  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from fissura.models import BeltCrackDet  # noqa: E402
from fissura.models.beltcrackdet.frequency import analyse, synthesise  # noqa: E402
from fissura.models.beltcrackdet.fusion import RCU  # noqa: E402
from fissura.models.beltcrackdet.spatial import NonLocal, attend  # noqa: E402
from fissura.models.beltcrackdet.swin import relative_positions  # noqa: E402
from fissura.models.beltcrackdet.temporal import NeighbourGraph  # noqa: E402
from fissura.models.settings import check_settings  # noqa: E402
from fissura.weights.network import Deployed, new_card, save_safetensors  # noqa: E402

ROWS: dict[str, tuple[dict[str, Any], int]] = {
    "w/o All": ({"hsm": False, "atm": False, "wfm": False}, 7_226_310),
    "w HSM": ({"atm": False, "wfm": False}, 10_231_271),
    "w HSM & ATM": ({"wfm": False}, 39_445_493),
    "w/o R": ({"rcu": ()}, 55_836_109),
    "w R(A)": ({"rcu": (1,)}, 55_429_039),
    "w R(B)": ({"rcu": (1, 2)}, 55_021_969),
    "w R(C)": ({}, 54_614_899),
}
"""The published ablations, with the parameters that each network has and uses."""


def small(**arguments: Any) -> BeltCrackDet:
    torch.manual_seed(0)
    return BeltCrackDet(**(small_arguments("beltcrackdet") | arguments))


def lively(network: nn.Module) -> nn.Module:
    """Larger weights and uneven norms, so that every part tells in the answer."""
    torch.manual_seed(1)
    for name, values in network.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 2)
        elif values.is_floating_point():
            fan_in = max(values[0].numel(), 1) if values.ndim > 1 else 1
            spread = fan_in**-0.5 if values.ndim > 1 else 0.1
            values.add_(spread * torch.randn_like(values))
    return network.eval()


def clip(batch: int = 1, frames: int = 5, side: int = 64) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(batch, 3, frames, side, side)


@pytest.mark.parametrize("row", ROWS)
def test_the_published_ablations_have_the_size_of_their_parts(row: str) -> None:
    arguments, count = ROWS[row]
    with torch.device("meta"):
        network = BeltCrackDet(**arguments)
    assert sum(values.numel() for values in network.parameters()) == count
    fusions = [m for m in network.modules() if isinstance(m, RCU)]
    assert len(fusions) == (0 if not network.neck.wfm else len(arguments.get("rcu", (1, 2, 3))))


@pytest.mark.parametrize("wrong", [{"rcu": 3}, {"rcu": [1.0]}, {"width": True}, {"hsm": 1}])
def test_settings_of_another_kind_are_refused(wrong: dict[str, Any]) -> None:
    check_settings(BeltCrackDet, {"rcu": [], "width": 1, "hsm": False})
    with pytest.raises(ValueError, match=r"cannot be .* rcu \(a list of whole numbers\)"):
        check_settings(BeltCrackDet, wrong)


@pytest.mark.parametrize("branches", itertools.product([False, True], repeat=3))
def test_every_choice_of_branches_learns(branches: tuple[bool, bool, bool]) -> None:
    hsm, atm, wfm = branches
    network = small(hsm=hsm, atm=atm, wfm=wfm, rcu=(2,), edges="levelled", classes=3)
    raw = network(clip(2))["boxes_raw"]
    assert raw.shape == (2, 8, 8, 8)
    raw.square().sum().backward()
    assert all(values.grad is not None for values in network.parameters())


@pytest.mark.parametrize("frames", [2, 3, 7])
def test_any_number_of_frames(frames: int) -> None:
    network = lively(small(frames=frames))
    x = clip(frames=frames)
    raw = network(x)["boxes_raw"]
    assert raw.shape == (1, 6, 8, 8)
    for k in range(frames):
        changed = x.clone()
        changed[:, :, k] += torch.randn_like(changed[:, :, k])
        assert not torch.allclose(network(changed)["boxes_raw"], raw, atol=2e-5)
    with pytest.raises(ValueError, match="input must be"):
        network(clip(frames=frames + 1))


def test_without_all_branches_only_the_key_frame_counts() -> None:
    network = small(hsm=False, atm=False, wfm=False).eval()
    x = clip()
    others = torch.cat([torch.randn_like(x[:, :, :4]), x[:, :, 4:]], dim=2)
    assert torch.equal(network(x)["boxes_raw"], network(others)["boxes_raw"])


@torch.no_grad()
def test_nothing_is_remembered_and_clips_of_a_batch_do_not_mix() -> None:
    network = lively(small())
    x = clip(3)
    alone = torch.cat([network(part)["boxes_raw"] for part in x.split(1)])
    assert torch.allclose(network(x)["boxes_raw"], alone, atol=1e-4)
    assert torch.equal(network(x[:1])["boxes_raw"], alone[:1])


@torch.no_grad()
def test_batch_statistics_are_of_one_frame_at_a_time() -> None:
    network, frames = small().train(), 5
    stem = network.backbone.backbone.stem.conv.bn
    network(clip(2))
    assert int(stem.num_batches_tracked) == frames
    assert int(network.head.stems[0].bn.num_batches_tracked) == 1


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    network = lively(small())
    x = clip()
    exact = network(x)["boxes_raw"]
    with torch.autocast("cpu", dtype):
        automatic = network(x)["boxes_raw"]
    direct = network.to(dtype)(x.to(dtype))["boxes_raw"]
    assert direct.dtype == dtype
    for rounded in (automatic, direct):
        assert float((rounded.float() - exact).abs().max()) < 0.1 * float(exact.abs().max())


def test_the_start_is_the_releases() -> None:
    network = small(width=0.5)
    spreads = {
        name: float(values.detach().std())
        for name, values in network.named_parameters()
        if values.ndim == 4 and values.numel() > 1000 and ".wavelet_scale" not in name
    }
    assert all(0.017 < spread < 0.023 for spread in spreads.values())
    neck = network.neck
    assert neck.nolocal.gamma.tolist() == [0]
    assert bool((neck.conv_dw.base_scale.weight == 1).all())
    assert all(bool((scale.weight == 0.1).all()) for scale in neck.conv_dw.wavelet_scale)
    table = neck.swin.tr[1].attn.relative_position_bias_table.detach()
    assert 0.015 < float(table.std()) < 0.025
    assert bool((neck.gal.edge_aggregation_func[1].weight == 1).all())
    gains = [m.weight.detach() for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert 0.015 < float(torch.cat(gains).std()) < 0.025


# ---- parts ---------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**16))
def test_wavelets_come_back(rows: int, columns: int, seed: int) -> None:
    x = torch.randn(1, 2, 2 * rows, 2 * columns, generator=torch.Generator().manual_seed(seed))
    bands = analyse(x)
    assert torch.allclose(synthesise(bands), x, atol=1e-5)
    assert torch.allclose(bands.square().sum(), x.square().sum(), rtol=1e-4)


def test_bands_are_mean_and_differences_of_rows_columns_and_both() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 7.0]]).view(1, 1, 2, 2)
    assert torch.allclose(analyse(x).flatten(), torch.tensor([6.5, -3.5, -2.5, 1.5]))


@torch.no_grad()
def test_attention_reads_by_softmax() -> None:
    query, key, value = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 5), torch.randn(2, 6, 3, 5)
    shares = (0.3 * torch.einsum("bdp,bdm->bpm", query.flatten(2), key.flatten(2))).softmax(-1)
    wanted = torch.einsum("bpm,bcm->bcp", shares, value.flatten(2)).view(value.shape)
    assert torch.allclose(attend(query, key, value, 0.3), wanted, atol=1e-5)


@torch.no_grad()
def test_attention_with_a_share_of_nothing_is_left_out() -> None:
    block, x = NonLocal(16), torch.randn(1, 16, 4, 6)
    assert block.eval()(x) is x
    assert torch.equal(block.train()(x), x)
    block.gamma.fill_(0.5)
    read = attend(block.query_conv(x), block.key_conv(x), block.value_conv(x), 1.0)
    assert torch.allclose(block.eval()(x), x + 0.5 * read, atol=1e-6)


@torch.no_grad()
def test_the_graph_wraps_or_ends_at_its_edges() -> None:
    x = torch.randn(1, 8, 6, 7)
    for edges in ("wrap", "replicate"):
        wrap = edges == "wrap"
        graph = lively(NeighbourGraph(8, edges))
        moved = graph(x.roll((2, 3), (2, 3))).roll((-2, -3), (2, 3))
        assert torch.allclose(moved, graph(x), atol=1e-5) == wrap
        inner = functional.pad(x, (1, 1, 1, 1), mode="circular" if wrap else "replicate")
        assert torch.allclose(graph(inner)[..., 1:-1, 1:-1], graph(x), atol=1e-5)


@torch.no_grad()
def test_a_levelled_graph_does_not_see_how_far_its_input_has_grown() -> None:
    graph, x = lively(NeighbourGraph(8, "levelled")), torch.randn(2, 8, 6, 7)
    assert torch.allclose(graph(1e6 * x), graph(x), rtol=1e-3, atol=1e-3)


def test_relative_positions_run_from_query_to_key() -> None:
    frames = 3
    index = relative_positions(frames)
    assert index.shape == (frames * 64, frames * 64)
    places = list(itertools.product(range(frames), range(8), range(8)))
    rng = np.random.default_rng(0)
    for i, j in rng.integers(0, len(places), (200, 2)):
        dt, dx, dy = (a - b for a, b in zip(places[i], places[j], strict=True))
        assert int(index[i, j]) == (dt + frames - 1) * 225 + (dx + 7) * 15 + dy + 7


@torch.no_grad()
def test_windows_keep_what_lies_far_apart_separate() -> None:
    """Two layers, of which one is shifted by half a window, reach 12 pixels at most."""
    swin = lively(small().neck.swin)
    x = torch.randn(1, 6 * 16, 8, 40)
    changed = x.clone()
    changed[..., :8] += torch.randn_like(changed[..., :8])
    difference = (swin(changed) - swin(x)).abs().amax((0, 1, 2))
    assert float(difference[:12].min()) > 1e-4
    assert float(difference[12:].max()) < 1e-5


# ---- export --------------------------------------------------------------------------------


@torch.no_grad()
def test_normalisation_is_inside_the_deployed_network() -> None:
    network = lively(small())
    card = new_card("beltcrackdet", small_arguments("beltcrackdet"))
    assert (card.frames, card.strides, card.classes) == (5, (8,), ("crack",))
    image = torch.rand(1, 3, 5, 64, 96) * 255
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    found = Deployed(network, card)(image)["boxes_raw"]
    wanted = network((image / 255 - mean) / std)["boxes_raw"]
    assert torch.allclose(found, wanted, atol=1e-4)


@pytest.mark.slow
def test_exported_as_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from fissura.export import export_model

    arguments = small_arguments("beltcrackdet") | {"frames": 3}
    network = lively(small(frames=3))
    path = tmp_path / "network.safetensors"
    save_safetensors(network, new_card("beltcrackdet", arguments, size_hw=(64, 96)), path)
    assert export_model(path, path.with_suffix(".onnx")).ok


def test_attention_without_effect_is_not_exported() -> None:
    pytest.importorskip("onnxscript")
    from fissura.export.rewrites import rewrite

    for gamma, kind in ((0.0, nn.Identity), (0.5, NonLocal)):
        network = small()
        nn.init.constant_(network.neck.nolocal.gamma, gamma)
        rewrite(network)
        assert isinstance(network.neck.nolocal, kind)


@torch.no_grad()
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_cuda_gives_what_the_processor_gives(dtype: torch.dtype) -> None:
    network = lively(small())
    x = clip(2, side=128)
    exact = network(x)["boxes_raw"]
    found = network.to("cuda", dtype)(x.to("cuda", dtype))["boxes_raw"].float().cpu()
    allowed = 1e-3 if dtype == torch.float32 else 0.1
    assert float((found - exact).abs().max()) < allowed * float(exact.abs().max())
