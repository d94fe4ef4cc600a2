"""Every kind of picture becomes an upright 8-bit RGB Frame; every fault one clear sentence."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzz_images import bomb_png, chunk, encoded, located, outcome, picture, seeds, write_mutants
from PIL import Image

from fissura.frames import find_images, from_array, read_image
from fissura.types import InputError

RGB = picture()
IMAGE = Image.fromarray(RGB)
DEEP = (RGB.astype(np.uint16) << 8) + RGB[::-1]


def stored(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refused(path: Path, *words: str, **settings: int) -> str:
    """The one sentence with which reading is refused; it names the file."""
    with pytest.raises(InputError) as caught:
        read_image(path, **settings)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


# kinds of pictures


@pytest.mark.parametrize(
    ("name", "form", "options"),
    [
        ("a.png", "PNG", {}),
        ("a.bmp", "BMP", {}),
        ("a.tif", "TIFF", {}),
        ("a.TIFF", "TIFF", {"compression": "tiff_lzw"}),
        ("a.tiff", "TIFF", {"compression": "tiff_deflate"}),
        ("a.webp", "WEBP", {"lossless": True}),
    ],
)
def test_lossless_pictures_come_back_exactly(tmp_path, name, form, options):
    frame = read_image(stored(tmp_path / name, encoded(IMAGE, form, **options)))
    np.testing.assert_array_equal(frame.image, RGB)
    assert frame.notes == ()
    assert frame.source == str(tmp_path / name)
    assert frame.gps is None


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_equals_opencv(tmp_path, options):
    path = stored(tmp_path / "a.jpg", encoded(IMAGE, "JPEG", quality=90, **options))
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert np.abs(read_image(path).image.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
def test_grey_is_repeated_in_three_channels(tmp_path, form):
    frame = read_image(stored(tmp_path / "a", encoded(IMAGE.convert("L"), form, quality=100)))
    assert np.abs(frame.image.astype(int) - np.asarray(IMAGE.convert("L"))[..., None]).max() <= 3


def test_bilevel_and_palette_pictures(tmp_path):
    bilevel, palette = IMAGE.convert("1"), IMAGE.quantize(16)
    one = read_image(stored(tmp_path / "a.png", encoded(bilevel, "PNG")))
    np.testing.assert_array_equal(one.image[..., 0], np.asarray(bilevel) * np.uint8(255))
    for form in ("PNG", "BMP", "TIFF"):
        two = read_image(stored(tmp_path / "b", encoded(palette, form)))
        np.testing.assert_array_equal(two.image, np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_transparent_parts_are_laid_on_white(tmp_path, form):
    alpha = np.full(RGB.shape[:2], 255, np.uint8)
    alpha[:, :10] = 0
    alpha[:, 10:20] = 51
    image = Image.fromarray(np.dstack([RGB, alpha]))
    frame = read_image(stored(tmp_path / "a", encoded(image, form, lossless=True)))
    assert (frame.image[:, :10] == 255).all()
    expected = np.rint(RGB[:, 10:20] * 0.2 + 255 * 0.8)
    assert np.abs(frame.image[:, 10:20] - expected).max() <= 1
    np.testing.assert_array_equal(frame.image[:, 20:], RGB[:, 20:])
    assert "transparent parts laid on white" in frame.notes


def test_opaque_alpha_and_transparent_palette(tmp_path):
    image = IMAGE.copy()
    image.putalpha(255)
    frame = read_image(stored(tmp_path / "a.png", encoded(image, "PNG")))
    np.testing.assert_array_equal(frame.image, RGB)
    assert frame.notes == ("opaque alpha channel dropped",)
    palette = IMAGE.quantize(8)
    frame = read_image(stored(tmp_path / "b.png", encoded(palette, "PNG", transparency=2)))
    assert (frame.image[np.asarray(palette) == 2] == 255).all()
    assert "transparent parts laid on white" in frame.notes


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_is_turned_into_rgb_and_noted(tmp_path, form):
    frame = read_image(
        stored(tmp_path / "a", encoded(IMAGE.convert("CMYK"), form, quality=100, subsampling=0))
    )
    assert np.abs(frame.image.astype(int) - RGB).max() <= 8
    assert any("CMYK" in note for note in frame.notes)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_divided_by_257(tmp_path, suffix, channels):
    deep = np.dstack([DEEP, np.full(DEEP.shape[:2], 65535, np.uint16)])[..., :channels]
    bgr = deep if channels == 1 else deep[..., [2, 1, 0, 3][:channels]]
    path = stored(tmp_path / f"a{suffix}", cv2.imencode(suffix, bgr)[1].tobytes())
    frame = read_image(path)
    expected = np.rint(deep[..., : min(channels, 3)] / 257).astype(np.uint8)
    np.testing.assert_array_equal(frame.image, np.broadcast_to(expected, RGB.shape))
    assert "16 bits reduced to 8" in frame.notes


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_twelve_bits_in_sixteen_are_scaled_and_noted(tmp_path, suffix):
    deep = DEEP >> 4
    path = stored(tmp_path / f"a{suffix}", cv2.imencode(suffix, deep[..., ::-1])[1].tobytes())
    frame = read_image(path)
    np.testing.assert_array_equal(frame.image, np.rint(deep / (4095 / 255)).astype(np.uint8))
    assert any("12 bits" in note for note in frame.notes)


@pytest.mark.parametrize("top", [1, 255, 65535])
@pytest.mark.parametrize("grey", [True, False])
def test_float_tiff_is_read_by_its_range(tmp_path, top, grey):
    values = RGB[..., 0] if grey else RGB
    floats = values.astype(np.float32) / values.max() * top
    path = stored(tmp_path / "a.tif", cv2.imencode(".tif", floats[..., ::-1])[1].tobytes())
    floats = floats if not grey else floats[..., ::-1]
    frame = read_image(path)
    expected = np.rint(floats * (255 / top))
    found = frame.image[..., 0] if grey else frame.image
    assert np.abs(found - expected).max() <= 1
    assert any("floats" in note for note in frame.notes)


@pytest.mark.parametrize("bad", [np.nan, -3.0, 1e9])
def test_float_tiff_out_of_range_is_refused(tmp_path, bad):
    floats = RGB[..., 0].astype(np.float32)
    floats[3, 3] = bad
    refused(stored(tmp_path / "a.tif", encoded(Image.fromarray(floats), "TIFF")), "convert")


def test_white_is_zero_tiff_is_inverted(tmp_path):
    grey = DEEP[..., 0]
    data = bytearray(encoded(Image.fromarray(65535 - grey), "TIFF"))
    entry = data.index(struct.pack("<HHI", 262, 3, 1))
    data[entry + 8 : entry + 10] = b"\0\0"
    frame = read_image(stored(tmp_path / "a.tif", bytes(data)))
    np.testing.assert_array_equal(frame.image[..., 0], np.rint(grey / 257).astype(np.uint8))


def test_first_page_of_a_tiff_and_first_frame_of_a_webp(tmp_path):
    other = Image.fromarray(255 - RGB)
    for form in ("TIFF", "WEBP", "PNG"):
        options = {"save_all": True, "append_images": [other], "lossless": True}
        frame = read_image(stored(tmp_path / "a", encoded(IMAGE, form, **options)))
        np.testing.assert_array_equal(frame.image, RGB)
        assert any("first of several" in note for note in frame.notes)


# orientation and place

TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
    ],
)
def test_all_eight_orientations_come_out_upright(tmp_path, form, options, orientation):
    data = encoded(IMAGE, form, exif=located(orientation), **options)
    frame = read_image(stored(tmp_path / "a", data))
    expected = TURNS[orientation](RGB)
    assert frame.image.shape == expected.shape
    assert np.abs(frame.image.astype(int) - expected).max() <= 5
    assert frame.image.flags.c_contiguous
    assert any("orientation" in note for note in frame.notes) == (orientation != 1)
    assert frame.gps == pytest.approx((48 + 8 / 60 + 30 / 3600, -(11 + 34 / 60 + 12 / 3600)))


@pytest.mark.parametrize("orientation", TURNS)
def test_compressed_tiff_comes_out_upright(tmp_path, orientation):
    data = encoded(IMAGE, "TIFF", compression="tiff_lzw", tiffinfo={274: orientation})
    frame = read_image(stored(tmp_path / "a.tif", data))
    np.testing.assert_array_equal(frame.image, TURNS[orientation](RGB))


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("depth", [np.uint16, np.float32])
def test_deep_tiff_comes_out_upright(tmp_path, orientation, channels, depth):
    tifffile = pytest.importorskip("tifffile")
    pixels = DEEP if depth == np.uint16 else (DEEP / 65535).astype(np.float32)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels if channels == 3 else pixels[..., 0],
        photometric="rgb" if channels == 3 else "minisblack",
        extratags=[(274, "H", 1, orientation, True)],
    )
    frame = read_image(tmp_path / "a.tif")
    expected = TURNS[orientation](np.rint(DEEP / 257).astype(np.uint8))
    assert frame.image.shape == expected.shape
    np.testing.assert_allclose(frame.image[..., :channels], expected[..., :channels], atol=1)
    assert any("orientation" in note for note in frame.notes) == (orientation != 1)


@pytest.mark.parametrize(
    "place",
    [
        {1: "N", 2: (95.0, 0.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)},
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (48.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)},
        {1: "N", 2: (48.0, 0.0, 0.0)},
    ],
)
def test_a_place_that_makes_no_sense_is_left_out(tmp_path, place):
    exif = Image.Exif()
    exif[0x8825] = place
    assert read_image(stored(tmp_path / "a.jpg", encoded(IMAGE, "JPEG", exif=exif))).gps is None


def test_damaged_exif_does_not_lose_the_picture(tmp_path):
    data = encoded(IMAGE, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 40)
    assert read_image(stored(tmp_path / "a.jpg", data)).size_hw == RGB.shape[:2]


# faults


def test_wrong_suffix_is_read_and_noted(tmp_path):
    frame = read_image(stored(tmp_path / "a.jpg", encoded(IMAGE, "PNG")))
    np.testing.assert_array_equal(frame.image, RGB)
    assert frame.notes == ("a PNG file although named '.jpg'",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "zero bytes"),
        (b"just some notes\n" * 9, "not a JPEG"),
        (b"GIF89a" + b"\0" * 50, "a GIF"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 50, "HEIC"),
        (b"%PDF-1.7" + b"\0" * 50, "PDF"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\xff\xd8\xff", "damaged JPEG"),
        (b"BM", "damaged BMP"),
        (b"II*\0", "damaged TIFF"),
        (b"RIFF\0\0\0\0WEBP", "damaged WEBP"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path, data, words):
    refused(stored(tmp_path / "a.jpg", data), words)


def test_missing_folder_pipe_and_link_to_nowhere_are_refused(tmp_path):
    refused(tmp_path / "none.jpg", "No such file")
    (tmp_path / "folder.jpg").mkdir()
    refused(tmp_path / "folder.jpg", "a folder")
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "a pipe or device")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "link.jpg", "No such file")
    with pytest.raises(InputError, match="a pipe or device"):
        read_image("/dev/null")


def test_odd_names_stay_on_one_line(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff\nname.jpg"))
    path.write_bytes(b"no picture")
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize("name", seeds())
def test_every_truncated_file_is_refused(tmp_path, name):
    data = seeds()[name]
    cuts = [len(data) * part // 10 for part in range(1, 9)]
    if name == "pages.tif":
        cuts = cuts[:2]
    for cut in cuts:
        refused(stored(tmp_path / name, data[:cut]))


def noisy() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))


@pytest.mark.parametrize("grey", [False, True])
def test_jpeg_with_missing_middle_but_end_marker_is_refused(tmp_path, grey):
    data = encoded(noisy().convert("L" if grey else "RGB"), "JPEG")
    hole = data[: len(data) // 2] + data[-2:]
    refused(stored(tmp_path / "a.jpg", hole), "truncated")


def test_whole_jpeg_that_ends_in_middle_grey_is_read(tmp_path):
    for mode in ("RGB", "L"):
        flat = Image.new(mode, (300, 200), 128 if mode == "L" else (128, 128, 128))
        for options in ({}, {"progressive": True}, {"restart_marker_blocks": 4}):
            path = stored(tmp_path / "a.jpg", encoded(flat, "JPEG", **options))
            assert (read_image(path).image == 128).all()


def test_pixel_limit_holds_before_decoding(tmp_path):
    for name, data in seeds().items():
        refused(stored(tmp_path / name, data), "56×40", "2000", "max_pixels", max_pixels=2000)
        read_image(tmp_path / name, max_pixels=2240)


def test_decompression_bombs_are_refused_or_harmless(tmp_path, capfd):
    zeros = zlib.compress(b"\0" * 200_000_000, 9)
    texts = [chunk(b"zTXt", b"Comment\0\0" + zeros), chunk(b"iTXt", b"C\0\1\0\0\0" + zeros)]
    profile = chunk(b"iCCP", b"icc\0\0" + zeros)
    for extra in (*texts, profile):
        verdict = outcome(stored(tmp_path / "text.png", bomb_png(extra)))
        assert verdict in ("read", "refused")
    huge = stored(tmp_path / "huge.png", bomb_png(size=(60_000, 60_000)))
    refused(huge, "60000×60000", "max_pixels")
    short = bytearray(encoded(IMAGE, "JPEG"))
    frame_header = short.index(b"\xff\xc0")
    short[frame_header + 5 : frame_header + 9] = struct.pack(">HH", 13_000, 15_000)
    refused(stored(tmp_path / "short.jpg", bytes(short)), "far too short")
    tags = bytearray(encoded(IMAGE, "TIFF"))
    entry = tags.index(struct.pack("<HH", 273, 4))
    tags[entry + 4 : entry + 8] = b"\xff\xff\xff\x7f"
    refused(stored(tmp_path / "tags.tif", bytes(tags)))
    assert capfd.readouterr().err == ""


def test_large_pictures_below_the_limit_raise_no_warning(tmp_path):
    for size, limit in (((20_000, 9_500), 150_000_000), ((9_500, 9_500), 91_000_000)):
        large = Image.new("1", size)
        path = stored(tmp_path / "a", encoded(large, "TIFF", compression="group4"))
        if size[0] * size[1] > limit:
            refused(path, "20000×9500", max_pixels=limit)
    assert read_image(path).size_hw == (9_500, 9_500)


def test_several_hundred_mutated_files_are_read_or_refused_by_name(tmp_path, capfd):
    paths = write_mutants(tmp_path, 420, seed=3)
    found = {path.name: outcome(path) for path in paths}
    assert {name: v for name, v in found.items() if v not in ("read", "refused")} == {}
    assert {"read", "refused"} == set(found.values())
    assert capfd.readouterr().err == ""


def test_real_pictures_are_read(shared_data):
    for path in find_images([shared_data / "field"], recursive=True)[:3]:
        expected = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        assert read_image(path).image.shape == expected.shape


def test_reading_leaves_no_file_open(tmp_path):
    path = stored(tmp_path / "a.tif", seeds()["pages.tif"])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        read_image(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint32])
def test_integers_of_no_certain_range_are_refused(kind):
    with pytest.raises(InputError, match=f"{np.dtype(kind)} may mean any range"):
        from_array(np.full((4, 4, 3), 100, kind))
