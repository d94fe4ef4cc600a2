"""CSSR's losses and the distance maps they read: sound where the release is not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fissura.distance import normalised_distance, signed_distance
from fissura.types import BoolMask

torch = pytest.importorskip("torch")

from pydantic import ValidationError  # noqa: E402

from fissura.train.boundary import (  # noqa: E402
    PUBLISHED,
    boundary,
    boundary_alpha,
    combo_loss,
    dice,
    generalised_dice,
    released_combo_loss,
    released_cross_entropy,
    released_generalised_dice,
    weighted_cross_entropy,
)
from fissura.train.config import (  # noqa: E402
    AlphaSettings,
    ComboLossSettings,
    OptimiserSettings,
    ScheduleSettings,
)
from fissura.train.schedule import learning_rate  # noqa: E402

masks = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))
SOUND = {name: loss.model_copy(update={"released": False}) for name, loss in PUBLISHED.items()}
KINDS = ("crack", "empty", "full", "pixel")


# ---- distances -----------------------------------------------------------------------------


def brute_force(mask: BoolMask) -> np.ndarray:
    """Distance to every pixel of the other kind, the nearest taken."""
    if mask.all() or not mask.any():
        return np.zeros(mask.shape)
    rows, columns = np.indices(mask.shape)
    out = np.zeros(mask.shape)
    for y, x in np.ndindex(mask.shape):
        other = mask != mask[y, x]
        nearest = np.hypot(rows[other] - y, columns[other] - x).min()
        out[y, x] = (0 if nearest == 1 else -nearest) if mask[y, x] else nearest
    return out


@given(masks)
def test_distance_is_the_brute_force_one(mask: BoolMask) -> None:
    want = brute_force(mask)
    np.testing.assert_allclose(signed_distance(mask), want, rtol=1e-6)
    sides = [np.maximum(sign * want, 0) for sign in (1, -1)]
    scaled = [side / max(side.max(), 1) for side in sides]
    np.testing.assert_allclose(normalised_distance(mask), scaled[0] - scaled[1], atol=1e-6)


@given(masks)
def test_distance_is_below_0_inside_only(mask: BoolMask) -> None:
    scaled = normalised_distance(mask)
    assert np.isfinite(scaled).all()
    assert (scaled[mask] <= 0).all()
    assert (scaled[~mask] >= 0).all()
    assert np.abs(scaled).max() <= 1
    np.testing.assert_allclose(normalised_distance(mask[::-1].T), scaled[::-1].T, atol=1e-6)


def test_a_full_mask_has_numbers_unless_as_released() -> None:
    full = np.ones((4, 6), bool)
    assert not normalised_distance(full).any()
    assert not signed_distance(full).any()
    assert np.isnan(normalised_distance(full, released=True)).all()
    assert not normalised_distance(~full, released=True).any()


# ---- losses --------------------------------------------------------------------------------


def target_of(kind: str) -> torch.Tensor:
    mask = torch.zeros(1, 1, 12, 16, dtype=torch.float64)
    if kind == "crack":
        mask[..., 4:7, :] = 1
    elif kind == "pixel":
        mask[..., 5, 6] = 1
    return 1 - mask if kind == "full" else mask


def distance_of(target: torch.Tensor) -> torch.Tensor:
    maps = [normalised_distance(mask[0] >= 0.5) for mask in target.numpy()]
    return torch.from_numpy(np.stack(maps))[:, None].to(target.dtype)


def noise(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 1, 12, 16, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_values_and_gradients_are_numbers(name: str, kind: str, size: float) -> None:
    target = target_of(kind).float()
    logits = (noise() * size).float().requires_grad_()
    for alpha in (1.0, 0.5, 0.01):
        loss = combo_loss(logits, target, distance_of(target), alpha, SOUND[name])
        assert loss.shape == (1,)
        assert torch.isfinite(loss).all()
        assert torch.isfinite(torch.autograd.grad(loss.sum(), logits)[0]).all()


@pytest.mark.parametrize("name", SOUND)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    target = target_of("crack")
    distance = distance_of(target)
    logits = noise().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: combo_loss(z, target, distance, 0.6, SOUND[name]), (logits,)
    )


@pytest.mark.parametrize("kind", ["crack", "pixel"])
@pytest.mark.parametrize("name", SOUND)
def test_the_truth_costs_least(name: str, kind: str) -> None:
    target = target_of(kind)
    distance = distance_of(target)
    right = 20 * (2 * target - 1)
    for alpha in (1.0, 0.5):
        best, worst, guess = (
            float(combo_loss(logits, target, distance, alpha, SOUND[name]))
            for logits in (right, -right, noise())
        )
        assert best < guess < worst


def test_pictures_of_a_batch_do_not_know_each_other() -> None:
    targets = torch.cat([target_of(kind) for kind in KINDS])
    logits = torch.cat([noise(k) for k in range(len(KINDS))])
    distances = distance_of(targets)
    for settings_ in (*SOUND.values(), *PUBLISHED.values()):
        whole = combo_loss(logits, targets, distances, 0.4, settings_)
        for k in range(len(KINDS)):
            one = slice(k, k + 1)
            alone = combo_loss(logits[one], targets[one], distances[one], 0.4, settings_)
            assert float(alone) == pytest.approx(float(whole[k]), rel=1e-12)


def test_logits_and_probabilities_agree_where_both_can() -> None:
    target, logits = target_of("crack"), noise()
    p = torch.sigmoid(logits)
    for weights in ((1.0, 1.0), (1.0, 20.0)):
        ours = weighted_cross_entropy(logits, target, weights)
        theirs = released_cross_entropy(p, target, weights)
        assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
    for name in ("dice", "bc1", "bc2"):
        ours = combo_loss(logits, target, distance_of(target), 0.7, SOUND[name])
        theirs = released_combo_loss(p, target, distance_of(target), 0.7, PUBLISHED[name])
        assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


def test_half_precision_is_computed_in_full() -> None:
    target = target_of("crack").float()
    logits = (noise() * 10).to(torch.bfloat16)
    coarse = combo_loss(logits, target, distance_of(target), 0.5, SOUND["bc1"])
    fine = combo_loss(logits.float(), target, distance_of(target), 0.5, SOUND["bc1"])
    assert coarse.dtype == torch.float32
    assert torch.equal(coarse, fine)


def test_generalised_dice_lies_between_0_and_1() -> None:
    for kind in KINDS:
        target = target_of(kind)
        p = torch.sigmoid(noise())
        assert 0 <= float(generalised_dice(p, target)) <= 1
        assert float(generalised_dice(target, target)) == pytest.approx(0, abs=1e-12)
        assert float(generalised_dice(1 - target, target)) == pytest.approx(1, abs=1e-12)


def test_a_picture_without_cracks_teaches_only_the_sound_form() -> None:
    """Its generalised Dice is the mean probability; the released one is 1 without a slope."""
    target = target_of("empty")
    p = torch.sigmoid(noise()).requires_grad_()
    ours = generalised_dice(p, target)
    assert ours.item() == pytest.approx(p.mean().item())
    slope = torch.autograd.grad(ours.sum(), p)[0]
    torch.testing.assert_close(slope, torch.full_like(slope, 1 / p.numel()))
    theirs = released_generalised_dice(p, target)
    assert theirs.item() == pytest.approx(1)
    assert float(torch.autograd.grad(theirs.sum(), p)[0].abs().max()) < 1e-12


@pytest.mark.parametrize(("pixels", "empty", "perfect"), [(10**4, 0.82, -0.048), (10**5, 0, -0.33)])
def test_released_generalised_dice_rewards_nothing(
    pixels: int, empty: float, perfect: float
) -> None:
    """With large cracks an empty answer costs no more than a perfect one should."""
    target = torch.zeros(1, 1, 400, 500, dtype=torch.float64)
    target.view(-1)[:pixels] = 1
    nothing = released_generalised_dice(torch.zeros_like(target), target)
    assert float(nothing) == pytest.approx(empty, abs=0.005)
    assert float(released_generalised_dice(target, target)) == pytest.approx(perfect, abs=0.005)


@given(st.integers(0, 99))
def test_dice_and_boundary_stay_within_bounds(seed: int) -> None:
    target, p = target_of("crack"), torch.sigmoid(3 * noise(seed))
    assert 0 <= float(dice(p, target)) <= 1
    assert -1 <= float(boundary(p, distance_of(target))) <= 1


# ---- schedules -----------------------------------------------------------------------------


@given(
    st.builds(
        AlphaSettings,
        rule=st.sampled_from(["epochs", "released"]),
        step=st.floats(0, 0.2),
        epochs=st.floats(0.1, 3),
    ),
    st.integers(10, 500),
    st.integers(1, 8),
)
@settings(max_examples=50)
def test_alpha_falls_from_start_to_minimum(alpha: AlphaSettings, pictures: int, batch: int) -> None:
    values = [boundary_alpha(k, pictures, batch, alpha) for k in range(0, 5000, 97)]
    assert values[0] == alpha.start
    assert all(a >= b for a, b in itertools.pairwise(values))
    overshoot = alpha.step if alpha.rule == "released" else 0
    assert values[-1] >= alpha.minimum - overshoot - 1e-9


def test_alpha_loses_a_hundredth_per_epoch() -> None:
    values = [boundary_alpha(k, 12, 6, AlphaSettings()) for k in (0, 1, 2, 3, 4, 40, 10_000)]
    assert values == pytest.approx([1, 1, 0.99, 0.99, 0.98, 0.8, 0.01])
    twice = [boundary_alpha(k, 12, 6, AlphaSettings(epochs=0.5)) for k in (0, 1, 2, 40)]
    assert twice == pytest.approx([1, 0.99, 0.98, 0.6])
    assert boundary_alpha(10**6, 12, 6, AlphaSettings(step=0)) == 1


def test_alpha_of_the_published_run() -> None:
    """9,122 pictures in batches of 6: an epoch has 1,521 iterations, and the floor is far."""
    released = AlphaSettings(rule="released")
    assert boundary_alpha(1520, 9122, 6, released) == 1
    assert boundary_alpha(1521, 9122, 6, released) == 0.99
    assert boundary_alpha(99_999, 9122, 6, released) == pytest.approx(0.35)


def test_warm_up_from_a_share_of_the_rate() -> None:
    schedule = ScheduleSettings(name="constant", warmup=10, warmup_factor=0.2)
    rates = [learning_rate(k, 100, OptimiserSettings(lr=1.0), schedule) for k in (0, 5, 9, 10, 99)]
    assert rates == pytest.approx([0.2, 0.6, 0.92, 1, 1])


def test_settings_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="set one of them"):
        ComboLossSettings(cross_entropy=0, overlap=0)
    with pytest.raises(ValidationError, match="class_weights"):
        ComboLossSettings(class_weights=(0, 1))
