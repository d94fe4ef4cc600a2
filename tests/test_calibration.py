"""Pictures and belts of a user's own become what a network sees, for its 8-bit ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_videos import write_video

from fissura.export import calibration
from fissura.export.calibration import seen_by
from fissura.types import UInt8Image
from fissura.weights import ModelCard

DETECTOR = ModelCard(
    name="x",
    mean_rgb=(0.0, 0.0, 0.0),
    std_rgb=(1.0, 1.0, 1.0),
    classes=("crack",),
    strides=(8,),
    frames=3,
    size_hw=(32, 64),
)


def numbered(folder: Path, sequence: str, count: int) -> None:
    """Pictures that are as bright as their number."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        grey = np.full((32, 64, 3), number, np.uint8)
        Image.fromarray(grey).save(folder / f"{sequence}_{number:03d}.png")


def brightness(clip: UInt8Image) -> list[int]:
    return [int(value) for value in clip[:, 0, 0, 0]]


def test_windows_are_frames_that_follow_each_other(tmp_path: Path) -> None:
    numbered(tmp_path / "one", "a", 5)
    numbered(tmp_path / "two", "b", 2)
    seen = seen_by(DETECTOR, [tmp_path])
    assert [brightness(clip) for clip in seen] == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert seen[0].shape == (3, 32, 64, 3)


def test_the_first_frame_stands_in_where_no_sequence_is_long_enough(tmp_path: Path) -> None:
    numbered(tmp_path, "b", 2)
    assert [brightness(clip) for clip in seen_by(DETECTOR, [tmp_path])] == [[0, 0, 0], [0, 0, 1]]


def test_of_many_pictures_some_are_taken_evenly(tmp_path: Path) -> None:
    numbered(tmp_path, "a", 9)
    seen = seen_by(DETECTOR, [tmp_path], most=3)
    assert [brightness(clip)[-1] for clip in seen] == [2, 5, 8]


def test_videos_give_windows_from_their_whole_length(tmp_path: Path) -> None:
    path = write_video(tmp_path / "belt.avi", 12)
    seen = seen_by(DETECTOR, [path], most=4)
    assert [clip.shape for clip in seen] == [(3, 32, 64, 3)] * 4
    assert all(not np.array_equal(clip[0], clip[-1]) for clip in seen)


def test_each_of_many_videos_gives_a_window_from_its_middle(tmp_path: Path) -> None:
    for name in "abc":
        write_video(tmp_path / f"{name}.avi", 7)
    seen = seen_by(DETECTOR, [tmp_path], most=3)
    assert len(seen) == 3
    assert all(not np.array_equal(clip[0], clip[-1]) for clip in seen)


def test_videos_that_do_not_say_how_long_they_are_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "count_frames", lambda *_: 0)
    (clip,) = seen_by(DETECTOR, [write_video(tmp_path / "belt.avi", 5)], most=1)
    assert clip.shape == (3, 32, 64, 3)


def test_thin_pictures_keep_a_pixel(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((1, 500, 3), np.uint8)).save(tmp_path / "thin.png")
    card = ModelCard("x", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), input_scale=0.25)
    (seen,) = seen_by(card, [tmp_path / "thin.png"])
    assert seen.shape == (1, 125, 3)


def test_photographs_are_cut_in_their_middle_at_network_scale(tmp_path: Path) -> None:
    card = ModelCard("x", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), input_scale=2.0)
    image = np.zeros((100, 900, 3), np.uint8)
    image[:, 440:460] = 255
    Image.fromarray(image).save(tmp_path / "wide.png")
    (seen,) = seen_by(card, [tmp_path / "wide.png"])
    assert seen.shape == (200, 640, 3)
    assert seen[100, 320, 0] == 255
