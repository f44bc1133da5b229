"""Files of a folder that others can write to as well.

Writing: a file is there whole or not at all, whatever becomes of the process or the disk meanwhile, and a link, a pipe or
a folder in its place is never written through. Reading: it never waits, and takes regular files of a limited size only.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

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
    """Remove what killed processes had begun to write into this folder: temporary files for names that start like this."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            name = temporary_name(entry.name)
            if name and name.startswith(names) and entry.is_file(follow_symlinks=False):
                os.unlink(entry)


def is_real_folder(path: Path) -> bool:
    """Whether this is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def is_blocked(path: Path) -> bool:
    """Whether something else than a folder lies where a folder is to be: a link to one is something else."""
    return os.path.lexists(path) and not is_real_folder(path)


def free(path: Path) -> Path:
    """The same path with nothing in its place: a file or a link is removed, a folder is moved aside."""
    if is_real_folder(path):
        move_aside(path)
    else:
        path.unlink(missing_ok=True)
    return path


def move_aside(path: Path) -> Path:
    """Rename what is in the way, so that it can be looked at. A file of the same new name is replaced, a folder is not."""
    ending = ".json" if path.suffix == ".json" else ""
    names = (f"{path.name.removesuffix(ending)}.rejected{number or ''}{ending}" for number in count())
    for aside in map(path.with_name, names):
        if not (os.path.lexists(aside) and (is_real_folder(path) or is_real_folder(aside))):
            return path.rename(aside)
    raise AssertionError("there is always another name")


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file. Raises OSError if it cannot be opened, ValueError if it is no file or too long."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.name} is no regular file")
        if status.st_size > limit:
            raise ValueError(f"{path.name} has {status.st_size:,} bytes, and may have {limit:,}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """What a file of JSON says. Raises FileNotFoundError if there is no file, ValueError for whatever else is wrong."""
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
    level = [data]
    for _ in range(limit):
        level = [part for value in level for part in _parts(value)]
        if not level:
            return False
    return True


def _parts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()
