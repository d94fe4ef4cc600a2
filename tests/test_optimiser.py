"""What is trained and decayed, the rate of every iteration, and the average of weights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from pydantic import ValidationError  # noqa: E402
from small_models import small_arguments  # noqa: E402
from torch import nn  # noqa: E402

from fissura.models import MODELS  # noqa: E402
from fissura.models.building import build_network  # noqa: E402
from fissura.train.checkpoint import MovingAverage  # noqa: E402
from fissura.train.optimiser import build_optimiser  # noqa: E402
from fissura.train.optimiser_config import OptimiserSettings, ScheduleSettings  # noqa: E402
from fissura.train.schedule import learning_rate  # noqa: E402

PEAK, FLOOR = 1.0, 0.01
epochs = st.integers(1, 400)


def network_of(name: str) -> nn.Module:
    return build_network(name, small_arguments(name), "arguments")


def names_in(optimiser: torch.optim.Optimizer, network: nn.Module) -> dict[str, float]:
    """The decay of every parameter that the optimiser has; none may stand in two groups."""
    names = {p: name for name, p in network.named_parameters()}
    rows = [(names[p], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


@pytest.mark.parametrize("model", MODELS)
def test_everything_is_trained_and_matrices_decay(model: str) -> None:
    network = network_of(model)
    decays = names_in(build_optimiser(network, OptimiserSettings(weight_decay=0.1)), network)
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert set(decays) == set(trained)
    assert all(trained[name].ndim > 1 for name, decay in decays.items() if decay)
    assert not [name for name, decay in decays.items() if decay and not name.endswith("weight")]
    all_of_them = OptimiserSettings(weight_decay=0.1, decay_all=True)
    assert set(names_in(build_optimiser(network, all_of_them), network).values()) == {0.1}


def test_tables_and_gains_of_channels_do_not_decay() -> None:
    network = network_of("beltcrackdet")
    decays = names_in(build_optimiser(network, OptimiserSettings(weight_decay=0.1)), network)
    kept = ("scale", "relative_position_bias_table", "gamma")
    assert not any(decay for name, decay in decays.items() if any(k in name for k in kept))
    assert decays["neck.conv_dw.wavelet_convs.0.weight"]


def test_official_groups() -> None:
    network = network_of("beltcrackdet")
    settings = OptimiserSettings(
        name="sgd", nesterov=True, weight_decay=0.1, official_parameter_groups=True
    )
    optimiser = build_optimiser(network, settings)
    decays = names_in(optimiser, network)
    left = {name for name, p in network.named_parameters() if p.requires_grad} - set(decays)
    tables = {f"neck.swin.tr.{k}.attn.relative_position_bias_table" for k in (0, 1)}
    assert left == {"neck.nolocal.gamma"} | tables
    assert all(group["nesterov"] for group in optimiser.param_groups)
    vectors = {n for n, p in network.named_parameters() if p.ndim == 1 and decays.get(n)}
    assert vectors == {
        *(f"neck.gal.{part}_func.1.weight" for part in (
            "edge_aggregation", "vertex_update", "edge_update", "update_edge_reduce")),
        *(f"neck.swin.tr.{k}.norm{n}.weight" for k in (0, 1) for n in (1, 2)),
    }  # fmt: skip
    assert decays["neck.conv_dw.base_scale.weight"]


# ---- schedule ------------------------------------------------------------------------------


def yolox_rates(count: int, every: int = 1) -> list[float]:
    schedule = ScheduleSettings(name="yolox", every=every, final_lr=FLOOR)
    optimiser = OptimiserSettings(lr=PEAK)
    return [learning_rate(k, count * every, optimiser, schedule) for k in range(count * every)]


@given(epochs)
def test_yolox_rises_falls_and_stays(count: int) -> None:
    rates = yolox_rates(count)
    assert rates[0] == pytest.approx(0.1 * PEAK)
    assert all(FLOOR <= rate <= PEAK for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if count > 2:
        assert rates[-1] == FLOOR
        assert top <= 3


@given(st.integers(1, 30), st.integers(1, 9))
def test_yolox_keeps_its_rate_for_an_epoch(count: int, every: int) -> None:
    slow = yolox_rates(count, every)
    assert slow == [rate for rate in yolox_rates(count) for _ in range(every)]


def test_an_epoch_begun_counts() -> None:
    schedule = ScheduleSettings(name="yolox", every=10, final_lr=FLOOR)
    rates = [learning_rate(k, 95, OptimiserSettings(lr=PEAK), schedule) for k in range(95)]
    assert rates == yolox_rates(10, 10)[:95]


@pytest.mark.parametrize(
    ("settings", "given", "word"),
    [
        (ScheduleSettings, {"name": "yolox"}, "every"),
        (ScheduleSettings, {"name": "yolox", "every": 5, "warmup": 2}, "leave it out"),
        (OptimiserSettings, {"nesterov": True}, "name: sgd"),
        (OptimiserSettings, {"name": "sgd", "momentum": 0, "nesterov": True}, "momentum"),
        (OptimiserSettings, {"official_parameter_groups": True, "decay_all": True}, "leave it"),
    ],
)
def test_settings_that_cannot_be(
    settings: type[ScheduleSettings | OptimiserSettings], given: dict[str, object], word: str
) -> None:
    with pytest.raises(ValidationError, match=word):
        settings.model_validate(given)


# ---- average -------------------------------------------------------------------------------


@pytest.mark.parametrize("warmup", [None, 3.0])
def test_the_average_follows_weights_and_statistics(warmup: float | None) -> None:
    network = nn.BatchNorm1d(2)
    average = MovingAverage(network, 0.9, warmup)
    wanted = {name: value.clone() for name, value in network.state_dict().items()}
    for iteration in range(5):
        for value in network.state_dict().values():
            value.add_(1)
        average.update(network, iteration)
        kept = average.decay_at(iteration)
        for name, value in network.state_dict().items():
            mixed = kept * wanted[name] + (1 - kept) * value
            wanted[name] = mixed if value.is_floating_point() else value.clone()
    for name, value in average.network.state_dict().items():
        assert torch.allclose(value, wanted[name])


@given(st.floats(0, 0.9999), st.one_of(st.none(), st.floats(1, 1e4)))
def test_the_average_forgets_its_start(decay: float, warmup: float | None) -> None:
    average = MovingAverage(nn.Linear(1, 1), decay, warmup)
    kept = [average.decay_at(k) for k in (0, 1, 10, 1000, 10**7)]
    assert kept == sorted(kept)
    assert kept[-1] == pytest.approx(decay)
