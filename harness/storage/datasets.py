"""Datasets in the cache: plain .npy files, which are made once and mapped into the memory of each process."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from harness.data import Dataset, Examples
from harness.spec import Array, Shape
from harness.storage.atomic import read_json, written_whole
from harness.storage.places import Places

LARGE = 8 * 2**20
"""Datasets of at least this many bytes are cached."""

FINGERPRINT = "fingerprint.json"
"""The file beside the pictures that has the fingerprint of the dataset."""

LabelledPictures = Iterable[tuple[Array, int]]
"""Pictures of whole numbers from 0 to 255, each with its label."""
Splits = Callable[[str], LabelledPictures]
"""A function that returns the pictures of the split "train" or "test"."""


def cached_dataset(
    places: Places,
    key: str,
    name: str,
    classes: tuple[str, ...],
    shape: Shape,
    splits: Splits,
    count: int | None = None,
) -> Dataset:
    """The dataset in the cache under `key`. It is made if it does not exist. `count` is the number of its pictures, if known."""

    def fill(folder: Path) -> None:
        for split in ("train", "test"):
            save_cached(folder, split, shape, splits(split))

    size = None if count is None else count * math.prod(shape)
    return open_cached(places.keep(key, fill, size), name, classes)


def cached_if_large(
    places: Places, key: str, name: str, classes: tuple[str, ...], shape: Shape, splits: Splits, count: int
) -> Dataset:
    """A dataset of `count` pictures. Large datasets are cached; small ones are made each time."""
    if count * math.prod(shape) >= LARGE:
        return cached_dataset(places, key, name, classes, shape, splits, count)
    return Dataset(name, classes, _in_memory(splits("train")), _in_memory(splits("test")))


def save_cached(folder: Path, split: str, shape: Shape, pictures: LabelledPictures) -> None:
    """Write the pictures of one split, one by one. They are written and not mapped, so that a full disk raises an error
    and does not kill the process."""
    labels = []
    with (folder / f"{split}.images.npy").open("wb") as file:
        _write_header(file, (0, *shape))
        for picture, label in pictures:
            file.write(np.ascontiguousarray(picture, np.uint8).data)
            labels.append(label)
        file.seek(0)
        _write_header(file, (len(labels), *shape))  # has the same length: NumPy leaves space for larger counts
    np.save(folder / f"{split}.labels.npy", np.array(labels, np.int32))


def open_cached(folder: Path, name: str, classes: tuple[str, ...]) -> Dataset:
    """The dataset in a folder with both splits."""
    train, test = (
        Examples(*(np.load(folder / f"{split}.{part}.npy", mmap_mode="r") for part in ("images", "labels")))
        for split in ("train", "test")
    )
    dataset = Dataset(name, classes, train, test)
    object.__setattr__(dataset, "kept_fingerprint", _kept_fingerprint(folder, dataset))
    return dataset


def _kept_fingerprint(folder: Path, dataset: Dataset) -> str:
    """The fingerprint of a cached dataset: computed once, and again if one of its files has changed since. Cells of a run
    would each read all pixels for it. The pictures are mapped for reading only: no cell can change them."""
    file, stamps = folder / FINGERPRINT, _stamps(folder)
    with suppress(OSError, ValueError):
        found = read_json(file)
        if isinstance(found, dict) and found.get("files") == stamps and isinstance(found.get("fingerprint"), str):
            return str(found["fingerprint"])
    known: dict[str, Any] = {"files": stamps, "fingerprint": dataset.computed_fingerprint()}
    with suppress(OSError), written_whole(file) as stream:  # a cache may be another user's
        stream.write(json.dumps(known).encode())
    return str(known["fingerprint"])


def _stamps(folder: Path) -> dict[str, list[int]]:
    """The size and the time of the last change of each file of a cached dataset."""
    files = [folder / f"{split}.{part}.npy" for split in ("train", "test") for part in ("images", "labels")]
    return {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def _in_memory(pictures: LabelledPictures) -> Examples:
    images, labels = zip(*pictures, strict=True)
    return Examples(np.stack(images), np.array(labels, np.int32))


def _write_header(file: BinaryIO, shape: Shape) -> None:
    npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
