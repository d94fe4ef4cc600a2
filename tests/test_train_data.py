"""What a training run reads, in which order it takes it, and what a batch looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from fissura.config import build_settings  # noqa: E402
from fissura.train.config import Stage, TrainConfig  # noqa: E402
from fissura.train.data import (  # noqa: E402
    TrainingData,
    batch_drawer,
    load_training_data,
    shuffled_items,
)
from fissura.types import InputError, Sample  # noqa: E402

GREY = (100.0, 101.0, 102.0)


def sample(name: str, height: int, width: int) -> Sample:
    """Noise whose mask is wherever red is bright."""
    rng = np.random.default_rng(height * 1000 + width)
    image = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)
    return Sample(np.asarray(image, np.uint8), image[..., 0] > 127, name, "noise")


def data(count: int = 6, size_hw: tuple[int, int] | None = None) -> TrainingData:
    samples = tuple(sample(str(k), *(size_hw or (80 + 8 * k, 120 - 8 * k))) for k in range(count))
    return TrainingData(samples, np.full(count, 1 / count), samples[:1])


def config(recipe: dict[str, Any], **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "name": "tiny",
        "model": "cgnet",
        "data": {"root": ".", "sets": {"x": 1.0}, "order": "shuffled"},
        "augment": recipe,
        "stages": [{"iterations": 5, "batch_size": 4, "crop": 64}],
    }
    return build_settings(TrainConfig, values | changes, "test")


RECIPES = {
    "varied": {"recipe": "varied"},
    "mmseg": {"recipe": "mmseg", "box": [96, 72]},
    "zou": {"recipe": "zou"},
    "liu": {"recipe": "liu", "affine": True},
    "cssr": {"recipe": "cssr"},
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("order", ["weighted", "shuffled"])
def test_every_recipe_fills_a_batch_from_pictures_of_any_size(
    recipe: dict[str, Any], order: str
) -> None:
    settings = config(recipe, data={"root": ".", "sets": {"x": 1.0}, "order": order})
    draw, again = (batch_drawer(data(), settings, GREY) for _ in range(2))
    draw(0)
    batch = draw(3)
    images, labels = batch.images, batch.labels
    assert images.shape == (4, 3, 64, 64)
    assert images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 255  # noqa: PT018
    assert labels.shape == (4, 64, 64)
    assert labels.dtype == torch.int64
    assert set(labels.unique().tolist()) <= {0, 1, 255}
    assert torch.equal(images, again(3).images)
    assert torch.equal(labels, again(3).labels)
    assert batch.small is None and batch.distance is None  # noqa: PT018
    assert not torch.equal(images, draw(4).images)


def test_one_epoch_of_zou_has_every_view_of_every_picture() -> None:
    still = {"recipe": "zou", "colour": 0, "blur": 0}
    stages = [{"iterations": 54, "batch_size": 5, "crop": 32}]
    draw = batch_drawer(data(2), config(still, stages=stages), GREY)
    seen = [image.numpy().tobytes() for t in range(54) for image in draw(t).images]
    assert len(set(seen)) == len(seen) == 2 * 135


def test_liu_squeezes_to_a_size_of_its_own() -> None:
    settings = config({"recipe": "liu", "size_wh": [64, 40]})
    batch = batch_drawer(data(), settings, GREY)(0)
    assert batch.images.shape == (4, 3, 40, 64)
    assert batch.labels.shape == (4, 40, 64)


def test_pictures_cut_beforehand_are_taken_as_they_are() -> None:
    cut = {"recipe": "zou", "offline": False, "colour": 0, "blur": 0}
    held = data(4, (64, 64))
    batch = batch_drawer(held, config(cut), GREY)(0)
    want = {one.image.tobytes() for one in held.train}
    got = batch.images.permute(0, 2, 3, 1).to(torch.uint8)
    assert {image.numpy().tobytes() for image in got} == want
    assert torch.equal(batch.images[:, 0] > 127, batch.labels.bool())


STAGES = st.builds(
    Stage, iterations=st.integers(1, 40), batch_size=st.integers(1, 7), crop=st.just(32)
)


@given(stages=st.lists(STAGES, min_size=1, max_size=3), items=st.integers(7, 30))
def test_every_item_comes_once_per_epoch(stages: list[Stage], items: int) -> None:
    start = 0
    for stage in stages:
        per_epoch = items // stage.batch_size
        batches = [shuffled_items(start + t, stages, items, 3) for t in range(stage.iterations)]
        assert all(len(batch) == stage.batch_size for batch in batches)
        for first in range(0, stage.iterations, per_epoch):
            epoch = np.concatenate(batches[first : first + per_epoch])
            assert len(set(epoch.tolist())) == len(epoch)
            assert set(epoch.tolist()) <= set(range(items))
        start += stage.iterations


def test_epochs_and_seeds_differ_in_order() -> None:
    stages = [
        Stage(iterations=2, batch_size=20, crop=32),
        Stage(iterations=1, batch_size=20, crop=32),
    ]
    orders = [shuffled_items(t, stages, 20, seed).tolist() for t in range(3) for seed in (0, 1)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"root": ".", "sets": {"x": 1, "y": 2}, "order": "shuffled"}}, "equal weights"),
        ({"stages": [{"iterations": 1, "batch_size": 1, "crop": 64, "scale": [1, 2]}]}, "leave it"),
        ({"augment": {"recipe": "liu", "size_wh": [96, 64]}}, "set its larger one"),
        ({"augment": {"recipe": "zou", "blur": 1.5}}, "blur"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config({"recipe": "zou"} if "augment" not in changes else {}, **changes)


def test_pictures_that_do_not_suit_are_named() -> None:
    with pytest.raises(InputError, match=r"noise/0 is 120×80, not cut to 64×64"):
        batch_drawer(data(), config({"recipe": "zou", "offline": False}), GREY)
    with pytest.raises(InputError, match=r"3 shuffled pictures fill no batch of 4"):
        batch_drawer(data(3), config({"recipe": "liu"}), GREY)


def test_official_folders_can_be_trained_on(tmp_path: Path) -> None:
    """Sides named by folder, other names for pictures and masks than ours."""
    for side, count in (("train", 8), ("test", 2)):
        for k in range(count):
            one = sample(str(k), 48, 64)
            for kind, values, suffix in (("img", one.image, "jpg"), ("lab", one.mask, "png")):
                folder = tmp_path / "set" / f"{side}_{kind}"
                folder.mkdir(parents=True, exist_ok=True)
                levels = values * np.uint8(255) if kind == "lab" else values
                cv2.imwrite(str(folder / f"{side}{k}.{suffix}"), levels)
    settings = config(RECIPES["liu"], data={"root": str(tmp_path), "sets": {"set": 1.0}})
    held = load_training_data(settings.data)
    assert len(held.train) + len(held.validation) == 8
    assert held.validation
    assert not any("test" in one.name.split("/")[-1] for one in held.train)
