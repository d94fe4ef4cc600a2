"""Videos, cameras and streams: every frame in order, and one sentence about whatever is wrong."""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small_videos import SIZE_HW, picture, write_video

from fissura import video
from fissura.addresses import is_live, public_name
from fissura.sequence import count_frames, find_sources
from fissura.types import Frame, InputError
from fissura.video import is_video, open_video

MAX_PIXELS = 10**6


def frames_of(source: str | Path, max_pixels: int = MAX_PIXELS) -> Iterator[Frame]:
    with open_video(source, max_pixels) as opened:
        for new in opened:
            yield from new


def sentence_of(source: str | Path, **options: Any) -> tuple[int, str]:
    """How many frames came before the mistake, and what it says."""
    seen: list[int] = []
    with pytest.raises(InputError) as caught:
        seen.extend(frame.index for frame in frames_of(source, **options))
    assert "\n" not in str(caught.value)
    return len(seen), str(caught.value)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_every_frame_in_order(tmp_path: Path, suffix: str, capfd: Any) -> None:
    path = write_video(tmp_path / f"belt{suffix}", 12, rate=20)
    found = list(frames_of(path))
    assert [frame.index for frame in found] == list(range(12))
    np.testing.assert_allclose([frame.time_s for frame in found], np.arange(12) / 20, atol=2e-3)
    for number, frame in enumerate(found):
        assert frame.size_hw == SIZE_HW
        assert np.abs(frame.image.astype(int) - picture(number)).mean() < 8
    assert found[0].source == str(path)
    assert capfd.readouterr().err == ""


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "red.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64)
    )
    writer.write(np.full((64, 64, 3), (0, 0, 255), np.uint8))
    writer.release()
    (frame,) = frames_of(tmp_path / "red.avi")
    red, green, blue = frame.image.reshape(-1, 3).mean(axis=0)
    assert red > 240
    assert max(green, blue) < 20


def test_a_video_is_known_by_name_or_content(tmp_path: Path) -> None:
    path = write_video(tmp_path / "belt.mp4", 3)
    other = path.rename(tmp_path / "belt.recording")
    assert is_video(other)
    assert len(list(frames_of(other))) == 3
    cv2.imwrite(str(tmp_path / "a.png"), picture(0))
    assert not is_video(tmp_path / "a.png")
    assert not is_video(tmp_path / "nowhere")
    assert not is_video(tmp_path)


@pytest.mark.parametrize(
    ("source", "video_too", "live"),
    [
        ("camera:0", True, True),
        ("rtsp://camera.local/1", True, True),
        ("http://server/stream", True, True),
        ("RTSP://camera.local/1", True, True),
        ("HTTP://server/belt.MP4", True, False),
        ("https://server/belt.mp4?token=1", True, False),
        ("C:/belt.mp4", True, False),
        ("rtsp://u:[p@camera/1", True, True),
        ("camera:front", False, False),
        ("picture.jpg", False, False),
    ],
)
def test_what_is_live(source: str, video_too: bool, live: bool) -> None:
    assert is_video(source) is video_too
    assert is_live(source) is live


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rtsp://user:secret@camera/1?a=b", "rtsp://camera/1?a=b"),
        ("rtsp://user:secret@camera:554/1?to=a@b", "rtsp://camera:554/1?to=a@b"),
        ("rtsp://u:s@cret@camera/1", "rtsp://camera/1"),
        ("rtsp://u:s/cret@camera/1", "rtsp://camera/1"),
        ("rtsp://u:s?cret@camera/1", "rtsp://camera/1"),
        ("rtsp://u:s@c/ret@camera/1", "rtsp://camera/1"),
        ("RTSP://u:secret@camera/1", "RTSP://camera/1"),
        ("rtsp://camera/a@b", "rtsp://camera/a@b"),
        ("rtsp://camera:554/a", "rtsp://camera:554/a"),
        (
            "rtsp://camera/user=admin&password=secret&channel=1",
            "rtsp://camera/user=***&password=***&channel=1",
        ),
        ("http://cam/v.cgi?usr=a&pwd=secret&x=1", "http://cam/v.cgi?usr=***&pwd=***&x=1"),
        ("http://cam/a.mp4?Access_Token=se/cret", "http://cam/a.mp4?Access_Token=***"),
        ("belt.mp4", "belt.mp4"),
    ],
)
def test_passwords_stay_out_of_results(source: str, name: str) -> None:
    assert public_name(source) == name


def test_the_name_of_a_file_stays_whole() -> None:
    assert public_name(Path("a@b.mp4")) == "a@b.mp4"
    assert public_name(Path("password=1.mp4")) == "password=1.mp4"


@pytest.mark.usefixtures("quick")
def test_no_message_about_a_stream_tells_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    said = sentence_of(f"rtsp://u:hush@mum@127.0.0.1:{port}/password=hush")[1]
    assert "hush" not in said
    assert "mum" not in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "is not an MP4"),
        (b"#EXTM3U\n#EXTINF:1\n/etc/passwd\n", "is not an MP4"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "is not an MP4"),
        (b"\xff\xd8\xff" + bytes(100), "is not an MP4"),
        (b"\0\0\0\x18ftypisom" + bytes(500), "is cut or damaged, or holds no video"),
        (b"\0\0\0\x18ftypavif" + bytes(500), "is not an MP4"),
        (b"RIFF\xff\xff\xff\xffAVI " + bytes(500), "is cut or damaged, or holds no video"),
        (b"\x1a\x45\xdf\xa3" + b"\xff" * 500, "is cut or damaged, or holds no video"),
    ],
)
def test_what_is_no_video_is_one_sentence(
    tmp_path: Path, content: bytes, message: str, capfd: Any
) -> None:
    path = tmp_path / "belt.mp4"
    path.write_bytes(content)
    count, sentence = sentence_of(path)
    assert count == 0
    assert sentence.startswith(str(path))
    assert message in sentence
    assert capfd.readouterr().err == ""


def test_the_head_of_an_mp4_alone_is_one_sentence(tmp_path: Path) -> None:
    path = write_video(tmp_path / "belt.mp4", 40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "its table of contents (moov) is missing" in sentence_of(path)[1]


def test_missing_files_folders_and_sizes(tmp_path: Path) -> None:
    assert "no such file" in sentence_of(tmp_path / "nowhere.mp4")[1]
    (tmp_path / "folder.mp4").mkdir()
    assert "is a folder" in sentence_of(tmp_path / "folder.mp4")[1]
    path = write_video(tmp_path / "belt.mp4", 3)
    assert "96×64 pixels are over the limit of 6000" in sentence_of(path, max_pixels=6000)[1]


def test_a_name_is_no_pattern_and_no_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("belt%03d.avi", "concat:a.avi"):
        write_video(tmp_path / "plain.avi", 3).rename(tmp_path / name)
        assert len(list(frames_of(name))) == 3


def test_memory_does_not_grow_with_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "belt.avi", 150)
    for _ in zip(range(3), frames_of(path), strict=False):  # what is loaded once
        pass
    tracemalloc.start()
    for _ in frames_of(path):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * picture(0).nbytes


def test_folders_give_pictures_or_else_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "b10.mp4", 3)
    write_video(tmp_path / "b9.avi", 4)
    assert [Path(p).name for p in find_sources([tmp_path])] == ["b9.avi", "b10.mp4"]
    assert count_frames(find_sources([tmp_path]), MAX_PIXELS) == 7
    assert len(find_sources([str(tmp_path / "*.mp4"), tmp_path / "b10.mp4"])) == 1
    cv2.imwrite(str(tmp_path / "a.png"), picture(0))
    assert [Path(p).name for p in find_sources([tmp_path])] == ["a.png"]
    assert find_sources(["camera:0", "rtsp://a/b"]) == ["camera:0", "rtsp://a/b"]
    assert count_frames(["camera:0"], MAX_PIXELS) == 0
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        find_sources([tmp_path / "empty"])


# ---- live ----------------------------------------------------------------------------------


class FakeCamera:
    """A camera that gives so many frames, one whenever it is allowed to."""

    def __init__(self, frames: int) -> None:
        self.left, self.given, self.released = frames, 0, False
        self.allowed = threading.Semaphore(0)

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.allowed.acquire(timeout=5)
        if self.given == self.left:
            return False, None
        self.given += 1
        return True, picture(self.given - 1)

    def allow(self, frames: int) -> None:
        target = self.given + frames
        for _ in range(frames):
            self.allowed.release()
        while self.given < min(target, self.left):
            time.sleep(0.001)
        time.sleep(0.02)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> FakeCamera:
    fake = FakeCamera(12)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: fake)
    return fake


def test_a_live_source_gives_the_newest_frames(camera: FakeCamera) -> None:
    with open_video("camera:0", MAX_PIXELS, memory=3) as live:
        steps = iter(live)
        camera.allow(1)
        assert [frame.index for frame in next(steps)] == [0]
        camera.allow(2)
        assert [frame.index for frame in next(steps)] == [1, 2]
        camera.allow(7)  # faster than they are worked on: those before the newest are passed over
        newest = next(steps)
        assert [frame.index for frame in newest] == [7, 8, 9]
        times = [frame.time_s or 0 for frame in newest]
        assert times == sorted(times)
        camera.allow(3)
        assert [frame.index for frame in next(steps)] == [10, 11]
        with pytest.raises(InputError, match=r"the stream ended.* after 12 frames"):
            next(steps)
    assert camera.released


def test_leaving_a_live_source_lets_go_of_it(camera: FakeCamera) -> None:
    with open_video("camera:0", MAX_PIXELS) as live:
        camera.allow(1)
        next(iter(live))
        camera.allowed.release()
    assert camera.released


def test_live_frames_over_the_limit_are_refused(camera: FakeCamera) -> None:
    camera.allowed.release()
    assert "over the limit of 100" in sentence_of("camera:0", max_pixels=100)[1]


def test_an_error_while_following_a_live_source_is_raised(
    camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(camera, "read", fail)
    with pytest.raises(MemoryError, match="no room"):
        next(frames_of("camera:0"))
    assert camera.released


def test_no_camera_is_one_sentence(capfd: Any) -> None:
    assert "camera:99: there is no such camera" in sentence_of("camera:99")[1]
    assert capfd.readouterr().err == ""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "TIMEOUT_S", 0.5)


@pytest.mark.usefixtures("quick")
def test_a_server_that_keeps_silent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        _, sentence = sentence_of(f"http://127.0.0.1:{server.getsockname()[1]}/stream")
    assert "does not answer as a video stream within 0.5 s" in sentence
    assert time.monotonic() - started < 5


@pytest.mark.usefixtures("quick")
def test_a_closed_port_is_one_sentence(capfd: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "does not answer as a video stream" in sentence_of(f"rtsp://127.0.0.1:{port}/1")[1]
    assert capfd.readouterr().err == ""


def test_streams_over_http(tmp_path: Path) -> None:
    data = write_video(tmp_path / "belt.mkv", 30).read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        assert [frame.index for frame in frames_of(f"{address}/belt.mkv")] == list(range(30))
        count, sentence = sentence_of(f"{address}/live")
        assert 1 <= count <= 30
        assert "the stream ended" in sentence
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
