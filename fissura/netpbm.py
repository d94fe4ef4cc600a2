"""The pixels of binary PPM and PGM files: Pillow reads the header, but 16 bits very slowly."""

from __future__ import annotations

import os
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from fissura.pixels import Pixels

READ_AS_STORED = (255, 4095, 65535)


def decode(image: Image.Image, file: BinaryIO) -> Pixels:
    """Pixels of an opened picture, not yet loaded, as stored or scaled to 8 bits.

    A maximum that no camera has, 1000 for instance, would be lost later, so it is settled here.
    """
    codec, _, offset, told = image.tile[0]  # type: ignore[attr-defined]
    top = int(told[1]) if codec == "ppm" else 65535 if image.mode == "I" else 255
    kind = np.dtype(">u2" if top > 255 else "u1")
    shape = image.height, image.width, len(image.getbands())
    length = int(np.prod(shape)) * kind.itemsize
    if os.fstat(file.fileno()).st_size < offset + length:
        raise ValueError("truncated: fewer pixels than its header claims")
    file.seek(offset)
    pixels = np.frombuffer(file.read(length), kind).reshape(shape)
    if top in READ_AS_STORED:
        return pixels
    return cv2.convertScaleAbs(pixels.astype(np.uint16), alpha=255 / top).reshape(shape)
