"""Data that a detector could not learn from, or that no validation could judge, are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from belt_set import write_belt_set  # noqa: E402
from tiny_detector import SINGLE, config  # noqa: E402

from fissura.config import dump_yaml  # noqa: E402
from fissura.models.building import build_network  # noqa: E402
from fissura.train.clips import TrainingClips, load_clips  # noqa: E402
from fissura.train.config import SequenceSettings  # noqa: E402
from fissura.train.detect import box_score  # noqa: E402
from fissura.train.distributed import Team  # noqa: E402
from fissura.train.loop import train  # noqa: E402
from fissura.train.work import prepare  # noqa: E402
from fissura.types import InputError  # noqa: E402


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_belt_set(tmp_path / "data", sequences=6, frames=2, side=64)


def change(root: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = root / "belt" / "annotations.json"
    document = json.loads(path.read_text("utf-8"))
    edit(document)
    path.write_text(json.dumps(document), "utf-8")


def without_boxes(*videos: int) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        gone = {one["id"] for one in document["images"] if one["video_id"] in videos}
        boxes = document["annotations"]
        document["annotations"] = [one for one in boxes if one["image_id"] not in gone]

    return edit


def list_sequences(root: Path, split: str, *names: str) -> None:
    (root / "belt" / "splits").mkdir(exist_ok=True)
    path = root / "belt" / "splits" / f"{split}.txt"
    path.write_text("".join(f"{name}\n" for name in names), "utf-8")


def load(root: Path, **data: Any) -> TrainingClips:
    settings = config(root, **SINGLE | {"data": {"frames": 1} | data}).data
    assert isinstance(settings, SequenceSettings)
    return load_clips(settings)


def test_a_validation_part_without_boxes_is_refused(root: Path) -> None:
    list_sequences(root, "val", "belt_2")
    assert len(load(root).validation) == 2
    change(root, without_boxes(2))
    with pytest.raises(InputError, match=r"no frame for validation has a box of crack; .*val\.txt"):
        load(root)


def test_too_few_frames_for_validation_to_hold_a_box(root: Path) -> None:
    list_sequences(root, "val", "belt_3")  # whose first frame is empty
    with pytest.raises(InputError, match=r"data\.validation_limit: the 1 frames .* raise it"):
        load(root, validation_limit=1)
    assert len(load(root, validation_limit=2).validation) == 2


def test_every_class_must_be_there_to_be_learned(root: Path) -> None:
    two = {"model": "yolox_s", "arguments": {"width": 0.125, "classes": 2}}
    data = {"frames": 1, "classes": ["crack", "tera"]}
    settings = config(root, **two, data=data).data
    with pytest.raises(InputError, match=r"is of tera \(there are crack\); name the labels"):
        load_clips(settings)  # type: ignore[arg-type]


def test_a_class_named_twice_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match="names crack twice"):
        config(root, data={"classes": ["crack", "crack"]})


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": [{"iterations": 1, "batch_size": 1, "scale": [1e-6, 1]}]},
        {"stages": [{"iterations": 1, "batch_size": 1, "scale": [1, 1e6]}]},
        {"augment": {"recipe": "clip", "contrast": 1e4}},
        {"augment": {"recipe": "clip", "gamma": 1e4}},
        {"augment": {"recipe": "clip", "brightness": 1e9}},
    ],
)
def test_changes_of_clips_stay_within_reason(root: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"should be (less|greater) than or equal to"):
        config(root, **changes)


def test_a_set_that_spares_no_sequence_for_validation_says_so(root: Path) -> None:
    write_belt_set(root / "more", sequences=1, frames=2, side=64)
    (root / "more" / "belt").rename(root / "single")
    clips = load(root, sets={"belt": 1.0, "single": 1.0})
    assert [text for text in clips.notices if "single" in text and "all train" in text]
    assert not [text for text in load(root).notices if "all train" in text]


def test_every_stage_must_share_its_batch_among_the_processes(root: Path) -> None:
    stages = [{"iterations": 2, "batch_size": 4}, {"iterations": 2, "batch_size": 3}]
    settings = config(root, **SINGLE, stages=stages)
    network = build_network(settings.model, settings.arguments, "arguments")
    with pytest.raises(InputError, match=r"stages\.batch_size: 3 is that of all 2 processes"):
        prepare(network, settings, Team(0, 2, "cpu"))


def test_silence_counts_as_nothing_found() -> None:
    boxes = np.array([[10, 10, 40, 30]], np.float32)
    truth = [(boxes, np.array([0]))]
    none = (boxes[:0], boxes[:0, 0], np.zeros(0, np.intp))
    wrong = (boxes + 100, np.array([0.2], np.float32), np.array([0]))
    assert box_score([none], truth).found_nothing
    assert not box_score([wrong], truth).found_nothing
    assert not box_score([(boxes, np.array([0.2], np.float32), np.array([0]))], truth).found_nothing


def test_a_resumed_run_needs_the_frames_that_it_began_with(root: Path, tmp_path: Path) -> None:
    settings = config(root, **SINGLE)
    train(settings, tmp_path / "run", stop_at=2)
    images = root / "belt" / "images"
    shutil.copy(images / "belt_1" / "1.png", images / "belt_1" / "2.png")

    def one_more(document: dict[str, Any]) -> None:
        last = next(one for one in document["images"] if one["file_name"].endswith("belt_1/1.png"))
        more = {"id": 999, "frame_id": 2, "file_name": "images/belt_1/2.png"}
        document["images"].append(last | more)

    before = (root / "belt" / "annotations.json").read_text("utf-8")
    change(root, one_more)
    with pytest.raises(InputError, match=r"frames of data\.sets are no longer those .*last\.pt"):
        train(settings, tmp_path / "run", resume=True)
    (root / "belt" / "annotations.json").write_text(before, "utf-8")
    train(settings, tmp_path / "run", resume=True)


def test_a_resumed_run_needs_its_settings_but_no_warm_start(root: Path, tmp_path: Path) -> None:
    started = tmp_path / "start.safetensors"
    first = train(config(root, **SINGLE, validate_every=1), tmp_path / "first", stop_at=1)
    shutil.copy(first, started)
    settings = config(root, **SINGLE, warm_start=[str(started)])
    train(settings, tmp_path / "run", stop_at=2)
    started.unlink()
    train(settings, tmp_path / "run", resume=True)
    (tmp_path / "run" / "config.yaml").unlink()
    with pytest.raises(InputError, match=r"config\.yaml is not there"):
        train(settings, tmp_path / "run", resume=True)


@pytest.mark.parametrize("state", [[1], {"network": 1}, {"network": {}, "average": []}, 7])
def test_a_last_state_that_is_none_is_refused(root: Path, tmp_path: Path, state: Any) -> None:
    settings = config(root, **SINGLE)
    (tmp_path / "config.yaml").write_text(dump_yaml(settings), "utf-8")
    torch.save(state, tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt"):
        train(settings, tmp_path, resume=True)
