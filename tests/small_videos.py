"""Small videos for the tests: a dark square of one cell wanders over a light ground."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

SIZE_HW = (64, 96)
CELL = 8
CODES = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v", ".ts": "mp4v"}


def picture(number: int, ground: int = 200) -> np.ndarray:
    """Frame of that number: H×W×3, its square in column `number` of the grid of cells."""
    image = np.full((*SIZE_HW, 3), ground, np.uint8)
    left = CELL * (number % (SIZE_HW[1] // CELL))
    image[16 : 16 + CELL, left : left + CELL] = 0
    return image


def write_video(path: Path, frames: int = 10, rate: float = 25.0, ground: int = 200) -> Path:
    """A video of such frames, its kind by its name."""
    code = cv2.VideoWriter.fourcc(*CODES[path.suffix])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, rate, SIZE_HW[::-1])
    assert writer.isOpened()
    for number in range(frames):
        writer.write(picture(number, ground))
    writer.release()
    return path


def count_frames(path: Path) -> int:
    """How many frames can be read."""
    capture, count = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), 0
    while capture.read()[0]:
        count += 1
    return count
