"""safetensors: a file of named tensors and notes, in which nothing can be run. It is what samebench writes.

Eight bytes say how long the header is. The header is JSON: each tensor's type, shape, and where its bytes begin and end;
and under `__metadata__` notes, which are texts. The tensors' bytes follow, little-endian and in row-major order, one after
the other and without a gap. https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from harness.errors import SpecError
from harness.pretrained.formats.numbers import DIMENSIONS, DTYPES, decode, size_of
from harness.pretrained.formats.refusal import Refusal, length_of, listed, opened
from harness.spec import Array, Weights
from harness.storage.atomic import written_whole

NOTES = "__metadata__"
LONGEST = 100_000_000
"""Bytes of a header; the format's own limit."""

ALIGNMENT = 8
CODES = {dtype: code for code, dtype in DTYPES.items() if code not in ("BF16", "BOOL")} | {"b1": "BOOL"}


class TensorFile(NamedTuple):
    """What is in a file."""

    tensors: dict[str, Array]
    notes: dict[str, str]


class Place(NamedTuple):
    """A tensor, as the header tells of it."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """What a file says of itself before its tensors begin."""

    notes: dict[str, str]
    places: dict[str, Place]
    start: int
    """Where the tensors' bytes begin."""


def safetensors_notes(path: Path) -> dict[str, str]:
    """The notes of a file alone, without reading its tensors."""
    with opened(path) as file:
        return _header_of(file).notes


def load_safetensors(path: Path) -> TensorFile:
    """The tensors of a file, in the order of its header, and its notes."""
    with opened(path) as file:
        return read_safetensors(file)


def save_safetensors(path: Path, tensors: Weights, notes: Mapping[str, str]) -> None:
    """Write a file whole or not at all. The same tensors and notes give the same bytes, in whatever order they come.

    Notes say what the weights are: the model, its classes, the source, the licence.
    """
    header: dict[str, Any] = {NOTES: dict(sorted(notes.items()))} if notes else {}
    if wrong := [f"{name} ({tensor.dtype})" for name, tensor in tensors.items() if tensor.dtype.str[1:] not in CODES]:
        raise SpecError(f"safetensors holds {', '.join(CODES.values())}, and not {listed(wrong)}")
    if NOTES in tensors:
        raise SpecError(f"a tensor cannot be called {NOTES}, which is where safetensors keeps its notes")
    order = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))  # keeps each aligned to its own size
    end = 0
    for name in order:
        tensor = tensors[name]
        begin, end = end, end + tensor.nbytes
        code = CODES[tensor.dtype.str[1:]]
        header[name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with written_whole(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(tensors[name].astype(tensors[name].dtype.newbyteorder("<")).tobytes())


def read_safetensors(file: BinaryIO) -> TensorFile:
    """As `load_safetensors`, from an open file."""
    header, tensors = _header_of(file), {}
    for name, place in header.places.items():
        file.seek(header.start + place.begin)
        tensors[name] = decode(file.read(place.end - place.begin), place.code).reshape(place.shape)
    return TensorFile(tensors, header.notes)


def _header_of(file: BinaryIO) -> Header:
    """The header, if all that it announces can be in the file."""
    length = length_of(file)
    size = int.from_bytes(file.read(8), "little")
    if size > min(length - 8, LONGEST):
        raise Refusal(f"it claims a header of {size:,} bytes, and has {length:,} bytes in all; get it again")
    header = _parsed(file.read(size))
    notes = header.pop(NOTES, {})
    if type(notes) is not dict or not all(type(note) is str for note in notes.values()):
        raise Refusal(f"its {NOTES} are not texts")
    places = {name: _place(name, entry) for name, entry in header.items()}
    end = 0
    for name, place in sorted(places.items(), key=lambda item: (item[1].begin, item[1].end)):
        if place.begin != end:
            raise Refusal(f"its tensor {name!r} begins at {place.begin:,}, where the one before it ends at {end:,}")
        end = place.end
    if 8 + size + end != length:
        raise Refusal(f"its header announces {8 + size + end:,} bytes, and it has {length:,}; get it again")
    return Header(notes, places, 8 + size)


def _parsed(text: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise Refusal("a name comes twice in its header")
        return dict(pairs)

    try:
        header: dict[str, Any] = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"its header is no JSON: {error}; get it again") from None
    return header


def _place(name: str, entry: Any) -> Place:
    match entry:
        case {"dtype": str(code), "shape": [*shape], "data_offsets": [begin, end]} if len(entry) == 3:
            pass
        case _:
            raise Refusal(f"its header does not give {name!r} a dtype, a shape and two data_offsets")
    if code not in DTYPES:
        raise Refusal(f"its tensor {name!r} is of the type {code[:20]!r}; known are {', '.join(DTYPES)}")
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)) or len(shape) > DIMENSIONS:
        raise Refusal(f"the shape or the place of its tensor {name!r} is not made of whole numbers from 0 up")
    if math.prod(shape) * size_of(code) != end - begin:
        raise Refusal(f"its tensor {name!r} is {tuple(shape)} of {code}, which does not fit {end - begin:,} bytes")
    return Place(code, tuple(shape), begin, end)
