"""Mutated picture files: each must be read or refused by name, without crash, hang or chatter.

`python tests/fuzz_images.py` writes 2,000 of them, reads them in a process of its own and prints
what became of them; exit code 1 if one crashed, hung, was refused without its name or wrote to
standard error.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

from fissura.frames import read_image
from fissura.types import InputError

SECONDS_PER_FILE = 10.0
MAX_PIXELS = 20_000_000


def picture(height: int = 40, width: int = 56) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A soft texture with a dark line."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(90, 200, (5, 7, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.line(image, (3, 2), (width - 5, height - 4), (30, 30, 35), 2)
    return np.asarray(image, np.uint8)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """The picture as a file's bytes."""
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def located(orientation: int = 6) -> Image.Exif:
    """EXIF with an orientation and a place."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 30.0), 3: "W", 4: (11.0, 34.0, 12.0)}
    stored = Image.Exif()
    stored.load(exif.tobytes())
    return stored


def seeds() -> dict[str, bytes]:
    """Small valid files of every kind that fissura reads."""
    rgb = picture()
    image = Image.fromarray(rgb)
    deep = rgb.astype(np.uint16) * 257
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "crack " * 40, zip=True)
    alpha = image.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    grey16 = Image.fromarray(deep[..., 0])
    grey_float = Image.fromarray(rgb[..., 0].astype(np.float32) / 255)
    tiff16 = cv2.imencode(".tiff", deep)[1].tobytes()
    return {
        "baseline.jpg": encoded(image, "JPEG", exif=located()),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "restart.jpg": encoded(image, "JPEG", restart_marker_blocks=2),
        "grey.jpg": encoded(image.convert("L"), "JPEG"),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "rgb.png": encoded(image, "PNG", pnginfo=text, exif=located(), icc_profile=b"icc" * 50),
        "alpha.png": encoded(alpha, "PNG"),
        "palette.png": encoded(image.quantize(16), "PNG", transparency=3),
        "grey16.png": encoded(grey16, "PNG"),
        "rgb16.png": cv2.imencode(".png", deep)[1].tobytes(),
        "raw.tif": encoded(image, "TIFF", exif=located()),
        "lzw.tif": encoded(image, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(image, "TIFF", compression="jpeg"),
        "pages.tif": encoded(
            image, "TIFF", save_all=True, append_images=[image], compression="tiff_deflate"
        ),
        "grey16.tif": encoded(grey16, "TIFF"),
        "rgb16.tif": tiff16,
        "float.tif": encoded(grey_float, "TIFF"),
        "rgb.bmp": encoded(image, "BMP"),
        "palette.bmp": encoded(image.quantize(16), "BMP"),
        "rgb.ppm": encoded(image, "PPM"),
        "grey16.pgm": encoded(grey16, "PPM"),
        "lossy.webp": encoded(image, "WEBP", exif=located()),
        "lossless.webp": encoded(alpha, "WEBP", lossless=True),
    }


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb_png(*extra: bytes, size: tuple[int, int] = (8, 8)) -> bytes:
    """A grey 8×8 PNG with further chunks, whatever size its header claims."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" * (9 * 8)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + rows + chunk(b"IEND", b"")


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Flipped bytes, a cut, a hole, an insertion, or large numbers in the header."""
    kind = rng.integers(6)
    raw = bytearray(data)
    size = len(raw)
    at = int(rng.integers(size))
    length = int(rng.integers(1, max(2, size // 4)))
    if kind == 0:
        for place in rng.integers(size, size=rng.integers(1, 20)):
            raw[place] = rng.integers(256)
    elif kind == 1:
        for place in rng.integers(min(size, 120), size=rng.integers(1, 5)):
            raw[place] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        del raw[at:]
    elif kind == 3:
        del raw[at : at + length]
    elif kind == 4:
        raw[at:at] = rng.bytes(length)
    else:
        place = int(rng.integers(min(size, 200)))
        raw[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\0\xff"])
    return bytes(raw)


def write_mutants(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """`count` mutated files, the kinds in turn."""
    rng = np.random.default_rng(seed)
    sources = sorted(seeds().items())
    paths = []
    for i in range(count):
        name, data = sources[i % len(sources)]
        path = folder / f"{i:05d}_{name}"
        path.write_bytes(mutate(data, rng))
        paths.append(path)
    return paths


def outcome(path: Path) -> str:
    """`read`, `refused`, or what is wrong with the way it was handled."""
    started = time.perf_counter()
    try:
        frame = read_image(path, max_pixels=MAX_PIXELS)
        verdict = "read" if frame.image.size else "empty picture"
    except InputError as error:
        text = str(error)
        verdict = "refused" if path.name in text and "\n" not in text else f"unclear: {text}"
    except Exception as error:
        verdict = f"crash: {type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    return verdict if seconds < SECONDS_PER_FILE else f"slow: {seconds:.1f} s"


def read_all(folder: Path) -> None:
    """Print one JSON line per file, at once, so that a crash shows where it happened."""
    for path in sorted(folder.iterdir()):
        print(json.dumps([path.name, outcome(path)]), flush=True)


def main() -> int:
    """Write the mutants, read them in a process of their own, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read_all(options.read)
        return 0
    with tempfile.TemporaryDirectory() as name:
        paths = write_mutants(Path(name), options.count, options.seed)
        started = time.perf_counter()
        command = [sys.executable, "-W", "error", __file__, "--read", name]
        limit = 60 + SECONDS_PER_FILE * options.count / 10
        child = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        seconds = time.perf_counter() - started
    verdicts = dict(json.loads(line) for line in child.stdout.splitlines())
    for path in paths:
        verdict = verdicts.get(path.name, f"no answer (exit code {child.returncode})")
        if verdict not in ("read", "refused"):
            print(f"{path.name}: {verdict}")
    counts = Counter(v if v in ("read", "refused") else "wrong" for v in verdicts.values())
    counts["wrong"] += len(paths) - len(verdicts)
    print(f"{len(paths)} mutated files in {seconds:.1f} s:", dict(counts))
    print(f"standard error: {len(child.stderr)} characters {child.stderr[:500]!r}")
    return int(counts["wrong"] > 0 or bool(child.stderr))


if __name__ == "__main__":
    sys.exit(main())
