"""Files of a run: JSON with a hash of its contents, and named arrays. Each is written completely or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.result import digest
from harness.spec import Array
from harness.storage.atomic import read_json, regular_file, written_whole

SEAL = "sha256"
ARTIFACTS, PICTURES = "artifacts", "pictures.npz"
"""The folder for the files that a cell makes, and the file for its pictures."""


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file. Numbers that are not finite become strings, because JSON has no such numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_in_words(data), indent=1, allow_nan=False)
    with written_whole(path) as file:
        file.write(text.encode())


def write_sealed(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON object with a hash of its contents."""
    plain = _in_words(data)
    write_json(path, plain | {SEAL: digest(plain)})


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write named arrays to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        np.savez_compressed(file, **dict[str, Any](arrays))


def read_arrays(path: Path) -> dict[str, Array]:
    """The inverse of `write_arrays`."""
    with regular_file(path) as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def read_sealed(path: Path) -> dict[str, Any]:
    """The inverse of `write_sealed`. Raises ValueError if the file is damaged, FileNotFoundError if it does not exist."""
    data = read_json(path)
    if not isinstance(data, dict) or data.pop(SEAL, None) != digest(data):
        raise ValueError(f"{path.name} was changed after it was written: its hash does not match its contents")
    return data


def _in_words(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return repr(data)
    if isinstance(data, Mapping):
        return {key: _in_words(value) for key, value in data.items()}
    return [_in_words(value) for value in data] if isinstance(data, list | tuple) else data
