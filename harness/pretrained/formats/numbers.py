"""The numbers in a file of weights: what types there are, how they become arrays, and how many there may be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.pretrained.formats.refusal import Refusal
from harness.spec import Array

DTYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2",
    "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "u1",
}  # fmt: skip
"""What a number is called in safetensors, and as what NumPy reads it."""

EXPANSION = 100
"""Times its own size that the tensors of a file may take in memory. A tensor that two layers share is stored once, and
numbers may be packed; but trained weights hardly shrink, and only a bomb grows more."""

DIMENSIONS = 32
"""More than any tensor of a network has, and what every version of NumPy can."""


def size_of(code: str) -> int:
    """Bytes of one number in the file."""
    return np.dtype(DTYPES[code]).itemsize


def decode(data: bytes, code: str, order: str = "<") -> Array:
    """The numbers as a flat array of its own. NumPy has no bfloat16: it becomes the float32 of the same value."""
    stored = np.frombuffer(data, f"{order}{DTYPES[code]}")
    if code == "BF16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    if code == "BOOL":
        return stored.astype(bool)
    return stored.astype(stored.dtype.newbyteorder("="))


def check_growth(sizes: Iterable[int], file: int) -> None:
    """Raise unless tensors of these sizes in bytes may come from a file of that size; called before they are made."""
    total = sum(sizes)
    if total > EXPANSION * file:
        raise Refusal(
            f"its tensors would take {total:,} bytes, more than {EXPANSION} times the {file:,} bytes of the file"
        )
