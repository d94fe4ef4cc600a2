"""Model files say what they are; damaged, foreign and hostile ones are refused in a sentence."""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_cgnet import ARGUMENTS, model_folder

from fissura.types import InputError
from fissura.weights import METADATA_KEYS, companion, read_card, resolve, shipped
from fissura.weights.files import _CHILDREN, read_metadata

SUFFIXES = (".onnx", ".safetensors")


def copy_of(tmp_path, suffix):
    path = tmp_path / f"copy{suffix}"
    path.write_bytes((model_folder() / f"cgnet{suffix}").read_bytes())
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_both_files_carry_the_whole_card(suffix):
    path = model_folder() / f"cgnet{suffix}"
    card = read_card(path)
    assert (card.name, card.arguments, card.input_scale) == ("cgnet", ARGUMENTS, 2.0)
    assert (card.threshold, card.licence, card.summary) == (0.4, "none", "random weights")
    assert card.mean_rgb == pytest.approx((72.39239876, 82.90891754, 73.15835921))
    assert card.path == path
    assert {f"fissura.{key}" for key in METADATA_KEYS} <= set(read_metadata(path))


def test_both_files_carry_the_hash_of_the_tensors():
    from safetensors.numpy import load_file

    folder = model_folder()
    state = load_file(folder / "cgnet.safetensors")
    digest = hashlib.sha256()
    for name in sorted(state):
        values = state[name]
        digest.update(f"{name} {values.dtype} {','.join(map(str, values.shape))}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    for suffix in SUFFIXES:
        assert read_card(folder / f"cgnet{suffix}").weights_sha256 == digest.hexdigest()


def test_network_comes_back_from_safetensors_unchanged(tmp_path):
    from fissura.weights.network import load_module, save_safetensors

    module, card = load_module(model_folder() / "cgnet.safetensors")
    again = save_safetensors(module, card, tmp_path / "new" / "copy.safetensors")
    assert again.weights_sha256 == card.weights_sha256
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy.safetensors"]


def test_resolve_takes_files_and_lists_what_ships(tmp_path):
    path = model_folder() / "cgnet.onnx"
    assert resolve(str(path)) == path
    for name, file in shipped().items():
        assert resolve(name) == file
    with pytest.raises(InputError, match="no model 'nosuch': give a file or one of the shipped"):
        resolve("nosuch")
    with pytest.raises(InputError, match=r"is no model file; give an \.onnx"):
        resolve(tmp_path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
def test_foreign_checkpoints_are_sent_to_the_importer(tmp_path, suffix):
    path = tmp_path / f"iter_14000{suffix}"
    path.write_bytes(b"\x80\x02")
    with pytest.raises(InputError, match=r"checkpoint of another program.*fissura import-weights"):
        resolve(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"\x00", b"not a model at all, plain text", b"\xff" * 99])
def test_damaged_files_are_named(tmp_path, suffix, content):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"bad{suffix}: is damaged or not"):
        read_card(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_mutated_files_never_crash_the_reader(tmp_path, suffix, data):
    content = bytearray((model_folder() / f"cgnet{suffix}").read_bytes()[:6000])
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"mutated{suffix}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(InputError):
        read_card(path)


def test_safetensors_header_cannot_ask_for_more_than_the_file(tmp_path):
    path = tmp_path / "huge.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(InputError, match="is damaged"):
        read_card(path)


def test_a_file_of_another_program_is_recognised(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(model_folder() / "cgnet.onnx")
    del model.metadata_props[:]
    path = tmp_path / "foreign.onnx"
    onnx.save(model, path)
    with pytest.raises(InputError, match="was not written by fissura"):
        read_card(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("threshold", "7"), ("mean_rgb", "[1, 2]"), ("std_rgb", "[0, 1, 1]"), ("input_scale", '"x"')],
)
def test_impossible_notes_are_named(tmp_path, key, value):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    source = model_folder() / "cgnet.safetensors"
    with safe_open(source, "numpy") as file:
        notes = file.metadata() | {f"fissura.{key}": value}
    path = tmp_path / "odd.safetensors"
    save_file({"x": np.zeros(1, np.float32)}, path, notes)
    with pytest.raises(InputError, match=f"its note '{key}"):
        read_card(path)


@pytest.mark.parametrize(
    ("location", "refused"),
    [("weights.bin", False), ("../weights.bin", True), ("/etc/passwd", True), ("a/../../b", True)],
)
def test_external_data_stay_inside_the_folder(tmp_path, location, refused):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(model_folder() / "cgnet.onnx")
    tensor = model.graph.initializer[-1]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path = tmp_path / "inner" / "outside.onnx"
    path.parent.mkdir()
    path.write_bytes(model.SerializeToString())
    if not refused:
        assert read_card(path).name == "cgnet"
        return
    with pytest.raises(InputError, match="weights outside its own folder"):
        read_card(path)


def test_reader_knows_every_place_of_a_tensor_in_the_onnx_format():
    onnx = pytest.importorskip("onnx")
    for name, children in _CHILDREN.items():
        known = {
            field.number: field.message_type.name
            for field in getattr(onnx, name).DESCRIPTOR.fields
            if field.message_type is not None and field.message_type.name in _CHILDREN
        }
        assert children == known, name


def test_companion_needs_the_same_weights(tmp_path):
    path = copy_of(tmp_path, ".onnx")
    with pytest.raises(InputError, match=r"needs copy\.safetensors beside it; torch"):
        companion(path, ".safetensors")
    other = copy_of(tmp_path, ".safetensors")
    assert companion(path, ".safetensors") == other
    content = other.read_bytes()
    own = json.dumps(json.dumps(read_card(other).weights_sha256))[1:-1].encode()
    other.write_bytes(content.replace(own, own.replace(own[3:6], b"000")))
    with pytest.raises(InputError, match="holds other weights"):
        companion(path, ".safetensors")


def test_changed_weights_are_noticed(tmp_path):
    from fissura.weights.network import load_module

    path = copy_of(tmp_path, ".safetensors")
    content = bytearray(path.read_bytes())
    content[-5] ^= 64
    path.write_bytes(content)
    with pytest.raises(InputError, match="its weights are not those its notes name"):
        load_module(path)


def test_field_numbers_beyond_32_bits_are_refused(tmp_path):
    path = tmp_path / "odd.onnx"
    graph = b"\x3a\x00"
    path.write_bytes(graph + b"\xf2\x80\x80\x80\x10\x00")  # 14, but for a bit that others drop
    with pytest.raises(InputError, match="is damaged"):
        read_metadata(path)
