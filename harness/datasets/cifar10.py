"""cifar10: 60,000 photos of ten classes, 32x32 pixels, by Krizhevsky 2009, with the published split.

The official batches are pickles, which may run any code when they are read. Their hashes are checked first, and then an
unpickler reads them that knows only arrays.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from harness import (
    Array,
    DataError,
    Dataset,
    DatasetLoader,
    Download,
    LabelledPictures,
    LoadRequest,
    Shape,
    cached_dataset,
    file_hash,
    hookimpl,
)

FOLDER = "cifar-10-batches-py"
ARCHIVE = Download(
    "cifar10",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "md5:c58f30108f718f92721af3b95e74349a",
    size=170_498_071,
)
MD5 = {
    "train": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
}
KEEPS = ("PUT", "BINPUT", "LONG_BINPUT")
"""The instructions of a pickle that keep a value at a numbered place."""

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE, COUNT = (32, 32, 3), 60_000


def cifar10(request: LoadRequest) -> Dataset:
    request.refuse_argument("cifar10")

    def splits(split: str) -> LabelledPictures:
        folder = request.places.find(FOLDER, f"cifar10/{FOLDER}") or request.places.unpacked(ARCHIVE) / FOLDER
        batches = (_batch(folder / file, f"md5:{md5}") for file, md5 in MD5[split].items())
        return chain.from_iterable(batches)

    return cached_dataset(request.places, "cifar10", "cifar10", CLASSES, SHAPE, splits, COUNT)


def _batch(file: Path, expected: str) -> LabelledPictures:
    try:
        actual = file_hash(file, expected)
    except OSError as error:
        raise DataError(
            f"cifar10: {file} cannot be read: {error.strerror}; remove it and get it again", code="unreadable-file"
        ) from error
    if actual != expected:
        raise DataError(
            f"cifar10: {file} is not the official file: its hash is {actual}, not {expected}; remove the folder, and "
            f"samebench downloads it again from {ARCHIVE.url}",
            code="wrong-hash",
        )
    return read_batch(file.read_bytes(), str(file))


def read_batch(pickled: bytes, origin: str) -> LabelledPictures:
    """The pictures and labels of one batch. A row has 1024 red, then 1024 green, then 1024 blue values."""
    try:
        _check_places(pickled)
        batch = _Arrays(io.BytesIO(pickled), encoding="bytes").load()
        data, labels = batch[b"data"], batch[b"labels"]
        images = np.asarray(data, np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    except Exception as error:  # a pickle may raise any error
        raise DataError(
            f"cifar10: {origin} is not a batch of CIFAR-10: {type(error).__name__}: {error}; remove it and get it again",
            code="unreadable-file",
        ) from error
    return list(zip(images, labels, strict=True))


def _check_places(pickled: bytes) -> None:
    """Refuse a pickle that keeps a value at a place beyond its own length: Python would make room for all places before it."""
    for instruction, place, _ in pickletools.genops(pickled):
        if instruction.name in KEEPS and int(place or 0) > len(pickled):
            raise pickle.UnpicklingError(f"it keeps a value at place {place}, and has only {len(pickled)} bytes")


def _array(kind: object, shape: Shape, code: bytes) -> Array:
    """The empty array with which NumPy's pickles begin, before they set its type and values."""
    if shape != (0,):
        raise pickle.UnpicklingError(f"an array begins with the shape {shape}, and not empty")
    return np.ndarray(shape, np.dtype(code.decode()))


class _Arrays(pickle.Unpickler):
    """Reads numbers, strings, lists, dictionaries and NumPy arrays, and refuses all other objects."""

    KNOWN: Mapping[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): _array,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no dataset needs")
        return self.KNOWN[module, name]


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"cifar10": cifar10}
