"""safetensors: a file of named tensors and notes, which cannot contain code. It is the format that samebench writes.

The first eight bytes are the length of the header. The header is JSON: the type, the shape and the start and end of the
bytes of each tensor, and notes (strings) under `__metadata__`. Then follow the bytes of the tensors, little-endian, in
row-major order and without gaps. https://github.com/huggingface/safetensors
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
"""Maximum size of a header in bytes, which the format defines."""

ALIGNMENT = 8
CODES = {dtype: code for code, dtype in DTYPES.items() if code not in ("BF16", "BOOL")} | {"b1": "BOOL"}


class TensorFile(NamedTuple):
    """The contents of a file."""

    tensors: dict[str, Array]
    notes: dict[str, str]


class Place(NamedTuple):
    """The entry of a tensor in the header."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """The header of a file."""

    notes: dict[str, str]
    places: dict[str, Place]
    start: int
    """The position of the first byte of the tensors."""


def safetensors_notes(path: Path) -> dict[str, str]:
    """Read the notes of a file, but not its tensors."""
    with opened(path) as file:
        return _header_of(file).notes


def load_safetensors(path: Path) -> TensorFile:
    """Read the tensors of a file, in the order of its header, and its notes."""
    with opened(path) as file:
        return read_safetensors(file)


def save_safetensors(path: Path, tensors: Weights, notes: Mapping[str, str]) -> None:
    """Write a file completely or not at all. The same tensors and notes give the same bytes, in any order.

    Notes are facts about the weights: the model, its classes, the source, the licence. Bytes in them that are not valid text, as
    in the name of a folder, are escaped.
    """
    header: dict[str, Any] = {NOTES: {name: _as_text(note) for name, note in sorted(notes.items())}} if notes else {}
    if wrong := [f"{name} ({tensor.dtype})" for name, tensor in tensors.items() if tensor.dtype.str[1:] not in CODES]:
        raise SpecError(
            f"safetensors takes the types {', '.join(CODES.values())}, not {listed(wrong)}", code="wrong-type"
        )
    if NOTES in tensors:
        raise SpecError(
            f"a tensor cannot have the name {NOTES}: safetensors stores its notes under this name; choose another",
            code="name-taken",
        )
    order = sorted(
        tensors, key=lambda name: (-tensors[name].itemsize, name)
    )  # aligns each tensor to the size of its type
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


def _as_text(note: str) -> str:
    return note.encode(errors="backslashreplace").decode()


def read_safetensors(file: BinaryIO) -> TensorFile:
    """`load_safetensors` for an open file."""
    header, tensors = _header_of(file), {}
    for name, place in header.places.items():
        file.seek(header.start + place.begin)
        tensors[name] = decode(file.read(place.end - place.begin), place.code).reshape(place.shape)
    return TensorFile(tensors, header.notes)


def _header_of(file: BinaryIO) -> Header:
    """Read the header. Raises Refusal if it does not fit the size of the file."""
    length = length_of(file)
    size = int.from_bytes(file.read(8), "little")
    if size > min(length - 8, LONGEST):
        raise Refusal(f"its header should have {size:,} bytes, but the file has only {length:,}")
    header = _parsed(file.read(size))
    notes = header.pop(NOTES, {})
    if type(notes) is not dict or not all(type(note) is str for note in notes.values()):
        raise Refusal(f"its {NOTES} are not strings")
    places = {name: _place(name, entry) for name, entry in header.items()}
    end = 0
    for name, place in sorted(places.items(), key=lambda item: (item[1].begin, item[1].end)):
        if place.begin != end:
            raise Refusal(
                f"its tensor {name!r} begins at byte {place.begin:,}, but the previous tensor ends at {end:,}"
            )
        end = place.end
    if 8 + size + end != length:
        raise Refusal(f"its header needs {8 + size + end:,} bytes, but the file has {length:,}")
    return Header(notes, places, 8 + size)


def _parsed(text: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise Refusal("its header has the same name twice")
        return dict(pairs)

    try:
        header: dict[str, Any] = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"its header is not JSON: {error}") from None
    return header


def _place(name: str, entry: Any) -> Place:
    match entry:
        case {"dtype": str(code), "shape": [*shape], "data_offsets": [begin, end]} if len(entry) == 3:
            pass
        case _:
            raise Refusal(f"its tensor {name!r} needs a dtype, a shape and two data_offsets in the header")
    if code not in DTYPES:
        raise Refusal(
            f"its tensor {name!r} has the type {code[:20]!r}",
            do=f"save it as one of {', '.join(DTYPES)}",
            code="unknown-format",
        )
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)) or len(shape) > DIMENSIONS:
        raise Refusal(
            f"its tensor {name!r} needs a shape of at most {DIMENSIONS} dimensions and offsets, all whole numbers from 0"
        )
    if math.prod(shape) * size_of(code) != end - begin:
        raise Refusal(
            f"its tensor {name!r} has the shape {tuple(shape)} and the type {code}, but {end - begin:,} bytes"
        )
    return Place(code, tuple(shape), begin, end)
