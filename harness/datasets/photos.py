"""Datasets of picture files: the files of a folder, their split, and their pixels, which are decoded only once."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from harness import (
    RESIZE_VERSION,
    Array,
    DataError,
    Dataset,
    LabelledPictures,
    LoadRequest,
    Shape,
    cores,
    fixed_share,
    open_cached,
    read_picture,
    save_cached,
)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
TEST_SHARE = 0.2
SHOWN = 10
"""Maximum number of unreadable pictures in a message. The others are counted."""

AHEAD = 256
"""Maximum number of decoded pictures that are not yet written."""

Photo = tuple[str, int]
"""The path of a picture file, relative to the root, and its label."""


@dataclass(frozen=True)
class Photos:
    """The picture files of a dataset, with their splits and classes."""

    name: str
    root: Path
    classes: tuple[str, ...]
    train: Sequence[Photo]
    test: Sequence[Photo]


def in_folder(name: str, root: Path) -> Photos:
    """The pictures in `root`, which has a sub-folder for each class, or train/ and test/ with such sub-folders. Without
    test/, a fixed fifth of each class is the test split."""
    top = "train" if (root / "train").is_dir() else ""
    classes = class_folders(root / top)
    if len(classes) < 2:
        raise DataError(
            f"{name}: {root / top} needs at least two classes, each in a sub-folder with pictures; "
            f"there are: {', '.join(map(shown, classes)) or 'none'}",
            code="wrong-classes",
        )
    photos, names = _listed(name, root, top, classes), tuple(map(shown, classes))
    if not (top and (root / "test").is_dir()):
        return split_off(name, root, names, photos)
    if odd := {*classes} ^ {*class_folders(root / "test")}:
        raise DataError(
            f"{name}: train/ and test/ in {root} must have the same classes; these are only in one of them: "
            f"{', '.join(map(shown, sorted(odd)))}",
            code="wrong-classes",
        )
    return Photos(name, root, names, photos, _listed(name, root, "test", classes))


def split_off(name: str, root: Path, classes: tuple[str, ...], photos: Sequence[Photo]) -> Photos:
    """Photos with a fixed fifth of each class as the test split."""
    mask = fixed_share(np.array([label for _, label in photos]), TEST_SHARE, classes, name)
    train = [photo for photo, chosen in zip(photos, mask) if not chosen]
    return Photos(name, root, classes, train, [photo for photo, chosen in zip(photos, mask) if chosen])


def decoded(photos: Photos, request: LoadRequest) -> Dataset:
    """The pixels of all photos in the requested shape. They are cached until a file changes."""
    count = len(photos.train) + len(photos.test)

    def fill(folder: Path) -> None:
        broken: list[str] = []
        for split, part in (("train", photos.train), ("test", photos.test)):
            save_cached(folder, split, request.shape, _pixels(photos.root, part, request.shape, broken))
        if broken and request.broken == "refuse":
            raise DataError(
                f"{photos.name}: {_unreadable(broken, count)}; repair or remove them, or leave them out with "
                "--set data.broken=skip",
                code="unreadable-file",
            )
        (folder / "broken.json").write_text(json.dumps(broken))

    folder = request.places.keep(f"photos-{_key(photos, request)}", fill, count * math.prod(request.shape))
    broken = json.loads((folder / "broken.json").read_text())
    dataset = open_cached(folder, photos.name, photos.classes)
    dataset = dataset.with_files(*(_paths(photos.root, part, broken) for part in (photos.train, photos.test)))
    return dataset.with_notes(f"{_unreadable(broken, count)}: left out") if broken else dataset


def _paths(root: Path, photos: Sequence[Photo], broken: Sequence[str]) -> Array:
    """The path of each photo that can be read."""
    left_out = set(broken)
    return np.array([str(root / file) for file, _ in photos if shown(file) not in left_out], object)


def shown(name: str) -> str:
    """The name of a file for output. Bytes that are not valid text are escaped."""
    return name.encode(errors="backslashreplace").decode()


def class_folders(folder: Path) -> list[str]:
    """The names of the sub-folders, except hidden folders."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _listed(name: str, root: Path, top: str, classes: Sequence[str]) -> list[Photo]:
    """All picture files of each class, at any depth, except hidden files."""
    photos: list[Photo] = []
    for label, folder in enumerate(classes):
        files = sorted(_files(root / top / folder))
        if not files:
            raise DataError(
                f"{name}: {shown(str(root / top / folder))} has no pictures (files that end in {', '.join(SUFFIXES)}); "
                "remove the folder or add pictures",
                code="too-few-examples",
            )
        photos += [(os.path.relpath(file, root), label) for file in files]
    return photos


def _files(folder: Path) -> Iterator[str]:
    for inside, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(inside, name)


def _key(photos: Photos, request: LoadRequest) -> str:
    """A key for the cache: it changes with the files and with the requested pixels."""
    digest = hashlib.sha256(repr((RESIZE_VERSION, request.shape, request.broken)).encode())
    for part in (photos.train, photos.test):
        for file, label in part:
            about = (photos.root / file).stat()
            digest.update(os.fsencode(file) + f"\0{label} {about.st_size} {about.st_mtime_ns}\0".encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _pixels(root: Path, photos: Sequence[Photo], shape: Shape, broken: list[str]) -> LabelledPictures:
    """The pixels of each photo. The names of files that cannot be read are added to `broken`."""

    def read(photo: Photo) -> Array | None:
        try:
            return read_picture(root / photo[0], shape)
        except (MemoryError, DataError):
            raise
        except Exception:  # Pillow raises many kinds of errors for damaged files
            return None

    with ThreadPoolExecutor(cores()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about files that can be read
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(photos), AHEAD):
            part = photos[start : start + AHEAD]
            for (file, label), picture in zip(part, pool.map(read, part), strict=True):
                if picture is None:
                    broken.append(shown(file))
                else:
                    yield picture, label


def _unreadable(broken: Sequence[str], count: int) -> str:
    more = f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    return f"{len(broken)} of {count} pictures cannot be read ({', '.join(sorted(broken)[:SHOWN])}{more})"
