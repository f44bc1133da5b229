"""cifar10: 60,000 photos of ten kinds of things, 32x32 pixels, of Krizhevsky 2009; split as published.

The official batches are pickles, which may run anything when they are read: these are read by an unpickler that knows
arrays and nothing else, and not before their hashes are found to be the published ones.
"""

from __future__ import annotations

import io
import pickle
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
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE, COUNT = (32, 32, 3), 60_000


def cifar10(wanted: LoadRequest) -> Dataset:
    wanted.refuse_argument("cifar10")

    def splits(split: str) -> LabelledPictures:
        folder = wanted.places.find(FOLDER, f"cifar10/{FOLDER}") or wanted.places.unpacked(ARCHIVE) / FOLDER
        batches = (_batch(folder / file, f"md5:{md5}") for file, md5 in MD5[split].items())
        return chain.from_iterable(batches)

    return cached_dataset(wanted.places, "cifar10", "cifar10", CLASSES, SHAPE, splits, COUNT)


def _batch(file: Path, expected: str) -> LabelledPictures:
    try:
        got = file_hash(file, expected)
    except OSError as error:
        raise DataError(f"cifar10: {file} cannot be read: {error.strerror}") from error
    if got != expected:
        raise DataError(
            f"cifar10: {file} is not the official file: its hash is {got}, not {expected}; remove the folder, and it is "
            f"fetched again from {ARCHIVE.url}"
        )
    return read_batch(file.read_bytes(), str(file))


def read_batch(pickled: bytes, origin: str) -> LabelledPictures:
    """The pictures and labels of one batch, stored as rows of 1024 red, 1024 green and 1024 blue values."""
    try:
        batch = _Arrays(io.BytesIO(pickled), encoding="bytes").load()
        data, labels = batch[b"data"], batch[b"labels"]
        images = np.asarray(data, np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    except Exception as error:  # whatever a pickle may raise
        raise DataError(f"cifar10: {origin} is no batch of CIFAR-10: {type(error).__name__}: {error}") from error
    return list(zip(images, labels, strict=True))


def _array(kind: object, shape: Shape, code: bytes) -> Array:
    """How NumPy's pickles begin an array, before they give it its type and its values."""
    return np.ndarray(shape, np.dtype(code.decode()))


class _Arrays(pickle.Unpickler):
    """Reads numbers, texts, lists, dictionaries and NumPy's arrays; everything else is refused by its name."""

    KNOWN: Mapping[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): _array,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no data set needs")
        return self.KNOWN[module, name]


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"cifar10": cifar10}
