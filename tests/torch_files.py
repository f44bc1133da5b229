"""Makes files in the formats of `torch.save`, including files that PyTorch would never write."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
TYPES = {
    "f8": "DoubleStorage", "f4": "FloatStorage", "f2": "HalfStorage", "i8": "LongStorage", "i4": "IntStorage",
    "i2": "ShortStorage", "i1": "CharStorage", "u1": "ByteStorage", "b1": "BoolStorage",
}  # fmt: skip


class Name(NamedTuple):
    """A class or a function, pickled by its name. It need not exist."""

    module: str
    name: str


class Call(NamedTuple):
    """A call, which is pickled without being executed."""

    function: Name
    arguments: tuple


class Storage(NamedTuple):
    kind: str
    key: str
    numbers: int
    more: tuple = ()


class Raw(NamedTuple):
    """Raw instructions of a pickle."""

    instructions: bytes


ORDERED = Name("collections", "OrderedDict")
REBUILD = Name("torch._utils", "_rebuild_tensor_v2")


class Pickler(pickle._Pickler):
    def save(self, thing, save_persistent_id=True):
        if isinstance(thing, Name):
            self.write(f"c{thing.module}\n{thing.name}\n".encode())
        elif isinstance(thing, Call):
            self.save(thing.function)
            self.save(thing.arguments)
            self.write(pickle.REDUCE)
        elif isinstance(thing, Storage):
            self.save(("storage", Name("torch", thing.kind), thing.key, "cpu", thing.numbers, *thing.more))
            self.write(pickle.BINPERSID)
        elif isinstance(thing, Raw):
            self.write(thing.instructions)
        else:
            super().save(thing, save_persistent_id)


def pickled(thing: object, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    Pickler(file, protocol).dump(thing)
    return file.getvalue()


def kind_of(array: np.ndarray) -> str:
    return TYPES[array.dtype.str[1:]]


def tensor(array: np.ndarray, key: str = "0", legacy: bool = False) -> Call:
    """A tensor that uses a whole storage, in PyTorch's form."""
    strides = tuple(step // array.itemsize for step in array.strides)
    storage = Storage(kind_of(array), key, array.size, (None,) if legacy else ())
    return Call(REBUILD, (storage, 0, array.shape, strides, False, Call(ORDERED, ())))


def state_dict(arrays: Mapping[str, np.ndarray], legacy: bool = False) -> dict:
    return {name: tensor(array, str(key), legacy) for key, (name, array) in enumerate(arrays.items())}


def storages_of(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {str(key): array for key, array in enumerate(arrays.values())}


def write_zip(
    file: Path, value: object, storages: Mapping[str, np.ndarray], order: str | None = "little", **more: bytes
) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", value.instructions if isinstance(value, Raw) else pickled(value))
        if order:
            archive.writestr("archive/byteorder", order)
        for key, numbers in storages.items():
            swapped = numbers.astype(numbers.dtype.newbyteorder(">" if order == "big" else "<"))
            archive.writestr(f"archive/data/{key}", swapped.tobytes())
        for name, content in more.items():
            archive.writestr(f"archive/{name}", content)
    return file


def write_legacy(file: Path, value: object, storages: Mapping[str, np.ndarray], keys: object = None) -> Path:
    parts = [pickled(MAGIC), pickled(VERSION), pickled({"little_endian": True, "type_sizes": {"int": 4}})]
    parts.append(value.instructions if isinstance(value, Raw) else pickled(value))
    parts.append(pickled(list(storages) if keys is None else keys))
    for numbers in storages.values():
        parts += [struct.pack("<q", numbers.size), numbers.tobytes()]
    file.write_bytes(b"".join(parts))
    return file
