"""Videos that are cut, damaged or miscounted: what is there is read, and the rest is told."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from small_videos import picture, write_video
from test_video import frames_of, sentence_of

from fissura.types import Frame, InputError


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_a_cut_video_gives_what_it_holds(tmp_path: Path, suffix: str, share: float) -> None:
    path = write_video(tmp_path / f"belt{suffix}", 40)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    count, sentence = sentence_of(path)
    assert 10 <= count < 40
    assert f"only {count} of 40 frames can be read and those are done" in sentence


def frame_starts(data: bytes) -> list[int]:
    """Where the frames of an AVI begin."""
    first, end = data.index(b"movi"), data.index(b"idx1")
    return [match.start() + first for match in re.finditer(b"00dc", data[first:end])]


def test_what_follows_a_lost_frame_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "belt.avi", 20)
    data = bytearray(path.read_bytes())
    for lost in (7, 11):
        at = frame_starts(data)[lost] + 8
        data[at : at + 400] = bytes(400)
    path.write_bytes(data)
    seen: list[Frame] = []
    with pytest.raises(InputError) as caught:
        seen.extend(frames_of(path))
    # OpenCV gives one frame fewer at the end for each that it could not decode.
    assert [frame.index for frame in seen] == [i for i in range(18) if i not in (7, 11)]
    for frame in seen:
        assert frame.time_s == pytest.approx(frame.index / 25, abs=2e-3)
        assert np.abs(frame.image.astype(int) - picture(frame.index)).mean() < 8
    assert "only 16 of 20 frames can be read (frame 7, 11 cannot be decoded)" in str(caught.value)


def announce(path: Path, frames: int) -> None:
    """Let the headers of an AVI say so many frames."""
    data = bytearray(path.read_bytes())
    for name, offset in ((b"avih", 24), (b"strh", 40)):
        at = data.index(name) + offset
        data[at : at + 4] = frames.to_bytes(4, "little")
    path.write_bytes(data)


def test_a_short_video_that_lacks_its_end_is_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "belt.avi", 3)
    data = path.read_bytes()
    path.write_bytes(data[: frame_starts(data)[1] + 20])
    count, sentence = sentence_of(path)
    assert count == 1
    assert "only 1 of 3 frames" in sentence


def test_a_frame_less_than_announced_is_noted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "belt.avi", 200)
    announce(path, 202)
    *others, last = frames_of(path)
    assert last.notes == ("200 of 202 announced frames read; no other was found",)
    assert not any(frame.notes for frame in others)
    announce(path, 203)
    assert "only 200 of 203 frames" in sentence_of(path)[1]


def test_a_kind_of_file_that_does_not_count_is_noted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "belt.ts", 20)
    *_, last = frames_of(path)
    assert "20 frames read; the file does not say how many" in last.notes[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 188 // 2 * 188])
    *_, last = frames_of(path)
    assert last.index < 19
    assert "a missing end would not be noticed" in last.notes[0]


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "belt.avi", 40)
    data = bytearray(path.read_bytes())
    start = len(data) // 3
    data[start : start + len(data) // 4] = bytes(len(data) // 4)
    path.write_bytes(data)
    count, sentence = sentence_of(path)
    assert 5 <= count < 40
    assert "is cut or damaged" in sentence
