"""State dicts of `torch.save`, read without PyTorch and without executing their pickles.

There are two formats. Since PyTorch 1.6, a file is a zip archive: `NAME/data.pkl` is a pickle of the dictionary, in which
each tensor refers to a storage, and `NAME/data/KEY` are the bytes of a storage. The older format is a sequence of pickles
(a magic number, a version, the writer's machine, the dictionary, the keys of the storages), followed by the storages: each
has its number of values in eight bytes, and then the values.

A tensor is a view of a storage, given by an offset, a shape and strides, in values. Several tensors may share a storage.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np

from harness.pretrained.formats.numbers import DIMENSIONS, check_growth, decode, size_of
from harness.pretrained.formats.pickled import Function, Named, read_pickle
from harness.pretrained.formats.refusal import Refusal, length_of, listed
from harness.spec import Array

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
WRAPPERS = ("state_dict", "model")
"""Keys of the state dict in a checkpoint. Other keys (an epoch, the state of an optimizer) are not weights."""

STORAGES = {
    "torch.DoubleStorage": "F64", "torch.FloatStorage": "F32", "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16", "torch.LongStorage": "I64", "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16", "torch.CharStorage": "I8", "torch.ByteStorage": "U8", "torch.BoolStorage": "BOOL",
}  # fmt: skip

ORDERS = {b"little": "<", b"big": ">"}
MOST = 2**63


class Storage(NamedTuple):
    """A sequence of numbers, which is stored outside of the pickle."""

    code: str
    key: str
    numbers: int

    @property
    def bytes(self) -> int:
        """The size in the file."""
        return self.numbers * size_of(self.code)


class Tensor(NamedTuple):
    """A view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """The size as an array, in which bfloat16 becomes float32."""
        return math.prod(self.shape) * size_of(self.storage.code) * (2 if self.storage.code == "BF16" else 1)

    @property
    def end(self) -> int:
        """The index after the last number of the storage that the tensor uses."""
        if 0 in self.shape:
            return self.offset
        return self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)) + 1


def read_torch_zip(file: BinaryIO) -> dict[str, Array]:
    """Read a state dict in the format since PyTorch 1.6."""
    length = length_of(file)
    with zipfile.ZipFile(file) as archive:
        folder, entries = _entries(archive, length)
        with archive.open(entries["data.pkl"]) as pickled:
            tensors, _ = _state_dict(pickled)
        check_growth((tensor.bytes for tensor in tensors.values()), length)
        byteorder = archive.read(entries["byteorder"]) if "byteorder" in entries else b"little"
        if byteorder not in ORDERS:
            raise Refusal(f"its byte order is {byteorder[:20]!r}, and must be little or big", code="unknown-format")
        storages = {}
        for storage in {tensor.storage for tensor in tensors.values()}:
            entry = entries.get(f"data/{storage.key}")
            _check_size(storage, entry.file_size if entry else None)
            storages[storage] = decode(archive.read(f"{folder}data/{storage.key}"), storage.code, ORDERS[byteorder])
    return _arrays(tensors, storages)


def read_torch_legacy(file: BinaryIO) -> dict[str, Array]:
    """Read a state dict in the format before PyTorch 1.6. Its numbers are always little-endian."""
    length = length_of(file)
    for field, expected in (("magic number", MAGIC), ("format version", VERSION)):
        if read_pickle(file, {}) != expected:
            raise Refusal(f"its {field} is not {expected}, which PyTorch writes")
    read_pickle(file, {})  # the writer's machine, which is not needed
    tensors, announced = _state_dict(file)
    check_growth((tensor.bytes for tensor in tensors.values()), length)
    keys = read_pickle(file, {})
    # Only strings are compared: to compare nested tuples of a hostile pickle may take for ever.
    if type(keys) is not list or any(type(key) is not str for key in keys) or sorted(keys) != sorted(announced):
        raise Refusal("its storages are not those of its tensors")
    used = {tensor.storage for tensor in tensors.values()}
    storages = {}
    for storage in (announced[key] for key in keys):
        (numbers,) = struct.unpack("<q", file.read(8).ljust(8, b"\0"))
        _check_size(storage, min(numbers * size_of(storage.code), length - file.tell()))
        if storage in used:
            storages[storage] = decode(file.read(storage.bytes), storage.code)
        else:
            file.seek(storage.bytes, os.SEEK_CUR)
    if rest := length - file.tell():
        raise Refusal(f"{rest:,} bytes follow its last storage, which are not part of a state dict")
    return _arrays(tensors, storages)


def _entries(archive: zipfile.ZipFile, length: int) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The only folder of an archive, and its entries by name. Nothing is extracted."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if "config.json" in names:
        raise Refusal(
            "it is a whole Keras model, which may hold code",
            do="save only its weights: model.save_weights('x.weights.h5')",
            code="unsafe-file",
        )
    if any(name.endswith(".npy") for name in names):
        raise Refusal(
            "it is an archive of NumPy arrays, which may hold any object",
            do="save them as safetensors",
            code="unsafe-file",
        )
    folders = [name[: -len("data.pkl")] for name in names if re.fullmatch("[^/]+/data.pkl", name)]
    if len(folders) != 1 or f"{folders[0]}constants.pkl" in names:
        kind = "a TorchScript program" if len(folders) == 1 else "another kind of archive"
        raise Refusal(
            f"it is {kind}, not a state dict",
            do="save one with torch.save(model.state_dict(), 'x.pth')",
            code="unknown-format",
        )
    if len(set(names)) != len(names):
        raise Refusal("its archive has the same name twice")
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos) or sum(i.file_size for i in infos) > length:
        raise Refusal(
            "its archive is compressed or has impossible sizes, which PyTorch never writes", code="unsafe-file"
        )
    return folders[0], {info.filename.removeprefix(folders[0]): info for info in infos}


def _state_dict(file: IO[bytes]) -> tuple[dict[str, Tensor], dict[str, Storage]]:
    """The tensors of the state dict, and all storages of the pickle, by their keys."""
    storages: dict[str, Storage] = {}

    def storage(key: Any) -> Storage:
        found = _storage(key)
        if storages.setdefault(found.key, found) != found:
            raise Refusal(f"its tensors disagree about the type or the size of the storage {found.key!r}")
        return found

    value = read_pickle(file, FUNCTIONS, STORAGES, storage)
    wrappers = [name for name in WRAPPERS if type(value) is dict and type(value.get(name)) is dict]
    if len(wrappers) > 1:
        raise Refusal(
            f"it has several state dicts: {', '.join(wrappers)}", do="save only one of them", code="unknown-format"
        )
    weights = value[wrappers[0]] if wrappers else value
    if type(weights) is not dict:
        raise Refusal(
            f"it holds a {type(weights).__name__}, not a state dict",
            do="save model.state_dict()",
            code="unknown-format",
        )
    others = [
        f"{name} ({type(value).__name__})"
        for name, value in weights.items()
        if type(name) is not str or type(value) is not Tensor
    ]
    if others:
        raise Refusal(
            f"it contains other values than tensors: {listed(others)}", do="save model.state_dict()", code="wrong-type"
        )
    return weights, storages


def _storage(key: Any) -> Storage:
    """A storage, from its entry in the pickle: the word "storage", its type, its key, its device and its size."""
    match key:
        case ("storage", Named(name), str(number), _, int(numbers)) if name in STORAGES:
            pass
        case ("storage", Named(name), str(number), _, int(numbers), None) if name in STORAGES:
            pass
        case _:
            raise Refusal(
                "the entry of a storage has an unknown form",
                do="load the file and save it with PyTorch 1.6 or newer",
                code="unknown-format",
            )
    if not 0 <= numbers < MOST:
        raise Refusal(f"its storage {number!r} has {numbers} numbers")
    return Storage(STORAGES[name], number, numbers)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    """A tensor, from the arguments of `_rebuild_tensor` or `_rebuild_tensor_v2`. Values after the second of `rest` say
    whether the tensor is conjugated or negated."""
    numbers = (offset, *shape, *strides)
    if type(storage) is not Storage or len(shape) != len(strides) or len(shape) > DIMENSIONS:
        raise Refusal("it has a tensor whose storage, shape and strides do not fit together")
    if not all(type(number) is int and 0 <= number < MOST for number in numbers):
        raise Refusal("it has a tensor whose offset, shape or strides are not whole numbers from 0 up")
    if any(rest[2:]):
        raise Refusal(
            "it has a conjugated or negated tensor", do="save its .resolve_conj().resolve_neg()", code="unknown-format"
        )
    tensor = Tensor(storage, offset, tuple(shape), tuple(strides))
    if tensor.end > storage.numbers:
        raise Refusal(f"it has a tensor that ends at {tensor.end:,} in a storage of {storage.numbers:,} numbers")
    return tensor


def _parameter(data: Any, *rest: Any) -> Tensor:
    if type(data) is not Tensor:
        raise Refusal(f"it has a parameter of the type {type(data).__name__}, not a tensor", code="wrong-type")
    return data


FUNCTIONS: dict[str, Function] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}


def _check_size(storage: Storage, found: int | None) -> None:
    if found != storage.bytes:
        holds = "is missing" if found is None else f"holds {found:,} bytes"
        raise Refusal(f"its storage {storage.key!r} {holds}, not {storage.bytes:,}")


def _arrays(tensors: dict[str, Tensor], storages: dict[Storage, Array]) -> dict[str, Array]:
    """Each tensor as a separate array, in row-major order."""
    arrays = {}
    for name, tensor in tensors.items():
        numbers = storages[tensor.storage]
        start, steps = tensor.offset * numbers.itemsize, [stride * numbers.itemsize for stride in tensor.strides]
        arrays[name] = np.ndarray(tensor.shape, numbers.dtype, numbers, start, steps).copy()
    return arrays
