"""Datasets of picture files: the files of a folder, their split, and their pixels, which are decoded only once."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

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
    one_line,
    open_cached,
    read_picture,
    save_cached,
)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
TEST_SHARE = 0.2
SHOWN, LONGEST = 10, 100
"""Maximum number of unreadable pictures in a message, and of characters of each reason. The other pictures are counted."""

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
        broken: dict[str, str] = {}
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


def _paths(root: Path, photos: Sequence[Photo], broken: Collection[str]) -> Array:
    """The path of each photo that can be read."""
    return np.array([str(root / file) for file, _ in photos if shown(file) not in broken], object)


def shown(name: str) -> str:
    """The name of a file for output, in one line. Bytes that are not valid text are escaped, and so are control characters."""
    return one_line(name.encode(errors="backslashreplace").decode())


def class_folders(folder: Path) -> list[str]:
    """The names of the sub-folders, except hidden folders."""
    return sorted(
        entry.name for entry in os.scandir(folder) if os.path.isdir(entry.path) and not entry.name.startswith(".")
    )


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
            digest.update(os.fsencode(file) + f"\0{label} {_stamp(photos.root / file)}\0".encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _stamp(file: Path) -> str:
    """The size and the time of the last change of a file; empty for a link that leads nowhere."""
    try:
        about = file.stat()
    except OSError:
        return ""
    return f"{about.st_size} {about.st_mtime_ns}"


def _pixels(root: Path, photos: Sequence[Photo], shape: Shape, broken: dict[str, str]) -> LabelledPictures:
    """The pixels of each photo. The names of files that cannot be read are added to `broken`, with the reasons."""

    def read(photo: Photo) -> Array | str:
        file = root / photo[0]
        if not file.is_file():
            return "not a regular file" if file.exists() else "a link that leads nowhere"
        try:
            return read_picture(file, shape)
        except (MemoryError, DataError):
            raise
        except UnidentifiedImageError:
            return "not a picture in a format that samebench reads"
        except Exception as error:  # Pillow raises many kinds of errors for damaged files
            return one_line(f"{error}" or type(error).__name__)[:LONGEST]

    with ThreadPoolExecutor(cores()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about files that can be read
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(photos), AHEAD):
            part = photos[start : start + AHEAD]
            for (file, label), picture in zip(part, pool.map(read, part), strict=True):
                if isinstance(picture, str):
                    broken[shown(file)] = picture
                else:
                    yield picture, label


def _unreadable(broken: Mapping[str, str], count: int) -> str:
    names: dict[str, list[str]] = {}
    for name in sorted(broken)[:SHOWN]:
        names.setdefault(broken[name], []).append(name)
    named = "; ".join(f"{', '.join(alike)}: {reason}" for reason, alike in names.items())
    more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    return f"{len(broken)} of {count} pictures cannot be read ({named}{more})"
