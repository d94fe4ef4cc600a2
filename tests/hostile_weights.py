"""Weight files that are wrong or that mean harm: written by hand, as an attacker would."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

Write = Callable[[Path, Path], None]
"""Writes the file at the first path; what it would run creates the second."""

FILES: dict[str, tuple[Write, str]] = {}
"""Name → how the file is written, and what its refusal says."""


class Trap:
    """Unpickled by Python it calls `function`."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@dataclass(frozen=True)
class Row:
    """A storage that claims to hold `count` numbers."""

    key: str
    count: int
    kind: Any = torch.FloatStorage


class _Writer(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, Row):
            return "storage", obj.kind, obj.key, "cpu", obj.count
        return None


def dumped(tree: object) -> bytes:
    file = io.BytesIO()
    _Writer(file, protocol=2).dump(tree)
    return file.getvalue()


def tensor(row: Row, offset: int, size: object, stride: object) -> Trap:
    hooks: OrderedDict[str, object] = OrderedDict()
    return Trap(torch._utils._rebuild_tensor_v2, row, offset, size, stride, False, hooks)


def write_zip(path: Path, tree: bytes, rows: dict[str, bytes], **kind: Any) -> None:
    with zipfile.ZipFile(path, "w", **kind) as archive:
        archive.writestr("archive/data.pkl", tree)
        for key, data in rows.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")


def one_entry(path: Path, *described: Any) -> None:
    """A zip checkpoint of the entry `head.weight`, over four stored numbers."""
    write_zip(path, dumped({"head.weight": tensor(*described)}), {"0": bytes(16)})


def write_legacy(path: Path, tree: bytes, rows: dict[str, tuple[int, bytes]]) -> None:
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    heads = (0x1950A86A20F9469CFC6C, 1001, machine)
    with path.open("wb") as file:
        for head in heads:
            pickle.dump(head, file, protocol=2)
        file.write(tree)
        pickle.dump(list(rows), file, protocol=2)
        for count, data in rows.values():
            file.write(struct.pack("<q", count) + data)


def hostile(says: str) -> Callable[[Write], Write]:
    """Adds the file under the function's name; `says` is a pattern of the refusal."""

    def add(write: Write) -> Write:
        FILES[write.__name__] = write, says
        return write

    return add


@hostile(r"holds no state dict but an object of '(posix|nt)\.system'; nothing in it was run")
def runs_a_command(path: Path, canary: Path) -> None:
    write_zip(path, dumped(Trap(os.system, f"touch {canary}")), {})


@hostile(r"is a pickle that holds an object of '(posix|nt)\.system'")
def runs_a_command_in_old_text_form(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps(Trap(os.system, f"touch {canary}"), protocol=0))


@hostile(r"entry 'head\.weight' is an object of '(builtins|__builtin__)\.eval', not a plain tensor")
def evaluates_text_in_an_entry(path: Path, canary: Path) -> None:
    trap = Trap(eval, f"open({str(canary)!r}, 'w')")
    tree = {"stem.weight": torch.ones(2), "head.weight": trap}
    torch.save(tree, path, _use_new_zipfile_serialization=False)


@hostile("holds no state dict but an object of 'canary_module.Start'")
def imports_a_module(path: Path, canary: Path) -> None:
    """`canary_module.py` beside the file creates the canary when it is imported."""
    text = f"open({str(canary)!r}, 'w')\nclass Start: pass\n"
    path.with_name("canary_module.py").write_text(text)
    write_zip(path, b"\x80\x02ccanary_module\nStart\n)\x81.", {})


@hostile("has the compressed entry 'archive/data.pkl', which torch never writes")
def zip_bomb(path: Path, canary: Path) -> None:
    rows = {"0": bytes(2**27)}
    write_zip(path, dumped({}), rows, compression=zipfile.ZIP_DEFLATED)


@hostile(r"entry 'head\.weight' declares 1000000000 numbers, but 16 bytes are there")
def declares_more_than_it_holds(path: Path, canary: Path) -> None:
    one_entry(path, Row("0", 10**9), 0, (10**9,), (1,))


@hostile("is cut off: it declares 1099511627776 numbers and ends before them")
def old_file_declares_terabytes(path: Path, canary: Path) -> None:
    tree = dumped({"head.weight": tensor(Row("0", 2**39), 0, (4,), (1,))})
    write_legacy(path, tree, {"0": (2**40, bytes(16))})


@hostile(r"entry 'head\.weight' reaches to number 104 of 4")
def begins_behind_its_end(path: Path, canary: Path) -> None:
    one_entry(path, Row("0", 4), 100, (4,), (1,))


@hostile(r"entry 'head\.weight' reaches to number 3073 of 4")
def strides_over_its_end(path: Path, canary: Path) -> None:
    one_entry(path, Row("0", 4), 0, (4,), (1024,))


@hostile(r"entry 'head\.weight' blows 4 stored numbers up to 1099511627776")
def expands_to_terabytes(path: Path, canary: Path) -> None:
    one_entry(path, Row("0", 4), 0, (2**20, 2**20), (0, 0))


@hostile(r"entry 'head\.weight' is a tensor of an impossible size or place")
def negative_size(path: Path, canary: Path) -> None:
    one_entry(path, Row("0", 4), -4, (-4,), (-1,))


@hostile(r"entry 'w\d+' uses the same bytes again and again")
def same_bytes_under_many_names(path: Path, canary: Path) -> None:
    count, copies = 2**20, 200
    rows = {str(k): tensor(Row(str(k), count), 0, (count,), (1,)) for k in range(copies)}
    tree = dumped({f"w{key}": value for key, value in rows.items()})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tree)
        archive.writestr("archive/data/0", bytes(4 * count))
        first = archive.getinfo("archive/data/0")
        for key in range(1, copies):
            entry = zipfile.ZipInfo(f"archive/data/{key}")
            entry.header_offset, entry.CRC = first.header_offset, first.CRC
            entry.file_size = entry.compress_size = first.file_size
            archive.filelist.append(entry)


@hostile("holds no state dict but a list")
def nested_deeply(path: Path, canary: Path) -> None:
    write_zip(path, b"\x80\x02" + b"]" * 140_000 + b"a" * 139_999 + b".", {})


@hostile("is longer than any checkpoint")
def never_ends(path: Path, canary: Path) -> None:
    write_zip(path, b"\x80\x04" + b"N\x940" * 2**22 + b".", {})


# Each tuple holds the one before it twice: to compare, hash or print the last takes for ever.
LAUGHS = b")" + b"2\x86" * 200


@hostile("holds no state dict but an empty dictionary")
def laughs_as_keys(path: Path, canary: Path) -> None:
    write_zip(path, b"\x80\x02}" + LAUGHS + b"Ns.", {})


@hostile("is damaged, cut off or no torch checkpoint")
def laughs_as_a_storage_key(path: Path, canary: Path) -> None:
    write_legacy(path, dumped({"head.weight": torch.Size([1])}), {})
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"\x80")] + b"\x80\x02](" + LAUGHS + b"e.")


@hostile("holds no state dict but an empty dictionary")
def keys_that_collide(path: Path, canary: Path) -> None:
    keys = range(0, 10**5 * (2**61 - 1), 2**61 - 1)
    items = b"".join(b"\x8a\x0b" + k.to_bytes(11, "little") + b"N" for k in keys)
    write_zip(path, b"\x80\x02}(" + items + b"u.", {})


@hostile("holds no state dict but a list; nothing")
def long_list_named_again_and_again(path: Path, canary: Path) -> None:
    pairs = b"](" + b"X\x01\x00\x00\x00aN\x86" * 50_000 + b"eq\x000"
    again = b"ccollections\nOrderedDict\nq\x010](" + b"h\x01h\x00\x85R" * 30_000
    write_zip(path, b"\x80\x02" + pairs + again + b"e.", {})


@hostile("entry 'head.weight' is a tensor of an impossible size or place")
def more_axes_than_can_be(path: Path, canary: Path) -> None:
    one_entry(path, Row("0", 4), 0, (1,) * 10**5, (1,) * 10**5)


@hostile(r"entry 'head\.weight' and those before it hold more than 1 GiB")
def file_of_nothing_but_zeros(path: Path, canary: Path) -> None:
    tree = dumped({"head.weight": tensor(Row("0", 10**9), 0, (10**9,), (1,))})
    write_legacy(path, tree, {"0": (10**9, b"")})
    with path.open("ab") as file:
        file.truncate(4 * 10**9 + 10_000)


@hostile("is damaged, cut off or no torch checkpoint")
def memo_of_terabytes(path: Path, canary: Path) -> None:
    write_zip(path, b"\x80\x02Nr\xff\xff\xff\xffh\x00.", {})


@hostile("has more entries than any checkpoint")
def zip_of_many_entries(path: Path, canary: Path) -> None:
    entry = b"PK\x01\x02" + bytes(42)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 46 * 2**17, 4, 0)
    path.write_bytes(b"PK\x03\x04" + entry * 2**17 + end)


@hostile(r"has an entry that leads out of it \('archive/\.\./\.\./\.bashrc'\)")
def zip_with_a_path_out(path: Path, canary: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", dumped({}))
        archive.writestr("archive/../../.bashrc", f"touch {canary}")


@hostile(r"is a whole network \(an object of 'torch\.nn\.modules\.container\.Sequential'\)")
def whole_network(path: Path, canary: Path) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 1, 1)), path)


@hostile("is a whole network .* save the state dict")
def whole_network_in_a_container(path: Path, canary: Path) -> None:
    network = {"epoch": 3, "model": nn.Sequential(nn.Conv2d(3, 1, 1))}
    torch.save(network, path, _use_new_zipfile_serialization=False)


@hostile(r"a dictionary of 'epoch', 'net'.*; save what is under 'net' by itself: torch\.save\(")
def unknown_container(path: Path, canary: Path) -> None:
    torch.save({"epoch": 3, "net": {"head.weight": torch.ones(2)}}, path)


@hostile("holds no state dict but a single tensor; nothing")
def tensor_alone(path: Path, canary: Path) -> None:
    torch.save(torch.ones(2), path)


@hostile("holds no state dict but nothing; nothing")
def nothing_saved(path: Path, canary: Path) -> None:
    torch.save(None, path)


@hostile(r"entry 'epoch' is a number, not a plain tensor")
def number_among_tensors(path: Path, canary: Path) -> None:
    torch.save({"head.weight": torch.ones(2), "epoch": 3}, path)


@hostile(r"is a pickle that holds a number, not a torch checkpoint")
def pickled_number(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps(7))


@hostile("is a TorchScript program")
def torch_script(path: Path, canary: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"net/{name}", dumped({}))


def _sound(path: Path, legacy: bool) -> bytes:
    state = {"head.weight": torch.arange(4096.0)}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    return path.read_bytes()


@hostile("is damaged, cut off or no torch checkpoint; fetch it again")
def zip_cut_off(path: Path, canary: Path) -> None:
    path.write_bytes(_sound(path, legacy=False)[:-500])


@hostile("is cut off: it declares 4096 numbers")
def old_file_cut_off(path: Path, canary: Path) -> None:
    path.write_bytes(_sound(path, legacy=True)[:-500])


@hostile(r"entry 'head\.weight' is damaged \(a checksum is wrong\)")
def one_bit_flipped(path: Path, canary: Path) -> None:
    data = bytearray(_sound(path, legacy=False))
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@hostile("is a picture, not weights")
def picture(path: Path, canary: Path) -> None:
    _, data = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))
    path.write_bytes(data.tobytes())


@hostile("is a web page, not weights: the download went wrong")
def web_page(path: Path, canary: Path) -> None:
    path.write_text("\n<!DOCTYPE html>\n<html><title>Sign in to download</title></html>")


@hostile("is a pointer of Git LFS")
def lfs_pointer(path: Path, canary: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")


@hostile("is a safetensors file under another name")
def safetensors_renamed(path: Path, canary: Path) -> None:
    from safetensors.torch import save_file

    save_file({"head.weight": torch.ones(2)}, path)


@hostile("is an ONNX model")
def onnx_renamed(path: Path, canary: Path) -> None:
    import onnx

    graph = onnx.helper.make_graph([], "net", [], [])
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())


@hostile("is damaged, cut off or no torch checkpoint")
def random_bytes(path: Path, canary: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(10_000))


@hostile("is empty; fetch it again")
def empty(path: Path, canary: Path) -> None:
    path.touch()


@hostile("is larger than 4 GiB")
def too_large(path: Path, canary: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 * 2**30)
