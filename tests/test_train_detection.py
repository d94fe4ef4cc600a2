"""Training detectors: it learns, it resumes bit for bit, and clips are changed alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from belt_set import write_belt_set  # noqa: E402
from tiny_detector import SINGLE, config, lines  # noqa: E402

from fissura.augment.clip import (  # noqa: E402
    ClipStrength,
    change_boxes,
    change_frame,
    draw_change,
)
from fissura.config import load_settings  # noqa: E402
from fissura.console import Progress, training_report  # noqa: E402
from fissura.train.clips import clip_drawer, load_clips  # noqa: E402
from fissura.train.config import SequenceSettings, TrainConfig  # noqa: E402
from fissura.train.detect import box_score  # noqa: E402
from fissura.train.loop import train  # noqa: E402
from fissura.types import InputError  # noqa: E402
from fissura.weights.network import load_module  # noqa: E402

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
BOXES = [path for path in CONFIGS if path.stem.startswith(("beltcrackdet", "yolox"))]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_belt_set(tmp_path_factory.mktemp("data"))


def test_a_detector_learns_and_leaves_a_card(data_root: Path, tmp_path: Path) -> None:
    settings = config(
        data_root,
        **SINGLE,
        stages=[{"iterations": 30, "batch_size": 4}],
        augment={"recipe": "none"},
        validate_every=15,
        checkpoint_every=30,
    )
    best = train(settings, tmp_path)
    losses = [line["loss"] for line in lines(tmp_path) if "loss" in line]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    scores = [line["validation"] for line in lines(tmp_path) if "validation" in line]
    assert len(scores) == 2
    assert 0 <= scores[-1]["map50"] <= 1
    _, card = load_module(best)
    assert (card.classes, card.size_hw, card.frames) == (("crack",), (64, 64), 1)
    assert "mAP50" in card.summary


def test_he_start_finds_nothing_before_it_has_learned(data_root: Path, tmp_path: Path) -> None:
    first = {}
    for init in ("network", "he"):
        train(config(data_root, **SINGLE, init=init), tmp_path / init)
        first[init] = lines(tmp_path / init)[0]
    assert first["he"]["obj"] < 0.5 * first["network"]["obj"]


def test_killed_and_resumed_equals_uninterrupted(data_root: Path, tmp_path: Path) -> None:
    settings = config(data_root)
    train(settings, tmp_path / "whole")
    train(settings, tmp_path / "parts", stop_at=2)
    train(settings, tmp_path / "parts", resume=True)
    states = [
        torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "parts")
    ]
    for part in ("network", "average"):
        for name, values in states[0][part].items():
            assert torch.equal(values, states[1][part][name]), name


def test_a_resumed_run_may_keep_other_pictures_in_memory(data_root: Path, tmp_path: Path) -> None:
    train(config(data_root, **SINGLE), tmp_path, stop_at=2)
    changed = {"frames": 1, "cache_mb": 7}
    train(config(data_root, **SINGLE | {"data": changed}), tmp_path, resume=True)
    assert lines(tmp_path)[-1]["iteration"] == 4
    with pytest.raises(InputError, match="resume: data differs"):
        train(
            config(data_root, **SINGLE | {"data": changed | {"missing": "earlier"}}),
            tmp_path,
            resume=True,
        )


def test_a_missing_frame_is_refused_or_told_and_stood_in_for(tmp_path: Path) -> None:
    root = write_belt_set(tmp_path / "data")
    gone = root / "belt" / "images" / "belt_1" / "2.png"
    gone.unlink()
    with pytest.raises(InputError, match=r"belt_1/2\.png.*set missing to earlier"):
        train(config(root, **SINGLE), tmp_path / "refused")
    told: list[dict[str, Any]] = []
    settings = config(root, data={"missing": "earlier"})
    train(settings, tmp_path / "run", report=told.append)
    notices = [line["notice"] for line in told if "notice" in line]
    assert len(notices) == 1
    assert "belt_1/2.png" in notices[0]
    assert "the frame before stands in for it" in notices[0]
    assert [line for line in lines(tmp_path / "run") if "notice" in line]
    assert isinstance(settings.data, SequenceSettings)
    clips = load_clips(settings.data)
    after = next(k for k in clips.train + clips.validation if k.paths[-1].match("belt_1/3.png"))
    assert after.paths[0].match("belt_1/1.png")


def test_a_notice_is_said_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    report = training_report(Progress("training", quiet=False))
    report({"iteration": 0, "notice": "belt: 2 boxes of no area; left out"})
    report({"iteration": 0, "loss": 0.5})
    said = capsys.readouterr()
    assert said.err == "fissura: note: belt: 2 boxes of no area; left out\n"
    assert said.out == "[0] loss 0.5\n"


def test_two_sequences_need_to_be_told_which_one_validates(tmp_path: Path) -> None:
    root = write_belt_set(tmp_path / "data", sequences=2)
    with pytest.raises(InputError, match=r"belt: too few sequences .* list some in .*val\.txt"):
        train(config(root, **SINGLE), tmp_path / "refused")
    (root / "belt" / "splits").mkdir()
    (root / "belt" / "splits" / "val.txt").write_text("belt_2\n", "utf-8")
    train(config(root, **SINGLE), tmp_path / "run")
    assert "validation" in lines(tmp_path / "run")[-1]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("belt_defects", None),
        ("road_sequences", "rs386_191729_a\n"),
        ("quay_uav", "k1/MAX_1631_0_1\nk1/MAX_1631_10_4\n"),
    ],
)
def test_real_sets_train_once_it_is_said_what_validates(
    name: str, listed: str | None, shared_data: Path, tmp_path: Path
) -> None:
    home = tmp_path / "data" / name
    home.mkdir(parents=True)
    for part in ("images", "annotations.json"):
        (home / part).symlink_to(shared_data / name / part)
    stages = [{"iterations": 1, "batch_size": 2}]
    sizes = {"size_hw": [64, 128], "sets": {name: 1.0}, "frames": 1}
    settings = config(tmp_path / "data", **SINGLE | {"data": sizes, "stages": stages})
    if listed:
        with pytest.raises(InputError, match=f"data.sets: {name}: too few sequences or places"):
            train(settings, tmp_path / "refused")
        (home / "splits").mkdir()
        (home / "splits" / "val.txt").write_text(listed, "utf-8")
    train(settings, tmp_path / "run")
    assert lines(tmp_path / "run")[-1]["validation"]["map50"] >= 0


def test_mixed_precision_rounds_but_learns_the_same(data_root: Path, tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        out = tmp_path / precision
        train(config(data_root, **SINGLE, precision=precision), out)
        losses.append([line["loss"] for line in lines(out) if "loss" in line])
        state = torch.load(out / "last.pt", weights_only=True)["network"]
        assert {values.dtype for values in state.values()} == {torch.float32, torch.int64}
    assert losses[0] != losses[1]
    assert np.allclose(*losses, rtol=0.05)


def drawn(settings: TrainConfig, iteration: int) -> Any:
    assert isinstance(settings.data, SequenceSettings)
    return clip_drawer(load_clips(settings.data), settings)(iteration)


@pytest.mark.parametrize("recipe", ["clip", "none"])
@pytest.mark.parametrize("order", ["weighted", "shuffled"])
def test_a_batch_depends_on_the_iteration_alone(recipe: str, order: str, data_root: Path) -> None:
    stages = [{"iterations": 9, "batch_size": 3}]
    settings = config(
        data_root, stages=stages, augment={"recipe": recipe}, data={"order": order, "cache_mb": 0}
    )
    first, again = drawn(settings, 3), drawn(settings, 3)
    assert first.clips.shape == (3, 3, 2, 64, 64)
    assert first.clips.dtype == torch.float32
    assert torch.equal(first.clips, again.clips)
    assert all(torch.equal(*pair) for pair in zip(first.targets, again.targets, strict=True))
    assert all(part.shape[1] == 5 for part in first.targets)


def test_frames_without_boxes_are_taken_or_left(data_root: Path) -> None:
    parts = [config(data_root, data={"negatives": taken}).data for taken in (True, False)]
    with_them, without = (load_clips(part) for part in parts)  # type: ignore[arg-type]
    assert any(not keyframe.labels for keyframe in with_them.train)
    ids = [[k.image_id for k in part.train if k.labels] for part in (with_them, without)]
    assert ids[0] == ids[1] == [k.image_id for k in without.train]


@given(st.integers(0, 10**6), st.floats(0.5, 1), st.floats(1, 2))
def test_boxes_go_where_the_pixels_go(seed: int, low: float, high: float) -> None:
    strength = ClipStrength(scale=(low, high), shift=0.2)
    change = draw_change(strength, (96, 128), np.random.default_rng(seed))
    image = np.full((96, 128, 3), 60, np.uint8)
    image[30:70, 40:90] = 250
    boxes, kept = change_boxes(np.array([[40, 30, 90, 70]], np.float32), change, (96, 128))
    frames = [change_frame(image, change, number) for number in range(2)]
    assert np.array_equal(*frames)
    if kept[0]:
        rows, columns = np.nonzero(frames[0][..., 0] > 190)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(boxes[0] - seen).max() <= 2


def test_noise_alone_differs_between_frames() -> None:
    strength = ClipStrength(brightness=30, hue=8, blur=1, noise=1)
    change = draw_change(strength, (64, 64), np.random.default_rng(3))
    image = np.full((64, 64, 3), 120, np.uint8)
    first, second = (change_frame(image, change, number).astype(int) for number in range(2))
    assert not np.array_equal(first, second)
    assert abs(first.mean() - second.mean()) < 1
    assert np.array_equal(first, change_frame(image, change, 0))


def test_a_perfect_and_an_empty_validation() -> None:
    boxes = np.array([[10, 10, 40, 30], [50, 50, 60, 60]], np.float32)
    truth = [(boxes, np.array([0, 1])), (boxes[:0], np.zeros(0, np.int64))]
    found = [
        (boxes, np.array([0.9, 0.6], np.float32), np.array([0, 1])),
        (boxes[:0], boxes[:0, 0], np.zeros(0, np.intp)),
    ]
    perfect = box_score(found, truth)
    assert (perfect.map50, perfect.f1, perfect.threshold) == pytest.approx((1, 1, 0.6))
    nothing = box_score([found[1], found[1]], truth)
    assert (nothing.map50, nothing.f1) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": {"recipe": "varied"}}, "varied is not for sequences; take clip or none"),
        ({"loss": {"kind": "focal"}}, "take kind: detection"),
        ({"model": "cgnet", "arguments": {}}, "cgnet finds no boxes; take kind: pictures"),
        ({"data": {"frames": 3}}, r"takes 2 at once; set data\.frames=2"),
        ({"data": {"classes": ["tear"]}}, "no box to train on below .* is of tear"),
        ({"data": {"classes": ["crack", "tear"]}}, r"set arguments\.classes=2"),
        ({"data": {"sets": {"road": 1.0}}}, "road is not there"),
        ({"stages": [{"iterations": 1, "batch_size": 1, "crop": 64}]}, "data.size_hw is the size"),
    ],
)
def test_wrong_settings_are_named(
    data_root: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(config(data_root, **changes), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", BOXES, ids=lambda path: path.stem)
def test_every_preset_trains_a_step_when_made_small(
    path: Path, data_root: Path, tmp_path: Path
) -> None:
    small = [
        f"data.root={data_root}",
        "data.sets={belt: 1.0}",
        "data.size_hw=[64, 64]",
        "data.order=weighted",
        "data.classes=[crack]",
        "arguments.classes=1",
        "data.validation_limit=1",
        "arguments.width=0.125",
        "stages=[{iterations: 1, batch_size: 2}]",
        "device=cpu",
        "warm_start=[]",
        "threads=1",
        "workers=0",
    ]
    best = train(load_settings(path, TrainConfig, small), tmp_path)
    assert lines(tmp_path)[0]["loss"] > 0
    assert best.exists()
