"""Files of a run: JSON with a seal, and named arrays. Each is written completely or not at all.

A seal is a hash that shows damage: any change of the file after it was written. It is the last key of the object, and the hash
is that of all bytes before its line. Files of earlier versions have the hash of their contents instead; they are accepted too.
A seal is no signature: whoever changes a file on purpose can also make its seal.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from harness.result import digest
from harness.spec import Array
from harness.storage.atomic import parse_json, read_text, regular_file, written_whole

SEAL, OF_BYTES = "sha256", "bytes before this line: "
"""The key of the seal, and the words in front of a hash of bytes."""

SEAL_LINE = re.compile(rb'\n "%b": "%b([0-9a-f]{64})"\n}\n' % (SEAL.encode(), OF_BYTES.encode()))
SEAL_BYTES = len(f'\n "{SEAL}": "{OF_BYTES}"\n}}\n') + 64
"""The end of a sealed file, and its length."""

ARRAYS_BYTES = 2 * 2**30
"""The maximum size of all arrays of a file. samebench stores a few hundred pictures."""

ARTIFACTS, PICTURES = "artifacts", "pictures.npz"
"""The folder for the files that a cell makes, and the file for its pictures."""


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file. Numbers that are not finite become strings, because JSON has no such numbers."""
    _write(path, _text(data))


def write_sealed(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON object with a seal."""
    kept = {name: value for name, value in data.items() if name != SEAL}
    body = _text(kept).removesuffix(b"}").rstrip() + (b"," if kept else b"")
    seal = f'\n "{SEAL}": "{OF_BYTES}{hashlib.sha256(body).hexdigest()}"\n}}\n'
    _write(path, body + seal.encode())


def _text(data: Any) -> bytes:
    return json.dumps(_in_words(data), indent=1, allow_nan=False).encode()


def _write(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(text)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write named arrays to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        np.savez_compressed(file, **dict[str, Any](arrays))


def read_arrays(path: Path) -> dict[str, Array]:
    """The inverse of `write_arrays`. Raises ValueError, before memory is used, if the arrays are too large or do not fit their
    headers."""
    with regular_file(path) as file:
        _check_arrays(file)
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)


def _check_arrays(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        if (size := sum(info.file_size for info in archive.infolist())) > ARRAYS_BYTES:
            raise ValueError(f"its arrays have {size:,} bytes, more than the limit of {ARRAYS_BYTES:,}")
        for info in archive.infolist():
            with archive.open(info) as stored:
                version = npy.read_magic(stored)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, _, dtype = read(stored)
                if math.prod(shape) * dtype.itemsize != info.file_size - stored.tell():
                    raise ValueError(f"{info.filename} does not have the size that its header says")


def read_sealed(path: Path) -> dict[str, Any]:
    """The inverse of `write_sealed`. Raises ValueError if the file is damaged, FileNotFoundError if it does not exist."""
    text = read_text(path)
    data = parse_json(text, path.name)
    if not isinstance(data, dict) or not _is_sealed(text, data.pop(SEAL, None), data):
        raise ValueError(f"{path.name} was changed after it was written: its hash does not match its contents")
    return data


def _is_sealed(text: bytes, seal: Any, data: dict[str, Any]) -> bool:
    """Whether the seal fits the bytes of the file, or its contents if an earlier version has written it."""
    if isinstance(seal, str) and seal.startswith(OF_BYTES):
        end = SEAL_LINE.fullmatch(text, len(text) - SEAL_BYTES)
        return end is not None and end[1].decode() == hashlib.sha256(text[:-SEAL_BYTES]).hexdigest()
    return bool(seal == digest(data))


def _in_words(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return repr(data)
    if isinstance(data, Mapping):
        return {key: _in_words(value) for key, value in data.items()}
    return [_in_words(value) for value in data] if isinstance(data, list | tuple) else data
