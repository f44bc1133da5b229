"""The numbers in a weight file: their types, their conversion to arrays, and limits."""

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
"""The types of safetensors, and the NumPy types that read them."""

EXPANSION = 100
"""Maximum size of the tensors in memory, as a multiple of the size of the file. Tensors grow if layers share them or if
they are compressed, but weights hardly compress: only a decompression bomb grows more than this."""

DIMENSIONS = 32
"""Maximum number of dimensions: every version of NumPy supports as many, and no network needs more."""


def size_of(code: str) -> int:
    """The number of bytes of a number in the file."""
    return np.dtype(DTYPES[code]).itemsize


def decode(data: bytes, code: str, order: str = "<") -> Array:
    """The numbers as a new flat array. NumPy has no bfloat16, so it becomes float32, with the same values."""
    stored = np.frombuffer(data, f"{order}{DTYPES[code]}")
    if code == "BF16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    if code == "BOOL":
        return stored.astype(bool)
    return stored.astype(stored.dtype.newbyteorder("="))


def check_growth(sizes: Iterable[int], file: int) -> None:
    """Raise Refusal if tensors of these sizes are too large for a file of this size, all in bytes. Call it before reading
    the tensors."""
    total = sum(sizes)
    if total > EXPANSION * file:
        raise Refusal(
            f"its tensors would take {total:,} bytes, more than {EXPANSION} times the {file:,} bytes of the file",
            code="unsafe-file",
        )
