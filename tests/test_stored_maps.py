"""Stored crack maps that cannot be meant are refused by name before they are decoded."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fissura.evaluate.stored import read_map
from fissura.types import InputError

SIZE_HW = (40, 48)


def png_of(side: int) -> bytes:
    """A black square of 8 bits that takes no memory to write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def write_huge_header(path: Path) -> None:
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**7)}
        np.lib.format.write_array_header_1_0(file, header)


def write_archive(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), a=np.zeros(3))
    shutil.move(path.with_suffix(".npz"), path)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.npy", write_archive, "cannot be read as .npy"),
        ("a.npy", write_huge_header, "prediction is 10000000 × 10000000, its picture 40 × 48"),
        ("a.npy", lambda p: p.write_bytes(b""), "cannot be read as .npy"),
        ("a.npy", lambda p: np.save(p, np.ones(SIZE_HW, np.int64)), "holds int64; save prob"),
        ("a.npy", lambda p: np.save(p, np.zeros((0, 48))), "prediction is 0 × 48"),
        ("a.png", lambda p: p.write_bytes(png_of(20_000)), "more pixels than a PNG may have"),
        ("a.png", lambda p: p.write_bytes(png_of(12_000)), "prediction is 12000 × 12000"),
        ("a.png", lambda p: Image.new("P", (48, 40), 1).save(p), "P PNG; a crack map has one"),
        ("a.png", lambda p: Image.new("L", (48, 40)).save(p, "JPEG"), "cannot be read as PNG"),
    ],
)
def test_a_map_that_cannot_be_meant_is_refused(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        read_map(tmp_path / name, SIZE_HW)
    assert str(tmp_path / name) in str(caught.value)


def test_black_maps_and_masks_of_bools_are_fine(tmp_path):
    Image.new("L", (48, 40)).save(tmp_path / "black.png")
    assert read_map(tmp_path / "black.png", SIZE_HW).max() == 0
    np.save(tmp_path / "mask.npy", np.eye(*SIZE_HW, dtype=bool))
    Image.fromarray(np.eye(*SIZE_HW, dtype=bool)).save(tmp_path / "mask.png")
    for name in ("mask.npy", "mask.png"):
        assert set(np.unique(read_map(tmp_path / name, SIZE_HW))) == {0, 255}
