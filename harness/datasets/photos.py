"""What data sets of picture files share: the files of a folder, their split, and their pixels, decoded only once."""

from __future__ import annotations

import hashlib
import json
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
"""Broken pictures that are named; the others are counted."""

AHEAD = 256
"""Pictures that may be decoded before they are written."""

Photo = tuple[str, int]
"""A file, by its path below the root, and its label."""


@dataclass(frozen=True)
class Photos:
    """The picture files of a data set, and to what each split and class they belong."""

    name: str
    root: Path
    classes: tuple[str, ...]
    train: Sequence[Photo]
    test: Sequence[Photo]


def in_folder(name: str, root: Path) -> Photos:
    """The pictures below `root`, with a sub-folder for each class, or with train/ and test/ that have them each.
    Without test/, a fixed fifth of each class is the test split."""
    top = "train" if (root / "train").is_dir() else ""
    classes = class_folders(root / top)
    if len(classes) < 2:
        raise DataError(
            f"{name}: {root / top} needs a sub-folder with pictures for each of at least two classes; "
            f"there are: {', '.join(map(shown, classes)) or 'none'}"
        )
    photos, names = _listed(name, root, top, classes), tuple(map(shown, classes))
    if not (top and (root / "test").is_dir()):
        return split_off(name, root, names, photos)
    if odd := {*classes} ^ {*class_folders(root / "test")}:
        raise DataError(
            f"{name}: train/ and test/ in {root} must have the same classes; only one of them has "
            f"{', '.join(map(shown, sorted(odd)))}"
        )
    return Photos(name, root, names, photos, _listed(name, root, "test", classes))


def split_off(name: str, root: Path, classes: tuple[str, ...], photos: Sequence[Photo]) -> Photos:
    """Photos of which a fixed fifth of each class becomes the test split."""
    mask = fixed_share(np.array([label for _, label in photos]), TEST_SHARE, classes, name)
    train = [photo for photo, chosen in zip(photos, mask) if not chosen]
    return Photos(name, root, classes, train, [photo for photo, chosen in zip(photos, mask) if chosen])


def decoded(photos: Photos, wanted: LoadRequest) -> Dataset:
    """The pixels of all photos in the shape that is wanted, kept for as long as no file changes."""
    count = len(photos.train) + len(photos.test)

    def fill(folder: Path) -> None:
        broken: list[str] = []
        for split, part in (("train", photos.train), ("test", photos.test)):
            save_cached(folder, split, wanted.shape, _pixels(photos.root, part, wanted.shape, broken))
        if broken and wanted.broken == "refuse":
            raise DataError(
                f"{photos.name}: {_told(broken, count)}; mend or remove them, or leave them out with "
                "--set data.broken=skip"
            )
        (folder / "broken.json").write_text(json.dumps(broken))

    folder = wanted.places.keep(f"photos-{_key(photos, wanted)}", fill)
    broken = json.loads((folder / "broken.json").read_text())
    dataset = open_cached(folder, photos.name, photos.classes)
    return dataset.with_notes(f"{_told(broken, count)}: left out") if broken else dataset


def shown(name: str) -> str:
    """A file's name as text that can be written anywhere, even if it is none."""
    return name.encode(errors="backslashreplace").decode()


def class_folders(folder: Path) -> list[str]:
    """The names of the sub-folders, without hidden ones."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _listed(name: str, root: Path, top: str, classes: Sequence[str]) -> list[Photo]:
    """Every picture file of each class, however deep; hidden ones and other files are not looked at."""
    photos: list[Photo] = []
    for label, folder in enumerate(classes):
        found = sorted(_files(root / top / folder))
        if not found:
            raise DataError(
                f"{name}: {shown(str(root / top / folder))} has no pictures (files that end in {', '.join(SUFFIXES)}); "
                "remove it, or bring some"
            )
        photos += [(os.path.relpath(file, root), label) for file in found]
    return photos


def _files(folder: Path) -> Iterator[str]:
    for inside, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(inside, name)


def _key(photos: Photos, wanted: LoadRequest) -> str:
    """Changes whenever a file does, or what is made of it."""
    digest = hashlib.sha256(repr((RESIZE_VERSION, wanted.shape, wanted.broken)).encode())
    for part in (photos.train, photos.test):
        for file, label in part:
            about = (photos.root / file).stat()
            digest.update(os.fsencode(file) + f"\0{label} {about.st_size} {about.st_mtime_ns}\0".encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _pixels(root: Path, photos: Sequence[Photo], shape: Shape, broken: list[str]) -> LabelledPictures:
    """Each photo's pixels in turn; the names of those that cannot be read are added to `broken`."""

    def read(photo: Photo) -> Array | None:
        try:
            return read_picture(root / photo[0], shape)
        except (MemoryError, DataError):
            raise
        except Exception:  # Pillow has one for each way in which a file can be broken
            return None

    with ThreadPoolExecutor(cores()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd details in files that can be read all the same
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(photos), AHEAD):
            some = photos[start : start + AHEAD]
            for (file, label), picture in zip(some, pool.map(read, some), strict=True):
                if picture is None:
                    broken.append(shown(file))
                else:
                    yield picture, label


def _told(broken: Sequence[str], count: int) -> str:
    more = f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    return f"{len(broken)} of {count} pictures cannot be read ({', '.join(sorted(broken)[:SHOWN])}{more})"
