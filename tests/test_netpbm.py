"""Binary PPM and PGM pictures, of any depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import deepcrack537
from PIL import Image

from fissura.datasets import open_dataset
from fissura.frames import find_images, read_image
from fissura.types import InputError

RGB = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)


def write(path: Path, pixels: np.ndarray, top: int, header: str = "") -> Path:
    """A file of the stored values as they are."""
    kind, (height, width) = ("P6", "P5")[pixels.ndim == 2], pixels.shape[:2]
    stored = pixels.astype(">u2" if top > 255 else "u1").tobytes()
    path.write_bytes(f"{kind}\n{header}{width} {height}\n{top}\n".encode() + stored)
    return path


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("top", [255, 65535, 4095, 1000, 15])
def test_every_depth_is_scaled_by_its_maximum(tmp_path, top, grey):
    values = RGB[..., 0] if grey else RGB
    stored = np.rint(values * (top / 255))
    frame = read_image(write(tmp_path / "a.ppm", stored, top, "# a remark\n"))
    want = values[..., None] if grey else values
    assert np.abs(frame.image.astype(int) - want).max() <= 255 / top / 2 + 1
    if top == 255:
        np.testing.assert_array_equal(frame.image, np.broadcast_to(want, frame.image.shape))
        assert frame.notes == ()


def test_what_pillow_writes_is_found_and_read(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.ppm")
    Image.fromarray(RGB[..., 0]).save(tmp_path / "b.PGM", format="PPM")
    found = find_images([tmp_path])
    assert [path.name for path in found] == ["a.ppm", "b.PGM"]
    np.testing.assert_array_equal(read_image(found[0]).image, RGB)
    np.testing.assert_array_equal(read_image(found[1]).image[..., 1], RGB[..., 0])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"P6\n5 7\n255\n" + bytes(104), "truncated"),
        (b"P5\n5 7\n65535\n" + bytes(69), "truncated"),
        (b"P6\n100000 100000\n255\n", "over the limit"),
        (b"P6\n5 7\n70000\n" + bytes(300), "damaged PPM"),
        (b"P6\n0 7\n255\n", "damaged PPM"),
        (b"P6\n-5 7\n255\n" + bytes(300), "damaged PPM"),
        (b"P6 nonsense", "damaged PPM"),
        (b"P3\n1 1\n255\n1 2 3\n", "is not a JPEG"),
    ],
)
def test_damaged_and_foreign_files_are_refused_by_name(tmp_path, data, words):
    path = tmp_path / "a.ppm"
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.ppm: .*{words}"):
        read_image(path)


def test_a_ppm_picture_of_the_official_layout(tmp_path):
    image, _ = deepcrack537.write(tmp_path, "train", "a", 1)
    with Image.open(image) as opened:
        opened.save(image.with_suffix(".ppm"))
    image.unlink()
    assert open_dataset(tmp_path)[0].image.shape == (64, 96, 3)
