"""Weight files of all formats are read exactly, or refused with a reason. Their code is never executed."""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from refusals import has, refused
from torch_files import (
    ORDERED,
    REBUILD,
    Call,
    Name,
    Raw,
    Storage,
    pickled,
    state_dict,
    storages_of,
    tensor,
    write_legacy,
    write_zip,
)

import harness.pretrained.formats.pickled
import harness.pretrained.formats.safetensors
from harness import DataError, SpecError, Unavailable
from harness.pretrained.formats import load_safetensors, read_tensors, require, save_safetensors

FORMATS = ("zip", "legacy")
RANDOM = np.random.default_rng(0)
ARRAYS = {
    "conv.weight": RANDOM.normal(size=(4, 3, 2, 2)).astype("f4"),
    "conv.bias": RANDOM.normal(size=4),
    "half": RANDOM.normal(size=(2, 3)).astype("f2"),
    "num_batches_tracked": np.array(7),
    "empty": np.zeros((0, 3), "f4"),
    "i4": np.array([-5, 2**31 - 1], "i4"),
    "i2": np.array([-300, 300], "i2"),
    "i1": np.array([-128, 127], "i1"),
    "u1": np.array([[0], [255]], "u1"),
    "b1": np.array([True, False, True]),
}


def write_torch(form: str, file: Path, value: object, storages: dict, **more) -> Path:
    return write_zip(file, value, storages, **more) if form == "zip" else write_legacy(file, value, storages, **more)


def equal(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        assert np.array_equal(found[name], array), name
        assert found[name].flags.c_contiguous and found[name].flags.writeable and found[name].flags.aligned


def refused_file(file: Path, code: str, *values: Any, read=read_tensors) -> str:
    with refused(DataError, code, file, *values) as error:
        read(file)
    assert len(str(error.value)) < 2000
    return str(error.value)


def refused_somehow(file: Path, read=read_tensors) -> DataError:
    """The error for a file whose kind of fault depends on details of its bytes."""
    with pytest.raises(DataError) as error:
        read(file)
    assert str(file) in str(error.value) and len(str(error.value)) < 2000
    return error.value


# PyTorch: files that are read


@pytest.mark.parametrize("form", FORMATS)
def test_a_state_dict_of_every_type_is_read(tmp_path, form):
    value = state_dict(ARRAYS, legacy=form == "legacy")
    equal(read_tensors(write_torch(form, tmp_path / "x", value, storages_of(ARRAYS))), ARRAYS)


@pytest.mark.parametrize("form", FORMATS)
def test_bfloat16_becomes_the_float32_of_the_same_value(tmp_path, form):
    values = np.array([1.0, -2.5, 3.0e38, 0.0], "f4")
    bits = (values.view("u4") >> 16).astype("u2")
    value = {"x": Call(REBUILD, (Storage("BFloat16Storage", "0", 4), 0, (4,), (1,), False, None))}
    found = read_tensors(write_torch(form, tmp_path / "x", value, {"0": bits}))
    equal(found, {"x": (bits.astype("u4") << 16).view("f4")})
    assert found["x"][:2].tolist() == [1.0, -2.5]


@pytest.mark.parametrize("form", FORMATS)
def test_offsets_strides_and_shared_storages_are_respected(tmp_path, form):
    numbers = np.arange(24, dtype="f4")
    shared = Storage("FloatStorage", "0", 24)

    def view(offset, shape, strides):
        return Call(REBUILD, (shared, offset, shape, strides, False, None))

    value = {
        "all": view(0, (24,), (1,)),
        "transposed": view(0, (4, 6), (1, 4)),
        "channels last": view(0, (2, 3, 2, 2), (12, 1, 6, 3)),
        "part": view(7, (2, 2), (8, 3)),
        "expanded": view(3, (2, 5), (1, 0)),
        "one": view(23, (), ()),
        "none": view(24, (0, 9), (9, 1)),
    }
    equal(
        read_tensors(write_torch(form, tmp_path / "x", value, {"0": numbers})),
        {
            "all": numbers,
            "transposed": numbers.reshape(6, 4).T,
            "channels last": numbers.reshape(2, 2, 2, 3).transpose(0, 3, 1, 2),
            "part": np.array([[7, 10], [15, 18]], "f4"),
            "expanded": np.array([[3] * 5, [4] * 5], "f4"),
            "one": np.array(23, "f4"),
            "none": np.zeros((0, 9), "f4"),
        },
    )


def test_arrays_are_each_its_own_even_if_the_file_stores_them_once(tmp_path):
    shared = tensor(np.ones(3, "f4"))
    found = read_tensors(write_zip(tmp_path / "x", {"a": shared, "b": shared}, {"0": np.ones(3, "f4")}))
    found["a"][:] = 5
    assert found["b"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("order", ["little", "big", None])
def test_the_byte_order_is_that_of_the_file_and_little_if_it_says_none(tmp_path, order):
    array = {"x": np.array([1.5, -2.0], "f4")}
    equal(read_tensors(write_zip(tmp_path / "x", state_dict(array), storages_of(array), order)), array)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_ordered_dictionaries_with_attributes_parameters_and_older_calls_are_read(tmp_path, form, protocol):
    """As in `model.state_dict()`, with `_metadata`; as parameters; and as PyTorch 0.1 to 0.3 wrote them."""
    array = np.arange(6, dtype="f4").reshape(2, 3)
    whole = tensor(array)
    parts = [
        pickle.PROTO + bytes([protocol]),
        pickled(Call(ORDERED, ()))[2:-1],
        b"(",
        pickled("new")[2:-1] + pickled(whole)[2:-1],
        pickled("parameter")[2:-1]
        + pickled(Call(Name("torch._utils", "_rebuild_parameter"), (whole, True, Call(ORDERED, ()))))[2:-1],
        pickled("old")[2:-1] + pickled(Call(Name("torch._utils", "_rebuild_tensor"), whole.arguments[:4]))[2:-1],
        b"u",
        pickled({"_metadata": Call(ORDERED, ([("", {"version": 1})],))})[2:-1],
        b"b.",
    ]
    found = read_tensors(write_torch(form, tmp_path / "x", Raw(b"".join(parts)), {"0": array}))
    equal(found, dict.fromkeys(("new", "parameter", "old"), array))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_python_gives_the_same(tmp_path, protocol):
    value = {"state_dict": {}, "epochs": [1, -300, 70000, 2**70, 0.5, None, True, (), (1, 2, 3, 4)], "long": "x" * 300}
    assert read_tensors(write_zip(tmp_path / "x", Raw(pickle.dumps(value, protocol)), {})) == {}
    arrays = {"a": np.ones(2), "b": np.zeros(3)}
    pickle_of_it = Raw(pickled(state_dict(arrays), protocol))
    equal(read_tensors(write_zip(tmp_path / "x", pickle_of_it, storages_of(arrays))), arrays)


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_a_checkpoint_gives_the_state_dict_in_it(tmp_path, wrapper):
    array = {"w": np.ones(2, "f4")}
    momentum = tensor(np.zeros(5), "9")
    value = {"epoch": 3, "arch": "net", wrapper: state_dict(array), "optimizer": {"state": {0: {"m": momentum}}}}
    for form in FORMATS:
        storages = {"9": np.zeros(5), **storages_of(array)}
        equal(read_tensors(write_torch(form, tmp_path / form, value, storages)), array)


# PyTorch: files that are refused


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"w": tensor(np.ones(1)), "epoch": 3, "name": "x"}, ["wrong-type", "epoch (int), name (str)"]),
        ({"a": {"b": tensor(np.ones(1))}}, ["wrong-type", "a (dict)"]),
        ({3: tensor(np.ones(1))}, ["wrong-type", "3 (Tensor)"]),
        ([tensor(np.ones(1))], ["unknown-format", "list", "model.state_dict()"]),
        (tensor(np.ones(1)), ["unknown-format", "Tensor"]),
        ({"model": {}, "state_dict": {}}, ["unknown-format", "state_dict, model"]),
        ({f"n{i}": i for i in range(50)}, ["wrong-type", "n19 (int)", 30]),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_other_values_than_tensors_are_refused_by_name(tmp_path, form, value, said):
    refused_file(write_torch(form, tmp_path / "x", value, {"0": np.ones(1)}), *said)


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def payloads(canary: Path) -> dict[str, bytes]:
    """Pickles that create a file when they are loaded."""
    touch = f"open({str(canary)!r}, 'w').close()"
    shell = f"touch {canary}"
    system = f"c{os.system.__module__}\nsystem\n".encode()
    text = pickle.dumps(shell, 2)[2:-1]
    code = pickle.dumps(touch, 2)[2:-1]
    return {
        "os.system": pickle.dumps(Evil(os.system, shell), 2),
        "os.system by protocol 4": pickle.dumps(Evil(os.system, shell), 4),
        "builtins.exec": pickle.dumps(Evil(exec, touch), 4),
        "builtins.eval in a state dict": pickle.dumps({"w": Evil(eval, touch)}, 2),
        "nested": pickle.dumps({"state_dict": {"a": [1, ({"b": Evil(exec, touch)},)]}}, 2),
        "found by getattr": pickle.dumps(Evil(getattr(builtins, "exec"), touch), 3),  # noqa: B009
        "through a dotted name": b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93" + code + b"\x85R.",
        "INST": b"(" + text + b"i" + system[1:] + b".",
        "OBJ": b"(" + system + text + b"o.",
        "as the state of an object": b"\x80\x02ccollections\nOrderedDict\n)R}"
        + b"U\x01x"
        + system
        + text
        + b"\x85Rsb.",
        "as the type of a storage": b"\x80\x02(U\x07storage" + system + text + b"\x85RU\x010U\x03cpuK\x01tQ.",
    }


PAYLOADS = sorted(payloads(Path("canary")))


@pytest.mark.parametrize("name", PAYLOADS)
def test_these_payloads_do_run_when_they_are_loaded(tmp_path, name):
    """Otherwise the tests below would prove nothing."""

    class Loader(pickle.Unpickler):
        def persistent_load(self, key):
            return key

    canary = tmp_path / "canary"
    Loader(io.BytesIO(payloads(canary)[name])).load()
    assert canary.exists()


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("place", ["zip", "legacy", "magic number", "machine", "keys", "alone"])
def test_no_payload_runs_wherever_it_is(tmp_path, name, place):
    canary, file = tmp_path / "canary", tmp_path / "x.pth"
    evil, good = payloads(canary)[name], pickled({"w": tensor(np.ones(1))})
    head = [pickled(0x1950A86A20F9469CFC6C), pickled(1001), pickled({})]
    data = struct.pack("<q", 1) + np.ones(1).tobytes()
    if place == "zip":
        write_zip(file, Raw(evil), {"0": np.ones(1)})
    else:
        parts = {
            "legacy": [*head, evil, pickled(["0"]), data],
            "magic number": [head[0][:-1] + evil[2 if evil[0] == 128 else 0 :], *head[1:], good, pickled(["0"])],
            "machine": [*head[:2], evil, good, pickled(["0"]), data],
            "keys": [*head, good, evil, data],
            "alone": [evil],
        }
        file.write_bytes(b"".join(parts[place]))
    error = refused_somehow(file)
    assert not canary.exists()
    if place in ("zip", "legacy") and "INST" not in name:
        assert error.code == "unsafe-file"
        assert any(has(str(error), function) for function in ("system", "exec", "eval", "getattr"))


def test_long_names_make_no_long_messages_and_long_pickles_are_refused(tmp_path, monkeypatch):
    long = "x" * 1_000_000
    assert "os.xxx" in refused_file(write_zip(tmp_path / "x", Name("os", long), {}), "unsafe-file")
    assert "xxx" in refused_file(write_zip(tmp_path / "x", {long: 1}, {}), "wrong-type")
    file = write_zip(tmp_path / "x", {"w": tensor(np.ones(1), long)}, {})
    assert "'xxx" in refused_file(file, "malformed-file")
    assert "'xxx" in refused_file(write_safetensors(tmp_path / "x", {long: 3}, b""), "malformed-file")
    with refused(SpecError, "wrong-weights", "x") as error:
        require({long: BIAS}, {}, "x")
    assert len(str(error.value)) < 2000
    monkeypatch.setattr(harness.pretrained.formats.pickled, "LONGEST", 1000)
    refused_file(write_zip(tmp_path / "x", Raw(b"(" * 1001 + b"."), {}), "unsafe-file", "1,000")


def test_the_error_names_the_function_that_a_pickle_asks_for(tmp_path):
    evil = payloads(tmp_path / "canary")
    refused_file(write_zip(tmp_path / "x", Raw(evil["os.system"]), {}), "unsafe-file", "posix.system")
    refused_file(write_zip(tmp_path / "x", Raw(evil["builtins.exec"]), {}), "unsafe-file", "builtins.exec")
    refused_file(write_zip(tmp_path / "x", Raw(evil["INST"]), {}), "unsafe-file", "INST")
    whole = Call(Name("argparse", "Namespace"), ())
    refused_file(write_zip(tmp_path / "x", {"args": whole, "model": {}}, {}), "unsafe-file", "argparse.Namespace")
    quantized = Call(Name("torch._utils", "_rebuild_qtensor"), ())
    refused_file(write_zip(tmp_path / "x", {"w": quantized}, {}), "unsafe-file", "torch._utils._rebuild_qtensor")


def deep(levels: int) -> bytes:
    return b"\x80\x02)" + b"\x85" * levels


BROKEN = {
    "a value from nowhere": (b"\x80\x02R.", "malformed-file"),
    "nothing at all": (b"\x80\x02.", "unreadable-file"),
    "no end": (b"\x80\x02}",),
    "no mark": (b"\x80\x02u.", "unreadable-file"),
    "memory that was not filled": (b"\x80\x02h\x05.", "unreadable-file"),
    "an unknown instruction": (b"\x80\x02\xff.", "unreadable-file"),
    "a text longer than the file": (b"\x80\x02X\xff\xff\xff\x7fabc.", "unreadable-file"),
    "a place in memory far away": (b"\x80\x02}r\xff\xff\xff\xff.",),
    "an extension": (b"\x80\x02\x82\x01.", "unsafe-file", "EXT1"),
    "a class made": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "unsafe-file", "NEWOBJ"),
    "a call of a value": (b"\x80\x02K\x01)R.", "unsafe-file", "int"),
    "a call of what may only be named": (b"\x80\x02ctorch\nFloatStorage\n)R.", "unsafe-file", "Named"),
    "a call with a list": (b"\x80\x02ccollections\nOrderedDict\n]R.", "unsafe-file", "Named"),
    "the contents of a function": (b"\x80\x02ccollections\nOrderedDict\n}b.", "unsafe-file", "Named"),
    "the contents of a tensor": (pickled(tensor(np.ones(1)))[:-1] + b"}b.", "unsafe-file", "Tensor"),
    "an item for a list": (b"\x80\x02](K\x00K\x01u.", "unsafe-file", "list"),
    "half an item": (b"\x80\x02}(K\x00u.", "unreadable-file"),
    "more for a tuple": (b"\x80\x02)K\x01a.", "unsafe-file", "tuple"),
    "keys to hash for ever": (b"\x80\x02}" + deep(200_000)[2:] + b"K\x01s.", "malformed-file", "tuple"),
    "the same in pairs": (
        b"\x80\x02ccollections\nOrderedDict\n" + deep(200_000)[2:] + b"K\x01\x86\x85\x85R.", "malformed-file", "tuple",
    ),
    "a tuple for ever": (deep(200_000) + b".", "unknown-format", "tuple"),
    "a list in itself": (b"\x80\x02]q\x00h\x00a.", "unknown-format", "list"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("form", FORMATS)
def test_a_pickle_that_makes_no_sense_is_refused(tmp_path, form, name):
    instructions, *said = BROKEN[name]
    if name == "a place in memory far away":
        assert read_tensors(write_torch(form, tmp_path / "x", Raw(instructions), {})) == {}
    elif name == "no end":
        refused_somehow(write_torch(form, tmp_path / "x", Raw(instructions), {}))
    else:
        refused_file(write_torch(form, tmp_path / "x", Raw(instructions), {}), *said)


def broken_tensor(**changes) -> dict:
    parts = {"storage": Storage("FloatStorage", "0", 4), "offset": 0, "shape": (2, 2), "strides": (2, 1)} | changes
    more = parts.pop("more", (False, None))
    return {"w": Call(REBUILD, (*parts.values(), *more))}


TENSORS = {
    "too long": (broken_tensor(shape=(3, 2)), "malformed-file", 6, 4),
    "too far": (broken_tensor(offset=1), "malformed-file", 5, 4),
    "too far though empty": (broken_tensor(offset=5, shape=(0, 1)), "malformed-file", 5, 4),
    "backwards": (broken_tensor(strides=(2, -1)), "malformed-file", "offset"),
    "before the start": (broken_tensor(offset=-1), "malformed-file", "offset"),
    "negative": (broken_tensor(shape=(-1, 2)), "malformed-file", "offset"),
    "fractions": (broken_tensor(shape=(2.0, 2)), "malformed-file", "offset"),
    "of truth values": (broken_tensor(offset=False), "malformed-file", "offset"),
    "beyond all numbers": (broken_tensor(strides=(2**80, 1)), "malformed-file", "offset"),
    "far in every step": (broken_tensor(strides=(2**62, 2**62)), "malformed-file", "9,223,372,036,854,775,809", 4),
    "strides missing": (broken_tensor(strides=(1,)), "malformed-file", "strides"),
    "no shape": (broken_tensor(shape=None, strides=None), "unreadable-file"),
    "texts": (broken_tensor(shape="ab", strides="cd"), "malformed-file", "offset"),
    "too many dimensions": (broken_tensor(shape=(1,) * 99, strides=(1,) * 99), "malformed-file", "strides"),
    "no storage": (broken_tensor(storage="0"), "malformed-file", "strides"),
    "negated": (broken_tensor(more=(False, None, {"neg": True})), "unknown-format", ".resolve_conj().resolve_neg()"),
    "a bomb": (broken_tensor(shape=(1000, 1000, 1000), strides=(0, 0, 0)), "unsafe-file", "4,000,000,000"),
    "complex": (broken_tensor(storage=Storage("ComplexFloatStorage", "0", 4)), "unsafe-file", "torch.ComplexFloatStorage"),
    "a view of a storage": (
        broken_tensor(storage=Storage("FloatStorage", "0", 4, (("1", 0, 4),))), "unknown-format", "PyTorch 1.6",
    ),
    "a storage of less than nothing": (broken_tensor(storage=Storage("FloatStorage", "0", -4)), "malformed-file", "'0'", -4),
    "a longer storage": (broken_tensor(storage=Storage("FloatStorage", "0", 5)), "malformed-file", "'0'", 16, 20),
    "a shorter storage": (broken_tensor(storage=Storage("FloatStorage", "0", 3), shape=(1, 1)), "malformed-file", "'0'", 16, 12),
    "a storage of another type": (broken_tensor(storage=Storage("DoubleStorage", "0", 4)), "malformed-file", "'0'", 16, 32),
    "two minds about a storage": (
        {"a": broken_tensor()["w"], "b": broken_tensor(storage=Storage("IntStorage", "0", 4))["w"]}, "malformed-file", "'0'",
    ),
    "a parameter of nothing": ({"w": Call(Name("torch._utils", "_rebuild_parameter"), (1, True, 2))}, "wrong-type", "int"),
    "a tensor of nothing": ({"w": Call(REBUILD, ())}, "unreadable-file"),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("form", FORMATS)
def test_a_tensor_that_makes_no_sense_is_refused(tmp_path, form, name):
    value, *said = TENSORS[name]
    numbers = np.arange(4, dtype="f4")
    if form == "legacy" and name in ("a longer storage", "a storage of another type"):
        said = ["malformed-file", "'0'", 16]  # the file ends there
    refused_file(write_torch(form, tmp_path / "x", value, {"0": numbers}), *said)


def test_many_names_for_one_storage_cannot_fill_the_memory(tmp_path):
    numbers = np.zeros(1_000_000, "u1")
    value = {f"w{number}": tensor(numbers) for number in range(200)}
    refused_file(write_zip(tmp_path / "x", value, {"0": numbers}), "unsafe-file", "200,000,000", 100)
    half = Call(REBUILD, (Storage("BFloat16Storage", "0", 500_000), 0, (500_000,), (1,), False, None))
    value = {f"w{number}": half for number in range(60)}
    refused_file(write_zip(tmp_path / "x", value, {"0": numbers}), "unsafe-file", "120,000,000", 100)


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "..", "", "1", "\0"])
def test_the_key_of_a_storage_cannot_be_a_path(tmp_path, key):
    for form in FORMATS:
        storages = {"0": np.ones(4, "f4"), "1": np.ones(4, "f4")} if key != "1" else {"0": np.ones(4, "f4")}
        value = broken_tensor(storage=Storage("FloatStorage", key, 4))
        refused_file(write_torch(form, tmp_path / form, value, storages), "malformed-file")


def test_faults_of_a_legacy_file_are_refused(tmp_path):
    good, numbers = {"w": tensor(np.ones(2))}, {"0": np.ones(2)}
    file = tmp_path / "x"
    for keys in (["0", "0"], [], "0", [0]):
        refused_file(write_legacy(file, good, numbers, keys=keys), "malformed-file")
    refused_file(write_legacy(file, good, {"0": np.ones(3)}), "malformed-file", "'0'", 24, 16)
    content = write_legacy(file, good, numbers).read_bytes()
    file.write_bytes(content + b"more")
    refused_file(file, "malformed-file", 4)
    file.write_bytes(content.replace(pickled(1001), pickled(1002)))
    refused_file(file, "malformed-file", 1001)
    file.write_bytes(content[:-16].removesuffix(struct.pack("<q", 2)) + struct.pack("<q", -2) + bytes(16))
    refused_file(file, "malformed-file", "'0'", -16)


def test_nested_keys_of_a_small_file_do_not_take_for_ever(tmp_path, nothing_hangs):
    """A pair of pairs of pairs, each stored once: to compare two of them takes 2**60 steps."""
    nest = b"N" + b"".join(b"q" + bytes([level]) + b"h" + bytes([level]) + b"\x86" for level in range(60)) + b"q\xf0"
    keys = b"\x80\x02](" + nest + nest + b"e."
    numbers = storages_of({"a": np.ones(2)})
    file = write_legacy(tmp_path / "x.pth", state_dict({"a": np.ones(2)}, legacy=True), {})
    file.write_bytes(file.read_bytes().removesuffix(pickled([])) + keys + numbers["0"].tobytes())
    refused_file(file, "malformed-file", "storages")


def test_faults_of_a_zip_file_are_refused(tmp_path):
    good, numbers = {"w": tensor(np.ones(2))}, {"0": np.ones(2)}
    file = tmp_path / "x"
    refused_file(write_zip(file, good, {}), "malformed-file", "'0'", 16)
    refused_file(write_zip(file, good, numbers, "middle"), "unknown-format", "b'middle'")
    refused_file(write_zip(file, good, numbers, **{"constants.pkl": b""}), "unknown-format", "TorchScript")
    with pytest.warns(UserWarning, match="Duplicate name"):
        write_zip(file, good, numbers, **{"data/0": b"x" * 16})
    refused_file(file, "malformed-file")
    content = write_zip(file, good, numbers).read_bytes()
    file.write_bytes(content.replace(np.ones(2).tobytes(), np.zeros(2).tobytes()))
    refused_file(file, "unreadable-file", "archive/data/0")

    def archive(*names: str, how=zipfile.ZIP_STORED, content=b"x") -> Path:
        with zipfile.ZipFile(file, "w", how) as archive:
            for name in names:
                archive.writestr(name, content)
        return file

    refused_file(archive("a/data.pkl", how=zipfile.ZIP_DEFLATED, content=bytes(10_000_000)), "unsafe-file")
    refused_file(archive("a/data.pkl", how=zipfile.ZIP_DEFLATED, content=os.urandom(1000)), "unsafe-file")
    for names in (["a/b/data.pkl"], ["a/data.pkl", "b/data.pkl"], ["data.pkl"], []):
        refused_file(archive(*names), "unknown-format", "torch.save(model.state_dict(), 'x.pth')")
    refused_file(archive("../data.pkl"), "unreadable-file")
    refused_file(
        archive("metadata.json", "config.json", "model.weights.h5"), "unsafe-file", "model.save_weights('x.weights.h5')"
    )
    refused_file(archive("w.npy"), "unsafe-file", "NumPy")


def test_a_zip_that_holds_the_same_bytes_many_times_is_refused(tmp_path):
    """Entries of an archive may overlap: a file of one megabyte can have 50 entries of one megabyte each."""
    file, numbers = tmp_path / "x", np.zeros(250_000, "f4")
    content = write_zip(file, {"w": tensor(numbers)}, {"0": numbers}).read_bytes()
    with zipfile.ZipFile(file, "a") as archive:
        info = archive.getinfo("archive/data/0")
        for number in range(1, 50):
            copy = zipfile.ZipInfo(f"archive/data/{number}")
            copy.header_offset, copy.CRC = info.header_offset, info.CRC
            copy.file_size = copy.compress_size = info.file_size
            archive.filelist.append(copy)
        archive._didModify = True
    assert file.stat().st_size < len(content) + 10_000
    refused_file(file, "unsafe-file")


# Keras: files that are read


def fill(group: h5py.Group, arrays: dict) -> None:
    for name, array in arrays.items():
        group[name] = array


def write_legacy_keras(file: Path, layers: dict[str, dict[str, np.ndarray]], inside: str = "/", chunked=False) -> Path:
    """Write like `save_weights_to_hdf5_group`: attributes list the names, and long attributes are split."""

    def note(group: h5py.Group, name: str, texts: list[str]) -> None:
        if chunked:
            for number, text in enumerate(texts):
                group.attrs[f"{name}{number}"] = np.array([text.encode()])
        else:
            group.attrs[name] = np.asarray([text.encode() for text in texts])

    with h5py.File(file, "w") as root:
        group = root.require_group(inside)
        note(group, "layer_names", list(layers))
        for layer, arrays in sorted(layers.items()):
            fill(group.create_group(layer), arrays)
            note(group[layer], "weight_names", list(arrays))
    return file


def write_keras_3(file: Path, arrays: dict[str, np.ndarray]) -> Path:
    with h5py.File(file, "w") as root:
        fill(root, arrays)
    return file


KERNEL, BIAS = RANDOM.normal(size=(3, 3, 1, 2)).astype("f4"), np.zeros(2, "f4")


@pytest.mark.parametrize("inside", ["/", "model_weights"])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_older_layout_comes_in_the_order_of_its_attributes(tmp_path, inside, chunked):
    layers = {
        "zebra": {"zebra/kernel:0": KERNEL, "zebra/bias:0": BIAS},
        "bn": {f"bn/{name}:0": BIAS + n for n, name in enumerate(("gamma", "beta", "moving_mean", "moving_variance"))},
        "block1_conv1": {"block1_conv1_W_1:0": KERNEL * 2},
        **{f"dense_{number}": {f"dense_{number}/kernel": BIAS + number} for number in range(12)},
    }
    found = read_tensors(write_legacy_keras(tmp_path / "x", layers, inside, chunked))
    expected = {
        name.removesuffix(":0") if "/" in name else f"{layer}/{name.removesuffix(':0')}": array
        for layer, arrays in layers.items()
        for name, array in arrays.items()
    }
    equal(found, expected)
    assert list(found)[:3] == ["zebra/kernel", "zebra/bias", "bn/gamma"] and "block1_conv1/block1_conv1_W_1" in found


def test_layers_without_weights_inner_networks_and_those_of_the_top_are_read(tmp_path):
    layers = {
        "flatten": {},
        "inner": {"conv1/kernel:0": KERNEL, "conv2/kernel:0": KERNEL},
        "top_level_model_weights": {"scale:0": BIAS},
    }
    file = write_legacy_keras(tmp_path / "x", layers)
    with h5py.File(file, "a") as root:
        root.attrs["layer_names"] = ["flatten", "inner"]  # of Python's texts, as h5py keeps them
    names = ["inner/conv1/kernel", "inner/conv2/kernel", "top_level_model_weights/scale"]
    assert list(read_tensors(file)) == names


@pytest.mark.parametrize("top", ["layers", "_layer_checkpoint_dependencies"])
def test_keras_3_comes_by_class_and_number_and_is_named_by_its_path(tmp_path, top):
    expected = {
        f"{top}/batch_normalization/vars/{number}": BIAS + number for number in range(4)
    } | {
        f"{top}/conv2d/vars/0": KERNEL,
        f"{top}/conv2d/vars/1": BIAS,
        f"{top}/conv2d_1/vars/0": KERNEL + 1,
        f"{top}/conv2d_2/vars/0": KERNEL + 2,
        f"{top}/conv2d_10/vars/0": KERNEL + 10,
        f"{top}/conv2d_11/vars/0": KERNEL + 11,
        f"{top}/functional/{top}/dense/vars/0": BIAS,
        f"{top}/odd/vars/2": BIAS,
        f"{top}/odd/vars/10": BIAS,
    }  # fmt: skip
    others = {
        "optimizer/vars/0": np.array(5),
        "optimizer/vars/1": BIAS,
        "metrics/mean/vars/0": np.array(0.5, "f4"),
    }
    file = write_keras_3(tmp_path / "x", dict(reversed((expected | others).items())))
    with h5py.File(file, "a") as root:
        root.create_group("vars")
        root.create_group(f"{top}/flatten/vars").attrs["name"] = "flatten"
    equal(read_tensors(file), expected)


def test_numbers_of_any_type_are_read_and_bfloat16_as_float32(tmp_path):
    arrays = {"layers/a/vars/0": np.arange(3, dtype=">f8"), "layers/a/vars/1": np.array(7), "layers/a/vars/2": BIAS > 0}
    file = write_keras_3(tmp_path / "x", arrays)
    with h5py.File(file, "a") as root:
        bits = np.array([0x3F80, 0xC020], "<u2").view("V2")
        root["layers/b/vars/0"] = bits
        root["layers/b/vars/0"].attrs["dtype"] = "bfloat16"
        root["layers"].create_dataset("c", data=KERNEL, chunks=(3, 3, 1, 1), compression="gzip", shuffle=True)
        root["layers"].create_dataset("d", data=KERNEL, compression="lzf", fletcher32=True)
    found = read_tensors(file)
    assert found["layers/b/vars/0"].tolist() == [1.0, -2.5] and found.pop("layers/b/vars/0").dtype == np.float32
    swapped = {"layers/a/vars/0": np.arange(3.0)}
    equal(found, arrays | swapped | {"layers/c": KERNEL, "layers/d": KERNEL})


# Keras: files that are refused


def soft(root):
    root["layers/link"] = h5py.SoftLink("/layers/a")


def outside(root):
    with h5py.File(Path(root.filename).with_name("other.h5"), "w") as other:
        other["layers/a/vars/0"] = BIAS
    root["layers/link"] = h5py.ExternalLink("other.h5", "/layers/a")


def dangling(root):
    root["layers/link"] = h5py.SoftLink("/nowhere")


def top_outside(root):
    del root["layers"]
    outside(root)
    root.move("layers", "others")
    root["layers"] = h5py.ExternalLink("other.h5", "/layers")


def virtual(root):
    outside(root)
    del root["layers/link"]
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "layers/a/vars/0", (2,))
    root.create_virtual_dataset("layers/virtual", layout)


def raw_outside(root):
    file = Path(root.filename).with_name("secret")
    file.write_bytes(bytes(8))
    root.create_dataset("layers/raw", (2,), "f4", external=[(str(file), 0, 8)])


def cycle(root):
    root["layers/a/again"] = root["layers"]


def texts(root):
    root["layers/text"] = "import os"


def pickles(root):
    root["layers/pickle"] = np.void(pickle.dumps(Evil(exec, "1")))


def two_bytes(root):
    root["layers/opaque"] = np.zeros(2, "V2")


def references(root):
    root.create_dataset("layers/reference", data=[root.ref], dtype=h5py.ref_dtype)


def records(root):
    root["layers/record"] = np.zeros(2, [("x", "f4"), ("y", "i4")])


def complexes(root):
    root["layers/complex"] = np.zeros(2, "c8")


def nothing(root):
    root["layers/empty"] = h5py.Empty("f4")


def a_type(root):
    root["layers/type"] = np.dtype("f4")


def bomb(root):
    root.create_dataset("layers/bomb", (2**40,), "f4", chunks=(2**20,), compression="gzip")


def wide(root):
    root.create_dataset("layers/wide", (1,), "f4", chunks=(2**29,), maxshape=(None,), compression="gzip")


def plugin(root):
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((2,))
    created.set_filter(4000, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((2,))
    h5py.h5d.create(root["layers"].id, b"plugin", h5py.h5t.NATIVE_FLOAT, space, created)


EVIL_H5 = {
    soft: ("unsafe-file", "'link'", "SoftLink"),
    dangling: ("unsafe-file", "'link'", "SoftLink"),
    outside: ("unsafe-file", "'link'", "ExternalLink"),
    top_outside: ("unsafe-file", "'layers'", "ExternalLink"),
    virtual: ("unsafe-file", "'/layers/virtual'"),
    raw_outside: ("unsafe-file", "'/layers/raw'"),
    cycle: ("unsafe-file", "'layers/a/again'"),
    texts: ("wrong-type", "'/layers/text'", "object"),
    pickles: ("wrong-type", "'/layers/pickle'", "|V40"),
    two_bytes: ("wrong-type", "'/layers/opaque'", "|V2"),
    references: ("wrong-type", "'/layers/reference'", "object"),
    records: ("wrong-type", "'/layers/record'"),
    complexes: ("wrong-type", "'/layers/complex'", "complex64"),
    nothing: ("wrong-type", "'/layers/empty'"),
    a_type: ("malformed-file", "'type'", "Datatype"),
    bomb: ("unsafe-file", "4,398,046,511,112"),
    wide: ("unsafe-file", "2,147,483,656"),
    plugin: ("unknown-format", "'/layers/plugin'", 4000),
}


@pytest.mark.parametrize("add", EVIL_H5, ids=lambda add: add.__name__)
def test_hdf5_with_anything_but_numbers_of_its_own_is_refused(tmp_path, add):
    file = write_keras_3(tmp_path / "x", {"layers/a/vars/0": BIAS})
    with h5py.File(file, "a") as root:
        add(root)
    refused_file(file, *EVIL_H5[add])


@pytest.mark.parametrize(
    ("layers", "attributes", "said"),
    [
        (["a", "b"], {}, ["malformed-file", "'b'"]),
        (["../a"], {}, ["malformed-file", "'../a'"]),
        (["a/"], {}, ["malformed-file", "'a/'"]),
        (["/a"], {}, ["malformed-file", "'/a'"]),
        (["."], {}, ["unreadable-file"]),
        ([".."], {}, ["malformed-file", "'..'"]),
        ([""], {}, ["malformed-file", "''"]),
        ([1.5], {}, ["malformed-file", "layer_names"]),
        (["a"], {"weight_names": ["/a/w"]}, ["malformed-file", "'a//a/w'"]),
        (["a"], {"weight_names": ["w/x"]}, ["malformed-file", "'a/w/x'"]),
        (["a"], {"weight_names": ["out"]}, ["unsafe-file", "'a/out'", "ExternalLink"]),
        (["a"], {"weight_names": ["w", "w"]}, ["malformed-file", "'a/w'"]),
        (["a"], {"weight_names": ["text"]}, ["wrong-type", "'/a/text'", "object"]),
        (["a"], {"weight_names": ["inner"]}, ["malformed-file", "'a/inner'", "Group"]),
        (["a/w"], {}, ["malformed-file", "'a/w'", "Dataset"]),
        (["a"], {"weight_names": None}, ["malformed-file", "'a'", "weight_names"]),
    ],
)
def test_attributes_of_the_older_layout_cannot_leave_the_file(tmp_path, layers, attributes, said):
    file = write_legacy_keras(tmp_path / "x", {"a": {"w": BIAS}})
    with h5py.File(file, "a") as root:
        root.attrs["layer_names"] = layers
        root["a/out"] = h5py.ExternalLink("other.h5", "/")
        root["a/text"] = "x"
        root.create_group("a/inner")
        for name, value in attributes.items():
            del root["a"].attrs[name]
            if value is not None:
                root["a"].attrs[name] = value
    refused_file(file, *said)


def test_other_hdf5_is_refused(tmp_path):
    refused_file(
        write_keras_3(tmp_path / "x", {"images": BIAS}),
        "unknown-format",
        "'layer_names'",
        "'layers'",
        "model.save_weights('x.weights.h5')",
    )


def test_without_h5py_the_error_names_the_package_to_install(tmp_path, monkeypatch):
    file = write_keras_3(tmp_path / "x", {"layers/a/vars/0": BIAS})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with refused(Unavailable, "not-installed", "pip install 'samebench[keras-weights]'"):
        read_tensors(file)


# safetensors


NOTES = {"model": "two-block-cnn", "classes": '["zero", "ünö"]', "licence": "Apache-2.0"}


def test_written_files_are_read_by_samebench_and_by_the_safetensors_library(tmp_path):
    from safetensors.numpy import load_file

    file = tmp_path / "w.safetensors"
    arrays = ARRAYS | {f"u{size}": np.arange(3, dtype=f"u{size}") for size in (2, 4, 8)}
    odd = {"transposed": KERNEL.T, "big-endian": KERNEL.astype(">f4"), "part": KERNEL[::2], "ünö": KERNEL}
    save_safetensors(file, arrays | odd, NOTES)
    found = load_safetensors(file)
    assert found.notes == NOTES
    plain = {name: array.astype(array.dtype.newbyteorder("="), order="C") for name, array in (arrays | odd).items()}
    equal(dict(sorted(found.tensors.items())), dict(sorted(plain.items())))
    equal(dict(sorted(load_file(file).items())), dict(sorted(plain.items())))
    equal(read_tensors(file), found.tensors)
    assert os.listdir(tmp_path) == [file.name]


def test_the_same_tensors_give_the_same_bytes_and_those_of_the_library(tmp_path):
    from safetensors.numpy import save

    names = ["u1", "conv.weight", "b1", "conv.bias", "half", "empty", "num_batches_tracked"]
    save_safetensors(tmp_path / "a", {name: ARRAYS[name] for name in names}, NOTES)
    save_safetensors(tmp_path / "b", {name: ARRAYS[name] for name in reversed(names)}, dict(reversed(NOTES.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    floats = {"b": KERNEL, "a": BIAS, "count": np.array(7)}
    for notes in ({}, {"model": "ünö"}):
        save_safetensors(tmp_path / "c", floats, notes)
        assert (tmp_path / "c").read_bytes() == save(floats, notes or None)


def test_bfloat16_and_files_of_others_are_read(tmp_path):
    bits = np.array([0x3F80, 0xC020], "<u2").tobytes()
    file = tmp_path / "x"
    write_safetensors(file, {"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, bits, padding=0)
    found = read_tensors(file)["x"]
    assert found.dtype == np.float32 and found.tolist() == [1.0, -2.5]


@pytest.mark.parametrize("longer", range(130))
def test_a_header_may_be_of_any_length_and_look_like_the_beginning_of_another_format(tmp_path, longer):
    write_safetensors(tmp_path / "x", {"x": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}, bytes(4), longer)
    assert read_tensors(tmp_path / "x") == {"x": 0}


def test_unsupported_tensors_are_not_written(tmp_path):
    file = tmp_path / "x"
    for array in (np.array(["a"]), np.array([None]), np.zeros(2, "c8"), np.zeros(2, [("a", "f4")])):
        with refused(SpecError, "wrong-type", "F64", "F32", "wrong"):
            save_safetensors(file, {"good": BIAS, "wrong": array}, {})
    with refused(SpecError, "name-taken", "__metadata__"):
        save_safetensors(file, {"__metadata__": BIAS}, {})
    with pytest.raises(OSError, match="No such file"):
        save_safetensors(tmp_path / "nowhere" / "x", {"good": BIAS}, {})
    file.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        save_safetensors(file, {"good": BIAS}, {})
    assert os.listdir(tmp_path) == ["x"], "nothing is left of what could not be written"


def write_safetensors(file: Path, header: object, data: bytes, padding: int = 0, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode() + b" " * padding
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return file


def entry(shape=(2,), offsets=(0, 8), dtype="F32", **more) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


EVIL_HEADERS = {
    "cut": ({"w": entry((4,), (0, 16))}, "malformed-file", 86, 78),
    "more data": ({"w": entry((1,), (0, 4))}, "malformed-file", 73, 77),
    "a gap": ({"a": entry((1,), (0, 4)), "b": entry((0,), (8, 8))}, "malformed-file", "'b'", 8, 4),
    "a gap at the start": ({"w": entry((1,), (4, 8))}, "malformed-file", "'w'", 4, 0),
    "overlapping": ({"a": entry((1,), (0, 4)), "b": entry((2,), (0, 8))}, "malformed-file", "'b'", 0, 4),
    "the same twice": ({"a": entry(), "b": entry()}, "malformed-file", "'b'", 0, 8),
    "misaligned": ({"w": entry((1,), (0, 7))}, "malformed-file", "'w'", 7),
    "another shape": ({"w": entry((3,), (0, 8))}, "malformed-file", "'w'", (3,), "F32", 8),
    "backwards": ({"w": entry((2,), (8, 0))}, "malformed-file", "'w'", -8),
    "negative": ({"w": entry((-2,), (0, 8))}, "malformed-file", "'w'", 32),
    "negative twice": ({"w": entry((-2, -1), (0, 8))}, "malformed-file", "'w'", 32),
    "fractions": ({"w": entry((2.0,), (0, 8))}, "malformed-file", "'w'", 32),
    "truth": ({"w": entry((2, True), (0, 8))}, "malformed-file", "'w'", 32),
    "huge": ({"w": entry((2**62, 2**62), (0, 8))}, "malformed-file", "'w'", (2**62, 2**62), 8),
    "too many dimensions": ({"w": entry((2, *[1] * 99), (0, 8))}, "malformed-file", "'w'", 32),
    "empty and huge": ({"w": entry((0, 2**70), (0, 0)), "v": entry()}, "unreadable-file"),
    "an unknown type": ({"w": entry(dtype="F8_E4M3")}, "unknown-format", "'w'", "'F8_E4M3'", "F64, F32"),
    "no type": ({"w": {"shape": [2], "data_offsets": [0, 8]}}, "malformed-file", "'w'", "dtype"),
    "an unknown field": ({"w": entry(code="os.system")}, "malformed-file", "'w'", "dtype"),
    "three offsets": ({"w": entry(offsets=(0, 4, 8))}, "malformed-file", "'w'", "dtype"),
    "a number": ({"w": 3}, "malformed-file", "'w'", "dtype"),
    "notes that are numbers": ({"__metadata__": {"a": 1}, "w": entry()}, "malformed-file", "__metadata__"),
    "notes in a list": ({"__metadata__": ["a"], "w": entry()}, "malformed-file", "__metadata__"),
    "a name twice": (b'{"w": %(e)s, "w": %(e)s}' % {b"e": json.dumps(entry()).encode()}, "malformed-file"),
    "a key twice": (b'{"w": {"dtype": "F32", "dtype": "F32"}}', "malformed-file"),
    "no JSON": (b"{not json", "malformed-file", "JSON"),
    "no text": (b"{\xff\xff", "malformed-file", "JSON"),
    "very deep": (b'{"a":' * 200_000, "malformed-file", "JSON"),
    "a number of many digits": (b'{"a": ' + b"9" * 10_000 + b"}", "malformed-file", "JSON"),
    "cut JSON": (b"{", "malformed-file", "JSON"),
}


@pytest.mark.parametrize("name", EVIL_HEADERS)
def test_a_header_that_makes_no_sense_is_refused(tmp_path, name):
    header, *said = EVIL_HEADERS[name]
    refused_file(write_safetensors(tmp_path / "x", header, bytes(8)), *said)


@pytest.mark.parametrize("length", [50, 2**20, 2**32 - 1])
def test_a_header_longer_than_the_file_or_than_is_allowed_is_refused(tmp_path, monkeypatch, length):
    file = write_safetensors(tmp_path / "x", {"w": entry()}, b"", length=length)
    file.write_bytes(file.read_bytes()[:57])
    refused_file(file, "malformed-file", f"{length:,}", 57)
    refused_file(write_safetensors(tmp_path / "x", b"", b"", length=length), "unknown-format")
    refused_file(
        write_safetensors(tmp_path / "x", b"", b"", length=length),
        "malformed-file",
        f"{length:,}",
        read=load_safetensors,
    )
    for content in (b"", b"\0", b"{}", b"\2" + bytes(7) + b"[]"):
        file.write_bytes(content)
        refused_somehow(file, load_safetensors)
    monkeypatch.setattr(harness.pretrained.formats.safetensors, "LONGEST", 40)
    refused_file(write_safetensors(file, {"w": entry()}, bytes(8)), "malformed-file", 61)


# All formats


def test_the_format_of_a_file_is_recognised_by_its_contents(tmp_path):
    array = {"w": np.ones(3, "f4")}
    write_zip(tmp_path / "a.h5", state_dict(array), storages_of(array))
    write_legacy(tmp_path / "b.pkl", state_dict(array), storages_of(array))
    save_safetensors(tmp_path / "c.pth", array, {})
    for name in ("a.h5", "b.pkl", "c.pth"):
        equal(read_tensors(tmp_path / name), array)
    write_keras_3(tmp_path / "d.safetensors", {"layers/w": array["w"]})
    equal(read_tensors(tmp_path / "d.safetensors"), {"layers/w": array["w"]})


def test_other_files_are_refused_with_the_reason(tmp_path):
    file = tmp_path / "x.safetensors"
    for protocol in (2, 3, 4, 5):
        file.write_bytes(pickle.dumps({"w": np.ones(3)}, protocol))
        refused_file(file, "unsafe-file")
    for protocol in (0, 1):
        file.write_bytes(pickle.dumps({"w": np.ones(3)}, protocol))
        refused_file(file, "unknown-format", "PyTorch")
    with file.open("wb") as opened:
        np.savez(opened, w=np.array([Evil(exec, "1")], object))
    refused_file(file, "unsafe-file", "NumPy")
    with file.open("wb") as opened:
        np.savez_compressed(opened, w=np.ones(3))
    refused_file(file, "unsafe-file", "NumPy")
    with file.open("wb") as opened:
        np.save(opened, np.array([None]))
    refused_file(file, "unsafe-file", "NumPy")
    with tarfile.open(file, "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    refused_file(file, "unknown-format", "PyTorch 0.1.9")
    for content in (b"", b"\0", bytes(100), b"weights", b"version https://git-lfs.github.com/spec/v1\n", b"<html>"):
        file.write_bytes(content)
        refused_file(file, "unknown-format", content[:8].hex(" "), "safetensors")


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    refused_file(tmp_path / "nothing.h5", "unreadable-file")
    refused_file(tmp_path, "not-a-regular-file")
    refused_file(Path("/dev/zero"), "not-a-regular-file")
    os.mkfifo(tmp_path / "pipe")
    refused_file(tmp_path / "pipe", "not-a-regular-file")


@pytest.mark.parametrize("form", [*FORMATS, "safetensors", "keras 3", "keras 1"])
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, form):
    arrays, file = {"a": np.ones(3, "f4"), "b": np.array(5)}, tmp_path / "x"
    if form == "safetensors":
        save_safetensors(file, arrays, NOTES)
    elif form == "keras 3":
        write_keras_3(file, {"layers/a": arrays["a"], "layers/b": arrays["b"]})
    elif form == "keras 1":
        write_legacy_keras(file, {"l": arrays})
    else:
        write_torch(form, file, state_dict(arrays), storages_of(arrays))
    content = file.read_bytes()
    assert len(read_tensors(file)) == 2
    step = 1 if len(content) < 2000 else 13
    for length in range(0, len(content), step):
        file.write_bytes(content[:length])
        refused_somehow(file)


@pytest.mark.parametrize("form", [*FORMATS, "safetensors"])
def test_a_file_with_one_wrong_byte_is_read_or_refused_but_nothing_else(tmp_path, form):
    arrays, file = {"a": np.ones(3, "f4"), "b": np.array(5)}, tmp_path / "x"
    if form == "safetensors":
        save_safetensors(file, arrays, NOTES)
    else:
        write_torch(form, file, state_dict(arrays), storages_of(arrays))
    content = bytearray(file.read_bytes())
    for place in range(len(content)):
        for value in {255, content[place] ^ 1}:
            file.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            try:
                found = read_tensors(file)
            except DataError:
                continue
            assert sum(array.nbytes for array in found.values()) < 100_000


def test_reading_weights_imports_no_h5py_until_it_is_needed():
    code = "import sys, harness.pretrained.formats; sys.exit('h5py' in sys.modules or 'safetensors' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


# Tensors that do not fit a network


def test_the_tensors_that_a_network_needs_are_required(tmp_path):
    good = {"a": np.ones((2, 3), "f4"), "b": np.ones(2, "f8"), "c": np.float16(1) * np.ones(())}
    shapes = {"a": (2, 3), "b": (2,), "c": ()}
    require(good, shapes, "mine.pth")
    require({}, {}, "mine.pth")

    def wrong(tensors, count, *values):
        with refused(SpecError, "wrong-weights", "mine.pth", count, *values) as error:
            require(tensors, shapes, "mine.pth")
        assert len(str(error.value)) < 2000

    wrong({"a": good["a"], "c": good["c"]}, 1, "b")
    wrong(good | {"d": good["a"]}, 1, "d")
    wrong(good | {"a": good["a"].T}, 1, "a", (3, 2), (2, 3))
    wrong(good | {"b": np.array([1, np.nan])}, 1, "b", 2)
    wrong(good | {"b": np.array([np.inf, -np.inf])}, 1, "b", 2)
    wrong(good | {"b": np.array([1, 2])}, 1, "b", "int64")
    wrong({"d": good["a"], "b": good["a"]}, 4, "a", "c", "d", "b", (2, 3), (2,))
    with refused(SpecError, "wrong-weights", "mine.pth", 90, "w0", "w19", 70):
        require({}, {f"w{number}": (1,) for number in range(90)}, "mine.pth")
