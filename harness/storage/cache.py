"""What the cache holds, and removing it: only what samebench has put there, and never through a link."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["downloads", "datasets", "weights", "certificates", "probes", "other"]
KINDS: tuple[Kind, ...] = ("downloads", "datasets", "weights", "certificates", "probes")
"""What can be removed. `other` is what samebench has not made: it is listed and left alone."""

WEIGHTS = "weights.safetensors"
"""The file that tells a folder of weights from one of a dataset."""

RECORDS = ("certificates", "probes")
"""Folders of small files, one for each thing that was computed."""

HASHED = re.compile(r"[0-9a-f]{64}\.json")
LOCK, PART = ".lock", ".part"
"""Names beside an entry. The lock shows that samebench made the entry. The folder for an unfinished entry remains only if
its process was killed."""


class Entry(NamedTuple):
    """One file or folder of the cache."""

    kind: Kind
    name: str
    """Its path below the cache."""

    bytes: int
    used: float
    """When it was last used, in seconds since 1970: the newest time at which the file system says that one of its files
    was read or written. Most systems note reading once a day, some never."""


def cache_entries(cache: Path) -> list[Entry]:
    """Everything in the cache, by kind and name. Links are listed as `other`, and nothing behind them is looked at."""
    found = [_entry(cache, kind, name) for kind, name in _named(cache)]
    order = {kind: place for place, kind in enumerate((*KINDS, "other"))}
    return sorted(found, key=lambda entry: (order[entry.kind], entry.name))


def chosen_entries(entries: Iterable[Entry], kinds: Collection[str], unused_since: float | None) -> list[Entry]:
    """Those of these kinds (of all kinds, if none is named) that were last used before this time."""
    wanted = kinds or KINDS
    return [
        entry
        for entry in entries
        if entry.kind in KINDS and entry.kind in wanted and (unused_since is None or entry.used < unused_since)
    ]


def remove_entry(cache: Path, entry: Entry) -> str | None:
    """Remove one entry; the reason if it stays. The folders on the way are opened one by one, and a link among them is
    an error: whatever happens to the cache meanwhile, nothing outside it is removed."""
    *folders, name = Path(entry.name).parts
    try:
        with _opened(cache, folders) as folder, _unused(folder, name, entry.kind):
            if _is_folder_in(folder, name):
                _remove_folder(folder, name)
            else:
                os.unlink(name, dir_fd=folder)
    except BlockingIOError:
        return "another process makes it at this moment"
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror or str(error)
    return None


def _is_folder_in(folder: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _remove_folder(folder: int, name: str) -> None:
    """Rename it first, to the name of what is being made: if the removal is cut short, no run takes the rest for whole."""
    part = f"{name.removesuffix(PART)}{PART}"
    if part != name:
        with suppress(FileNotFoundError):
            if _is_folder_in(folder, part):
                shutil.rmtree(part, dir_fd=folder)
        os.rename(name, part, src_dir_fd=folder, dst_dir_fd=folder)
    shutil.rmtree(part, dir_fd=folder)


def _named(cache: Path) -> Iterator[tuple[Kind, str]]:
    """The kind and the path of every entry."""
    for top in _inside(cache):
        if top.name == "downloads" and _is_folder(top):
            for owner in _inside(top):
                yield from _made(cache, owner, "downloads") if _is_folder(owner) else [_other(cache, owner)]
        elif top.name == "data" and _is_folder(top):
            yield from _made(cache, top, "datasets")
        elif top.name in RECORDS and _is_folder(top):
            yield from (_record(cache, top.name, file) for file in _inside(top))
        else:
            yield _other(cache, top)


def _made(cache: Path, folder: os.DirEntry[str], kind: Kind) -> Iterator[tuple[Kind, str]]:
    """The entries of a folder in which each has the lock of its maker beside it."""
    inside = {entry.name: entry for entry in _inside(folder)}
    for name, entry in inside.items():
        if name.endswith(LOCK) and _is_file(entry):
            continue
        is_kept = _is_folder(entry) if kind == "datasets" or name.endswith(PART) else _is_file(entry)
        if not (is_kept and f"{name.removesuffix(PART)}{LOCK}" in inside):
            yield _other(cache, entry)
        elif kind == "datasets" and Path(entry.path, WEIGHTS).is_file():
            yield "weights", _below(cache, entry)
        else:
            yield kind, _below(cache, entry)


def _record(cache: Path, kind: str, file: os.DirEntry[str]) -> tuple[Kind, str]:
    if HASHED.fullmatch(file.name) and _is_file(file):
        return ("certificates" if kind == "certificates" else "probes"), _below(cache, file)
    return _other(cache, file)


def _other(cache: Path, entry: os.DirEntry[str]) -> tuple[Kind, str]:
    return "other", _below(cache, entry)


def _entry(cache: Path, kind: Kind, name: str) -> Entry:
    sizes, times = [0], [0.0]
    for path in _files(cache / name):
        with suppress(OSError):  # removed meanwhile
            about = path.lstat()
            sizes.append(about.st_size)
            times.append(max(about.st_mtime, about.st_atime))
    return Entry(kind, name, sum(sizes), max(times))


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or every file of a folder; a link is a file."""
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for folder, folders, files in os.walk(path):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        yield from (Path(folder, name) for name in (*files, *links))


def _inside(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:  # no cache yet, or a folder that we may not read
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _is_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False)


def _below(cache: Path, entry: os.DirEntry[str]) -> str:
    return os.path.relpath(entry.path, cache)


@contextmanager
def _opened(cache: Path, folders: Iterable[str]) -> Iterator[int]:
    """The folder of an entry, as an open descriptor. Only the cache itself may be a link."""
    folder = os.open(cache, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in folders:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


@contextmanager
def _unused(folder: int, name: str, kind: Kind) -> Iterator[None]:
    """Hold the lock of an entry's maker; BlockingIOError if another process has it. The lock stays where it is: a process
    that waits for it would otherwise wait for a file that is gone, beside another one that has a new lock."""
    if kind in RECORDS:
        yield
        return
    lock = os.open(f"{name.removesuffix(PART)}{LOCK}", os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)
