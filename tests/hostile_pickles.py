"""More files that mean harm: pickles that are small and would take much memory or time.

They are added to those of `hostile_weights`.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

from hostile_weights import Row, dumped, hostile, tensor, write_zip


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


@hostile("names a class by more than any name")
def long_names_joined_again_and_again(path: Path, canary: Path) -> None:
    tree = _text("a" * 900) + b"q\x00](" + b"h\x00h\x00\x93" * 90_000 + b"e."
    write_zip(path, b"\x80\x04" + tree, {})


@hostile("is damaged, cut off or no torch checkpoint")
def huge_names_joined_again_and_again(path: Path, canary: Path) -> None:
    tree = _text("a" * 10**6) + b"q\x00](" + b"h\x00h\x00\x93" * 2500 + b"e."
    write_zip(path, b"\x80\x04" + tree, {})


@hostile("names a class by more than any name")
def class_of_a_long_name(path: Path, canary: Path) -> None:
    write_zip(path, b"\x80\x02c" + b"a" * 10**6 + b"\nb\n.", {})


@hostile("names a class by more than any name")
def object_of_a_class_of_a_long_name(path: Path, canary: Path) -> None:
    write_zip(path, b"\x80\x02(i" + b"a" * 10**6 + b"\nb\n.", {})


@hostile(
    r"holds no state dict but a tensor whose numbers cannot be read .an object of .x\.y..; nothing"
)
def tensors_over_tensors_over_nothing(path: Path, canary: Path) -> None:
    tree = REBUILD + b"q\x00cx\ny\nq\x01" + b"h\x00(h\x01K\x00))tRq\x01" * 20_000 + b"."
    write_zip(path, b"\x80\x04" + tree, {})


@hostile("holds no state dict but nothing; nothing in it was run")
def tensors_in_tensors_named_again_and_again(path: Path, canary: Path) -> None:
    nested = (
        b"ctorch._tensor\n_rebuild_from_type_v2\nq\x000)q\x010" + b"h\x00Nh\x01\x87q\x010" * 300
    )
    write_zip(path, b"\x80\x02" + nested + b"h\x00h\x01R0" * 50_000 + b"N.", {})


@hostile("is damaged, cut off or no torch checkpoint")
def long_reference_named_again_and_again(path: Path, canary: Path) -> None:
    reference = b"(" + _text("module") + b"N" * 100_000 + b"tq\x000"
    write_zip(path, b"\x80\x04" + reference + b"h\x00Q0" * 50_000 + b"N.", {})


@hostile("is damaged, cut off or no torch checkpoint")
def list_as_a_reference(path: Path, canary: Path) -> None:
    reference = b"](" + _text("module") + b"N" * 100_000 + b"eq\x000"
    write_zip(path, b"\x80\x04" + reference + b"h\x00Q0" * 50_000 + b"N.", {})


@hostile("is damaged, cut off or no torch checkpoint")
def text_as_a_reference(path: Path, canary: Path) -> None:
    write_zip(path, b"\x80\x04" + _text("\u0101" * 5_000_000) + b"Q.", {})


@hostile("holds a longer text than any checkpoint")
def text_of_many_megabytes(path: Path, canary: Path) -> None:
    write_zip(path, b"\x80\x04" + _text("\u0101" * 30_000_000) + b".", {})


@hostile("holds more text than any checkpoint")
def texts_that_take_four_times_their_bytes(path: Path, canary: Path) -> None:
    text = _text("a" * 990 + "\U0001f600")
    write_zip(path, b"\x80\x04](" + text * 60_000 + b"e.", {})


@hostile("has an entry whose name is longer than any checkpoint's")
def equal_long_names_compared_again_and_again(path: Path, canary: Path) -> None:
    names = _text("k" * 15_000_000)
    twice = b"}" + names + b"q\x000" + names + b"q\x010("
    write_zip(path, b"\x80\x02" + twice + b"h\x00Nh\x01N" * 50_000 + b"u.", {})


@hostile("is longer than any checkpoint")
def five_long_pickles(path: Path, canary: Path) -> None:
    start = b"\x80\x02" + b"N0" * 60_000
    heads = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}, {})
    with path.open("wb") as file:
        for head in (*heads, []):
            file.write(start + pickle.dumps(head, 2)[2:])


@hostile("has more entries than any checkpoint")
def zip_of_more_entries_than_any(path: Path, canary: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", dumped({}))
        for key in range(20_000):
            archive.writestr(f"a/{key}", b"")


@hostile("has the same numbers under many names and is refused")
def same_numbers_under_many_names(path: Path, canary: Path) -> None:
    count = 2**20
    state = {f"w{k}": tensor(Row("0", count), 0, (count,), (1,)) for k in range(500)}
    write_zip(path, dumped(state), {"0": bytes(4 * count)})
