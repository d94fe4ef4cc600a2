"""Opens torch's two kinds of checkpoint file, the zip and the one before torch 1.6, without torch.

Both are treated as hostile: sizes are checked against what is there before memory is asked for,
and at most as many bytes are read as the file has.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fissura.types import InputError
from fissura.weights.pickles import (
    ITEM_BYTES,
    Pickles,
    Storage,
    UnreadableError,
    plainly,
    told,
    unpickle,
)

MAX_FILE_BYTES = 4 * 2**30
MAX_TENSOR_BYTES = 2**30
MAX_PICKLE_BYTES = 64 * 2**20
MAX_ENTRIES = 20_000
"""Of a zip file: ten times a large network's."""
MAX_DIRECTORY_BYTES = 2 * 2**20
"""Of their list, which is read before they can be counted."""
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # What torch wrote first for years.
LEGACY_PROTOCOL = 1001

# The first bytes of what people give instead of a checkpoint.
_OTHERS = (
    (
        rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml)",
        "is a web page, not weights: the download went wrong",
    ),
    (rb"version https://git-lfs", "is a pointer of Git LFS; fetch the file itself: git lfs pull"),
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM..\0\0\0\0", "is a picture, not weights"),
    (rb".{8}\s*\{\s*\"", "is a safetensors file under another name, not a torch checkpoint"),
    (rb"\x08[\x01-\x20][\x12\x1a\x22\x3a\x42]", "is an ONNX model, not a torch checkpoint"),
    (rb"\x89HDF", "is an HDF5 file, as Keras writes them, not a torch checkpoint"),
    (rb"\x93NUMPY", "is a NumPy array, not a torch checkpoint"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "is a compressed archive; unpack it first"),
    (rb".{257}ustar", "is a tar archive; unpack it first"),
)
_DAMAGED = (
    *(ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError),
    *(struct.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, MemoryError),
)
"""What reading nonsense can lead to; none of it has a side effect."""


_TOO_MANY = "has more entries than any checkpoint and is refused"


@dataclass(frozen=True)
class _Place:
    """Where a storage's bytes lie in the file, and their checksum where the file has one."""

    start: int
    size: int
    crc: int | None = None


class Checkpoint:
    """An open file: `tree` is what was saved, `read` fetches the numbers of one storage."""

    def __init__(self, file: _Bounded) -> None:
        self._file = file
        self._left = min(file.size, MAX_TENSOR_BYTES)
        if file.section(0, 4) == b"PK\x03\x04":
            self.tree, self._places = _open_zip(file)
        else:
            self.tree, self._places = _open_legacy(file)

    def read(self, storage: Storage) -> bytearray:
        """The bytes of a storage, as many as its count says."""
        place = self._places.get(storage.key)
        wanted = storage.count * ITEM_BYTES[storage.dtype]
        held = place.size if place else 0
        if place is None or wanted > held or place.start + held > self._file.size:
            raise UnreadableError(f"declares {storage.count} numbers, but {held} bytes are there")
        self._left -= held
        if self._left < 0:
            raise UnreadableError(
                "uses the same bytes again and again and is refused"
                if self._file.size <= MAX_TENSOR_BYTES
                else "and those before it hold more than 1 GiB, more than any network here"
            )
        data = bytearray(held)
        self._file.seek(place.start)
        if self._file.readinto(data) != held:
            raise UnreadableError("cannot be read in one piece")
        if place.crc is not None and zlib.crc32(data) != place.crc:
            raise UnreadableError("is damaged (a checksum is wrong); fetch it again")
        return data if wanted == held else data[:wanted]


class _Bounded(io.FileIO):
    """A file that never gives more than a checkpoint's list of contents at once to `read`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.size = self.seek(0, io.SEEK_END)
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = self.size - self.tell()
        if size > MAX_DIRECTORY_BYTES:
            raise UnreadableError(_TOO_MANY)
        return super().read(size) or b""

    def section(self, start: int, size: int) -> bytes:
        """Bytes that were checked to be few enough."""
        self.seek(start)
        return super().read(size) or b""


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Checkpoint]:
    """The checkpoint in `path`; InputError, also inside the block, where it is not readable."""
    try:
        if not path.is_file():
            wrong = "is not a file" if path.exists() else "is not there"
            raise InputError(f"{path}: {wrong}; give a checkpoint, as .pth")
        size = path.stat().st_size
        if not 0 < size <= MAX_FILE_BYTES:
            wrong = "is larger than 4 GiB, which no checkpoint here is" if size else "is empty"
            raise InputError(f"{path}: {wrong}; fetch it again")
        with _Bounded(path) as file:
            _refuse_others(file)
            yield Checkpoint(file)
    except UnreadableError as reason:
        raise InputError(f"{path}: {reason}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except InputError:
        raise
    except _DAMAGED:
        wrong = "is damaged, cut off or no torch checkpoint"
        raise InputError(f"{path}: {wrong}; fetch it again") from None


def _refuse_others(file: _Bounded) -> None:
    head = file.read(512)
    for pattern, reason in _OTHERS:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            raise UnreadableError(reason)
    file.seek(0)


def _open_zip(file: _Bounded) -> tuple[object, dict[str, _Place]]:
    """The pickle of a zip checkpoint, and where the entries data/KEY beside it lie."""
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise UnreadableError(_TOO_MANY)
    by_name = {entry.filename: entry for entry in entries}
    for entry in entries:
        _refuse_entry(entry)
    if len(by_name) < len(entries):
        raise UnreadableError("has two entries of one name and is refused")
    roots = [name.removesuffix("/data.pkl") for name in by_name if name.endswith("/data.pkl")]
    if len(roots) != 1 or "/" in roots[0]:
        raise UnreadableError("is a zip archive without a torch checkpoint in it; unpack it first")
    if f"{roots[0]}/constants.pkl" in by_name:
        raise UnreadableError(
            "is a TorchScript program, which would have to be run; "
            "save the network's state dict instead: torch.save(network.state_dict(), FILE)"
        )
    places = {name: _place(file, entry) for name, entry in by_name.items()}
    order = places.get(f"{roots[0]}/byteorder")
    if order and file.section(order.start, min(order.size, 16)) != b"little":
        raise UnreadableError("was written on a big-endian machine; save it again on another")
    pickle = places[f"{roots[0]}/data.pkl"]
    if pickle.size > MAX_PICKLE_BYTES:
        raise UnreadableError("has a longer description of itself than any checkpoint")
    tree = unpickle(Pickles(file.section(pickle.start, pickle.size)))
    start = f"{roots[0]}/data/"
    return tree, {k.removeprefix(start): v for k, v in places.items() if k.startswith(start)}


def _refuse_entry(entry: zipfile.ZipInfo) -> None:
    name = PurePosixPath(entry.filename)
    if ".." in name.parts or name.is_absolute() or "\\" in entry.filename:
        raise UnreadableError(
            f"has an entry that leads out of it ({told(entry.filename)}) and is refused"
        )
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise UnreadableError(
            f"has the compressed entry {told(entry.filename)}, which torch never writes; "
            "an archive around a checkpoint has to be unpacked first"
        )
    if entry.flag_bits & 1:
        raise UnreadableError(f"has the encrypted entry {told(entry.filename)}")


def _place(file: _Bounded, entry: zipfile.ZipInfo) -> _Place:
    """Behind the entry's own header, whose name and extra field may have any length."""
    header = file.section(entry.header_offset, 30)
    signature, name_bytes, extra_bytes = struct.unpack("<4s22xHH", header)
    if signature != b"PK\x03\x04":
        raise ValueError("no entry")
    return _Place(entry.header_offset + 30 + name_bytes + extra_bytes, entry.file_size, entry.CRC)


def _open_legacy(file: _Bounded) -> tuple[object, dict[str, _Place]]:
    """Five pickles (magic, version, machine, tree, keys), then each storage's count and numbers."""
    data = Pickles(file.section(0, MAX_PICKLE_BYTES))
    magic = unpickle(data)
    if magic != LEGACY_MAGIC:
        raise UnreadableError(_no_checkpoint(magic))
    version, machine = unpickle(data), unpickle(data)
    if version != LEGACY_PROTOCOL or not isinstance(machine, dict):
        raise UnreadableError("is a torch checkpoint of an unknown version")
    if machine.get("little_endian") is not True:
        raise UnreadableError("was written on a big-endian machine; save it again on another")
    storages: dict[str, Storage] = {}
    tree, keys = unpickle(data, storages), unpickle(data)
    places: dict[str, _Place] = {}
    position = data.tell()
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, str) or key in places:
            raise ValueError("no list of keys")
        (count,) = struct.unpack("<q", file.section(position, 8))
        size = count * ITEM_BYTES[storages[key].dtype]
        if count < 0 or position + 8 + size > file.size:
            raise UnreadableError(f"is cut off: it declares {count} numbers and ends before them")
        places[key] = _Place(position + 8, size)
        position += 8 + size
    return tree, places


def _no_checkpoint(found: object) -> str:
    what = plainly(found)
    return f"is a pickle that holds {what}, not a torch checkpoint; nothing in it was run"
