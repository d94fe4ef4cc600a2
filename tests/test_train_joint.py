"""Training with super-resolution: what is trained in which stage, and on what."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from conftest import ROOT  # noqa: E402
from rendered_set import write_rendered_set  # noqa: E402
from small_models import small_arguments  # noqa: E402

from fissura.config import build_settings, load_settings  # noqa: E402
from fissura.degrade import bilinear, enlarge  # noqa: E402
from fissura.distance import normalised_distance  # noqa: E402
from fissura.metrics.image import psnr_rgb  # noqa: E402
from fissura.models import MODELS  # noqa: E402
from fissura.train.boundary import (  # noqa: E402
    PUBLISHED,
    alpha_of_run,
    boundary_alpha,
    combo_parts,
)
from fissura.train.config import (  # noqa: E402
    AlphaSettings,
    ComboLossSettings,
    LossSettings,
    Stage,
    TrainConfig,
)
from fissura.train.data import (  # noqa: E402
    TrainingData,
    batch_drawer,
    batches,
    load_training_data,
)
from fissura.train.joint import build_task  # noqa: E402
from fissura.train.loop import train  # noqa: E402
from fissura.train.losses import segmentation_loss  # noqa: E402
from fissura.types import InputError  # noqa: E402
from fissura.weights.network import load_module, new_card, save_safetensors  # noqa: E402

BLACK = (0.0, 0.0, 0.0)
WITH_NORMS = {
    "scale": 2,
    "sr": {"stages": 2, "width": 4},
    "segmenter": {"name": "pspnet", "width": 2},
}
ENLARGER, SEGMENTER = "sr_model.", "segmentation_model."


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def data(data_root: Path) -> TrainingData:
    return load_training_data(config(data_root).data)


def stage(iterations: int, part: str, **changes: Any) -> dict[str, Any]:
    return {"iterations": iterations, "batch_size": 2, "crop": 32, "train": part} | changes


def config(root: Path, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "name": "tiny",
        "model": "cssr",
        "arguments": small_arguments("cssr"),
        "data": {"root": str(root), "sets": {"rendered": 1.0}, "validation_limit": 1},
        "degrade": {"operator": "bilinear", "scale": 2},
        "stages": [stage(3, "image"), stage(3, "logits"), stage(2, "joint")],
        "loss": {"kind": "combo"},
        "optimiser": {"lr": 3e-3, "weight_decay": 0.1},
        "schedule": {"name": "constant"},
        "ema_decay": 0.9,
        "validate_every": 4,
        "checkpoint_every": 1,
        "threads": 1,
    }
    return build_settings(TrainConfig, values | changes, "test")


def saved(out: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(out / "last.pt", weights_only=True)["network"]
    return state


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The parts of the network, of which any value differs."""
    names = {name for name, values in before.items() if not torch.equal(values, after[name])}
    return {name.split(".")[0] for name in names}


def test_each_stage_leaves_the_frozen_part_bit_for_bit(data_root: Path, tmp_path: Path) -> None:
    """Norm statistics, decay and old moments of the optimiser included."""
    settings = config(
        data_root,
        arguments=WITH_NORMS,
        stages=[stage(2, "joint"), stage(2, "image"), stage(2, "logits"), stage(1, "joint")],
        validate_every=9,
    )
    states = []
    for end in (2, 4, 6, 7):
        train(settings, tmp_path, resume=end > 2, stop_at=end)
        states.append(saved(tmp_path))
    parts = [changed(*pair) for pair in itertools.pairwise(states)]
    assert parts == [{"sr_model"}, {"segmentation_model"}, {"sr_model", "segmentation_model"}]


def test_a_run_of_stages_resumes_bit_for_bit(data_root: Path, tmp_path: Path) -> None:
    settings = config(
        data_root,
        arguments=WITH_NORMS,
        degrade={"operator": "realistic", "scale": 2},
        workers=2,
    )
    train(settings, tmp_path / "whole")
    for end in (2, 5, None):
        train(settings, tmp_path / "parts", resume=end != 2, stop_at=end)
    assert not changed(saved(tmp_path / "whole"), saved(tmp_path / "parts"))
    whole, parts = (
        [{key: value for key, value in line.items() if key != "seconds"} for line in lines(out)]
        for out in (tmp_path / "whole", tmp_path / "parts")
    )
    assert whole == parts


def test_what_is_logged_is_what_is_optimised(data_root: Path, tmp_path: Path) -> None:
    settings = config(data_root, arguments=WITH_NORMS, beta=0.25)
    best = train(settings, tmp_path)
    steps = [line for line in lines(tmp_path) if "loss" in line]
    kinds = [set(line) - {"iteration", "lr", "seconds"} for line in steps]
    crack_map = {"cracks", "aux", "alpha", "loss"}
    assert kinds == [{"image", "loss"}] * 3 + [crack_map] * 3 + [crack_map | {"image"}] * 2
    for line in steps[6:]:
        of_cracks = line["cracks"] + line["aux"]
        assert line["loss"] == pytest.approx(0.75 * line["image"] + 0.25 * of_cracks, rel=1e-5)
    scores = [line["validation"] for line in lines(tmp_path) if "validation" in line]
    assert [{"f1", "psnr"} & set(score) for score in scores] == [{"f1", "psnr"}] * 2
    _, card = load_module(best)
    assert "F1" in card.summary
    assert "reduced by 2 (bilinear)" in card.summary


def test_super_resolution_alone_learns(data_root: Path, tmp_path: Path) -> None:
    settings = config(
        data_root,
        model="dbpn",
        arguments=small_arguments("dbpn"),
        stages=[stage(24, "image", batch_size=4)],
        validate_every=12,
        optimiser={"lr": 1e-2},
    )
    best = train(settings, tmp_path)
    losses = [line["loss"] for line in lines(tmp_path) if "loss" in line]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    scores = [line["validation"] for line in lines(tmp_path) if "validation" in line]
    assert [set(score) for score in scores] == [{"psnr"}] * 2
    _, card = load_module(best)
    assert f"PSNR {max(score['psnr'] for score in scores):.2f} dB" in card.summary


def test_both_parts_can_begin_with_a_file_each(data_root: Path, tmp_path: Path) -> None:
    arguments = small_arguments("cssr")
    given: dict[str, torch.Tensor] = {}
    parts = {"dbpn": {"scale": 2, **arguments["sr"]}, "unet_vgg16": arguments["segmenter"]}
    for name, own in parts.items():
        network = MODELS[name](**own)
        save_safetensors(network, new_card(name, own), tmp_path / f"{name}.safetensors")
        prefix = ENLARGER if name == "dbpn" else SEGMENTER
        given |= {prefix + key: values for key, values in network.state_dict().items()}
    settings = config(
        data_root,
        warm_start=[str(tmp_path / f"{name}.safetensors") for name in parts],
        stages=[stage(1, "joint")],
        optimiser={"lr": 1e-12, "weight_decay": 0},
    )
    train(settings, tmp_path / "run")
    after = saved(tmp_path / "run")
    assert all(torch.allclose(values, after[name], atol=1e-9) for name, values in given.items())
    assert set(given) == set(after)


def test_the_small_picture_and_the_distances_are_those_of_the_crop(data: TrainingData) -> None:
    draw = batch_drawer(data, config(Path()), BLACK)
    assert draw(2).distance is None  # while super-resolution alone is trained
    batch = draw(4)
    assert batch.small is not None
    assert batch.distance is not None
    for k in range(len(batch.images)):
        image = batch.images[k].permute(1, 2, 0).numpy() / 255
        small = bilinear(np.asarray(image, np.float32), 2)
        np.testing.assert_allclose(batch.small[k].permute(1, 2, 0), 255 * small, atol=1e-3)
        want = normalised_distance(batch.labels[k].numpy() == 1)
        np.testing.assert_array_equal(batch.distance[k, 0], want)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_the_same_for_any_number_of_workers(workers: int, data: TrainingData) -> None:
    settings = config(Path(), degrade={"operator": "realistic", "scale": 2})
    draw = batch_drawer(data, settings, BLACK)
    pairs = zip(batches(draw, range(3, 8), 0), batches(draw, range(3, 8), workers), strict=True)
    for (one, batch), (other, same) in pairs:
        assert one == other
        for name, values in vars(batch).items():
            assert torch.equal(values, vars(same)[name]), name


@pytest.mark.parametrize("scale", [1, 2])
def test_baselines_train_the_segmentation_alone(scale: int, data: TrainingData) -> None:
    arguments = {"scale": scale, "sr": {"name": "bicubic"}, "segmenter": {"width": 4}}
    degrade = {"operator": "bilinear", "scale": scale}
    settings = config(Path(), arguments=arguments, degrade=degrade, stages=[stage(1, "joint")])
    network = MODELS["cssr"](**arguments)
    task = build_task(network, settings, 10)
    parts = task.step(batch_drawer(data, settings, BLACK)(0), 0)
    assert set(parts) == {"cracks", "alpha", "loss"}
    score: Any = task.validate(network, data.validation)
    image = data.validation[0].image.astype(np.float32) / 255
    if scale == 2:
        want = psnr_rgb(np.clip(enlarge(bilinear(image, 2), 2), 0, 1), image)
        assert score.psnr == pytest.approx(want, abs=1e-3)
    else:
        assert score.psnr == 100


BICUBIC = {"scale": 2, "sr": {"name": "bicubic"}, "segmenter": {"width": 4}}
INVERSE = {**small_arguments("cssr"), "order": "segmentation_first"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"degrade": None}, r"set degrade\.scale=2"),
        ({"degrade": {"scale": 4}}, r"set degrade\.scale=2"),
        ({"degrade": {"scale": 3}}, r"degrade\.scale"),
        ({"degrade": {"operator": "nearest"}}, r"degrade\.operator"),
        ({"stages": [stage(1, "joint", crop=33)]}, "33 is no multiple of degrade.scale 2"),
        ({"stages": [stage(1, "sr")]}, "train"),
        ({"input_scale": 2.0}, "input_scale is 1"),
        ({"beta": 1.5}, "beta"),
        ({"arguments": BICUBIC}, "nothing learns to enlarge pictures here"),
        ({"arguments": INVERSE}, "segmentation_first cannot be trained"),
        ({"model": "dbpn", "arguments": {"scale": 2}}, "dbpn only enlarges pictures"),
        ({"model": "cgnet", "arguments": {}}, "cgnet does not enlarge pictures"),
        ({"model": "cgnet", "arguments": {}, "degrade": None}, "no part that enlarges"),
        ({"loss": {"kind": "dice"}}, "loss"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    def build() -> None:
        settings = config(Path(), **changes)
        with torch.device("meta"):
            network = MODELS[settings.model](**settings.arguments)
        build_task(network, settings, 10)

    with pytest.raises(InputError, match=message):
        build()


# ---- losses --------------------------------------------------------------------------------


@given(st.integers(0, 4000), st.integers(0, 300), st.integers(1, 16), st.integers(1, 500))
def test_alpha_waits_while_super_resolution_is_trained(
    iteration: int, pause: int, size: int, pictures: int
) -> None:
    settings = AlphaSettings()
    plain = [Stage(iterations=5000, batch_size=size, crop=32)]
    paused = [Stage(iterations=pause + 1, batch_size=7, crop=32, train="image"), *plain]
    want = boundary_alpha(iteration, pictures, size, settings)
    assert alpha_of_run(iteration, pictures, plain, settings) == want
    assert alpha_of_run(iteration + pause + 1, pictures, paused, settings) == want
    assert alpha_of_run(min(iteration, pause), pictures, paused, settings) == settings.start


@pytest.mark.parametrize("name", PUBLISHED)
def test_pixels_without_a_label_change_no_combo_loss(name: str) -> None:
    torch.manual_seed(0)
    labels, distance = torch.randint(0, 2, (2, 8, 8)), torch.rand(2, 1, 8, 8)
    labels[:, 4:] = 255
    for released in (True, False):
        loss = PUBLISHED[name].model_copy(update={"released": released})
        logits, aux = torch.randn(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
        outputs = {"logits": logits, "aux": aux}
        first = combo_parts(outputs, labels, distance, 0.5, loss)
        logits[:, :, 4:] += 3
        aux[:, :, 4:] = 0.5
        second = combo_parts(outputs, labels, distance, 0.5, loss)
        assert torch.allclose(first["loss"], second["loss"])


@pytest.mark.parametrize("released", [True, False])
def test_two_classes_cost_as_much_as_one_and_the_second_map_adds_four_tenths(
    released: bool,
) -> None:
    torch.manual_seed(0)
    labels, distance = torch.randint(0, 2, (2, 8, 8)), torch.rand(2, 1, 8, 8)
    margin, shift = torch.randn(2, 1, 8, 8), torch.randn(2, 1, 8, 8)
    loss = ComboLossSettings(released=released)
    pair = {"logits": torch.cat([shift, margin + shift], dim=1), "aux": margin.sigmoid()}
    one = combo_parts({"logits": margin}, labels, distance, 0.5, loss)["loss"]
    two = combo_parts(pair, labels, distance, 0.5, loss)["loss"]
    assert float(two) == pytest.approx(1.4 * float(one), rel=1e-4)
    plain = segmentation_loss({"logits": margin}, labels, LossSettings())["loss"]
    with_aux = segmentation_loss({**pair, "logits": margin}, labels, LossSettings())["loss"]
    assert float(with_aux) == pytest.approx(1.4 * float(plain), rel=1e-4)


# ---- published configurations --------------------------------------------------------------

EXPERIMENT_1 = {"dice": 0.1, "b_gdice": 0.1, "bc1": 0.1, "bc2": 0.1, "gbc1": 0.1, "gbc2": 0.3}
EXPERIMENT_2 = {
    "hr": (1, None),
    "bicubic": (4, "bicubic"),
    "separate": (4, "dbpn"),
    "joint": (4, "dbpn"),
}


def released(name: str) -> TrainConfig:
    return load_settings(ROOT / "configs" / f"cssr_released_{name}.yaml", TrainConfig)


@pytest.mark.parametrize("name", [*EXPERIMENT_1, *EXPERIMENT_2])
def test_published_configurations_share_what_the_release_fixes(name: str) -> None:
    settings = released(name)
    assert settings.iterations == 100_000
    assert {(stage.batch_size, stage.crop) for stage in settings.stages} == {(6, 448)}
    assert (settings.optimiser.name, settings.optimiser.lr) == ("adam", 1e-5)
    assert settings.optimiser.weight_decay == settings.ema_decay == 0
    assert settings.schedule.name == "constant"
    assert settings.degrade is not None
    assert settings.degrade.operator == "bilinear"
    assert settings.arguments["clamp"] == "released"


@pytest.mark.parametrize("name", EXPERIMENT_1)
def test_experiment_1_differs_in_its_losses(name: str) -> None:
    settings = released(name)
    assert settings.loss == PUBLISHED[name]
    assert settings.beta == EXPERIMENT_1[name]
    assert [stage.train for stage in settings.stages] == ["joint"]


@pytest.mark.parametrize("name", EXPERIMENT_2)
def test_experiment_2_differs_in_its_pipelines(name: str) -> None:
    settings = released(name)
    assert settings.loss == PUBLISHED["bc2"]
    sr = settings.arguments.get("sr", {}).get("name")
    assert (settings.arguments["scale"], sr) == EXPERIMENT_2[name]
    stages = [(stage.iterations, stage.train) for stage in settings.stages]
    separate = [(499, "image"), (99_501, "logits")]
    assert stages == (separate if name == "separate" else [(100_000, "joint")])
    if name == "joint":
        assert settings.beta == 0.3


def test_the_compact_one_fits_into_eight_megabytes() -> None:
    settings = load_settings(ROOT / "configs" / "cssr_compact.yaml", TrainConfig)
    with torch.device("meta"):
        network = MODELS[settings.model](**settings.arguments)
    assert 4 * sum(values.numel() for values in network.state_dict().values()) < 8e6
