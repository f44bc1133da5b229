"""Reads and writes files in folders that other users can write to.

Writing: a file is complete or absent, even if the process is killed or the disk is full. Links and pipes at its path are
replaced, never written to. Reading: only regular files of a limited size are read, so reading never blocks.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from harness.forms import Plain, is_too_large, parts_of

NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags for a new file: opening fails if anything has this name, even a link."""

TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{12}\.samebench-part")
"""The name of a file that is being written. If its process is killed, the file remains."""

JSON_BYTES, JSON_DEPTH = 64 * 2**20, 100
"""The maximum size and depth of JSON files. samebench writes no larger ones."""

DECODER = msgspec.json.Decoder(Plain)


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Write to a temporary file, which replaces `path` after it is written and flushed to the disk."""
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
    """The final name of a temporary file of samebench; None for other files."""
    found = TEMPORARY.fullmatch(name)
    return found and found["name"]


def remove_temporary_files(folder: Path, names: tuple[str, ...]) -> None:
    """Remove temporary files of killed processes from a folder, if their final names start with one of `names`."""
    with suppress(FileNotFoundError, PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            name = temporary_name(entry.name)
            if name and name.startswith(names) and entry.is_file(follow_symlinks=False):
                os.unlink(entry)


def is_real_folder(path: Path) -> bool:
    """Whether this is a folder, and not a link to a folder."""
    return path.is_dir() and not path.is_symlink()


def is_blocked(path: Path) -> bool:
    """Whether something other than a folder is at this path, such as a file or a link to a folder."""
    return os.path.lexists(path) and not is_real_folder(path)


def is_closed(path: Path) -> bool:
    """Whether this is a folder that this process cannot list or cannot write to."""
    return is_real_folder(path) and not os.access(path, os.R_OK | os.W_OK | os.X_OK)


def free(path: Path) -> Path:
    """Free a path, and return it: a file or a link is removed, a folder is renamed."""
    if is_real_folder(path):
        move_aside(path)
    else:
        path.unlink(missing_ok=True)
    return path


def move_aside(path: Path) -> Path:
    """Rename a file or folder, so that it can be inspected. The new name may replace an older file, but not a folder."""
    ending = ".json" if path.suffix == ".json" else ""
    names = (f"{path.name.removesuffix(ending)}.rejected{number or ''}{ending}" for number in count())
    for aside in map(path.with_name, names):
        if not (os.path.lexists(aside) and (is_real_folder(path) or is_real_folder(aside))):
            return path.rename(aside)
    raise AssertionError("the names never end")


@contextmanager
def regular_file(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading. Raises OSError if it cannot be opened, ValueError if it is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file. Raises OSError if it cannot be opened, ValueError if it is not a file or too large."""
    with regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ValueError(f"{path.name} has {size:,} bytes, more than the limit of {limit:,}")
        return file.read(size)


def read_json(path: Path) -> Any:
    """The contents of a JSON file. Raises FileNotFoundError if there is no file, ValueError for every other problem."""
    return parse_json(read_text(path), path.name)


def read_text(path: Path) -> bytes:
    """The bytes of a JSON file. Raises FileNotFoundError if there is no file, ValueError if it cannot be read."""
    try:
        return read_file(path, JSON_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None


def parse_json(text: bytes, name: str) -> Any:
    """The value of a JSON text; `name` says in errors what has this text. Raises ValueError if it is not JSON, is nested too
    deeply, or has a whole number that is too large."""
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError):
        return _parse_slowly(text, name)


def _parse_slowly(text: bytes, name: str) -> Any:
    """`parse_json` for texts that msgspec or the type `Plain` refuses: they are wrong, deep, or have half of a surrogate pair, as
    the names of some files do."""
    try:
        data = json.loads(text.decode("utf-8", "surrogatepass"), parse_constant=_refuse)
    except ValueError as error:
        raise ValueError(f"{name} is incomplete or not JSON: {error}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{name} is nested too deeply, or too large") from None
    if _is_deeper(data, JSON_DEPTH):
        raise ValueError(f"{name} is nested too deeply: at most {JSON_DEPTH} levels are allowed")
    for path, value in parts_of(data):
        if is_too_large(value):
            raise ValueError(f"{name}: {path or 'its number'} is too large: whole numbers are smaller than 2**63")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: {path or 'its number'} is too large for a number")
    return data


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _is_deeper(data: Any, limit: int) -> bool:
    """Whether a value has more than `limit` levels of objects and lists."""
    level = _containers([data])
    for _ in range(limit):
        level = [part for value in level for part in _containers(value.values() if type(value) is dict else value)]
    return bool(level)


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if type(value) is dict or type(value) is list]
