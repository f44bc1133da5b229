"""IDX, the format of MNIST and of similar datasets: two files of pictures and two files of labels.

A file consists of two zero bytes, the type of the values (8: whole numbers from 0 to 255), the number of dimensions, each
dimension in four bytes, and the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness import Array, DataError, Dataset, Download, Examples, Places

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def load_idx(
    name: str,
    classes: tuple[str, ...],
    places: Places,
    folders: Sequence[str],
    url: str,
    published: Mapping[str, tuple[str, int]],
) -> Dataset:
    """Load a dataset from the first of `folders` that has its files, compressed or not, or else from its publisher.
    `published` has the md5 and the size in bytes of each compressed file.

    The hashes of files in a folder are not checked, because compression differs between programs. A damaged file does not
    fit its own header.
    """

    def find(file: str) -> Path:
        own = places.find(*(f"{folder}/{file}{end}" for folder in folders for end in ("", ".gz")))
        md5, size = published[file]
        return own or places.fetch(Download(name, f"{url}{file}.gz", f"md5:{md5}", size=size))

    found = {file: find(file) for file in published}

    def split(images: str, labels: str) -> Examples:
        return Examples(read_idx(found[images], 3)[..., None], read_idx(found[labels], 1).astype(np.int32))

    return Dataset(name, classes, split(*FILES["train"]), split(*FILES["test"]))


EXPANSION = 100
"""Maximum size of the values, as a multiple of the size of a compressed file. Handwritten digits grow six times."""


def _check_size(file: Path, shape: Sequence[int]) -> None:
    """Raise DataError before memory is used, if the file has no values or is too small for so many."""
    size, count = file.stat().st_size, math.prod(shape)
    if not count:
        raise DataError(
            f"{file} has no values: its shape is {' x '.join(map(str, shape))}; remove it and get it again",
            code="malformed-file",
        )
    if count > size * (EXPANSION if file.suffix == ".gz" else 1):
        raise DataError(
            f"{file} claims to have {count:,} values, too many for a file of {size:,} bytes; remove it and get it again",
            code="malformed-file",
        )


def read_idx(file: Path, dimensions: int) -> Array:
    """Read the values of one file."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as source:
            header = source.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != bytes([0, 0, 8, dimensions]):
                raise DataError(
                    f"{file} is not an IDX file of bytes with {dimensions} dimensions: it begins with {header[:4].hex(' ')}, "
                    f"not with 00 00 08 {dimensions:02x}; remove it and get it again",
                    code="unknown-format",
                )
            shape = struct.unpack(f">{dimensions}I", header[4:])
            _check_size(file, shape)
            values = source.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{file} cannot be read: {error}; remove it and get it again", code="unreadable-file"
        ) from error
    if len(values) != math.prod(shape):
        actual = "more" if len(values) > math.prod(shape) else f"only {len(values):,}"
        expected = " x ".join(map(str, shape))
        raise DataError(
            f"{file} should have {expected} values, but has {actual}; remove it and get it again",
            code="malformed-file",
        )
    return np.frombuffer(values, np.uint8).reshape(shape)
