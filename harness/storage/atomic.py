"""Files of a folder that others can write to as well.

Writing: a file is complete or absent, even if the process is killed or the disk is full, and nothing is written through a
link or a pipe in its place. Reading: only regular files of a limited size are read, so that reading never waits.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from harness.forms import containers_in

NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags that make a new file: a name that is taken, if only by a link, is an error."""

TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{12}\.samebench-part")
"""The name of a file that is being written. If its process is killed, the file stays."""

JSON_BYTES, JSON_DEPTH = 64 * 2**20, 100
"""No file that samebench writes is longer, or nested deeper."""


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, which takes its place once it is written and flushed to the disk."""
    part = path.with_name(f".{path.name}.{os.urandom(6).hex()}.samebench-part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | NEW, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def temporary_name(name: str) -> str | None:
    """The name of the file that a temporary file was to become; None if it is no temporary file of ours."""
    found = TEMPORARY.fullmatch(name)
    return found and found["name"]


def remove_temporary_files(folder: Path, names: tuple[str, ...]) -> None:
    """Remove the temporary files of killed processes in this folder, if they are for files whose names start like this."""
    with suppress(FileNotFoundError, PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            name = temporary_name(entry.name)
            if name and name.startswith(names) and entry.is_file(follow_symlinks=False):
                os.unlink(entry)


def is_real_folder(path: Path) -> bool:
    """Whether this is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def is_blocked(path: Path) -> bool:
    """Whether the path is taken by anything but a folder. A link to a folder counts as taken."""
    return os.path.lexists(path) and not is_real_folder(path)


def is_closed(path: Path) -> bool:
    """Whether this is a folder that we may not list, or not write to."""
    return is_real_folder(path) and not os.access(path, os.R_OK | os.W_OK | os.X_OK)


def free(path: Path) -> Path:
    """The same path with nothing in its place: a file or a link is removed, a folder is moved aside."""
    if is_real_folder(path):
        move_aside(path)
    else:
        path.unlink(missing_ok=True)
    return path


def move_aside(path: Path) -> Path:
    """Rename the file or folder, so that it can be inspected. An older file of the new name is replaced, a folder is not."""
    ending = ".json" if path.suffix == ".json" else ""
    names = (f"{path.name.removesuffix(ending)}.rejected{number or ''}{ending}" for number in count())
    for aside in map(path.with_name, names):
        if not (os.path.lexists(aside) and (is_real_folder(path) or is_real_folder(aside))):
            return path.rename(aside)
    raise AssertionError("there is always another name")


@contextmanager
def regular_file(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading. Raises OSError if it cannot be opened, ValueError if it is no regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path.name} is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file. Raises OSError if it cannot be opened, ValueError if it is no file or too long."""
    with regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ValueError(f"{path.name} has {size:,} bytes, and may have {limit:,}")
        return file.read(size)


def read_json(path: Path) -> Any:
    """The contents of a JSON file. Raises FileNotFoundError if there is no file, ValueError for every other problem."""
    try:
        text = read_file(path, JSON_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None
    try:
        data = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise ValueError(f"{path.name} is cut short or no JSON: {error}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{path.name} is nested too deep, or too large") from None
    if _is_deeper(data, JSON_DEPTH):
        raise ValueError(f"{path.name} is nested too deep: {JSON_DEPTH} levels are allowed")
    return data


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _is_deeper(data: Any, limit: int) -> bool:
    """Whether a value has more levels than this."""
    level = containers_in([[data]])
    for _ in range(limit):
        if not level:
            return False
        level = containers_in(level)
    return True
