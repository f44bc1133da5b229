"""The lock of a run's folder. One process holds it. The system releases it when the process ends or is killed."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import UsageError
from harness.storage.atomic import read_file
from harness.text import printable

LOCK, OWNER = ".lock", "process "
"""The name of the lock file, and the start of its text while a process holds it."""

LENGTH = 400
FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder for this process alone, or raise UsageError."""
    lock = _open(folder / LOCK)
    try:
        os.ftruncate(lock, 0)
        os.write(lock, f"{OWNER}{os.getpid()} on {socket.gethostname()}\n".encode())
        yield
        os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def is_lock(path: Path) -> bool:
    """Whether this file is the lock of a run."""
    if path.name != LOCK or path.is_symlink():
        return False
    with suppress(OSError, ValueError):
        text = read_file(path, LENGTH)
        return text.startswith(OWNER.encode()) or OWNER.encode().startswith(text)  # cut short by a full disk
    return False


def _open(path: Path) -> int:
    """The lock file, open and locked. A hard link to another file is removed, and a new lock file is made."""
    while True:
        lock = _open_regular(path)
        try:
            _hold(lock, path.parent)
            status = os.fstat(lock)
            if status.st_nlink == 1 and os.path.samestat(status, os.lstat(path)):
                return lock
            if status.st_nlink > 1:
                path.unlink()
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _open_regular(path: Path) -> int:
    try:
        lock = os.open(path, FLAGS, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _not_ours(path) from None
        raise
    if not stat.S_ISREG(os.fstat(lock).st_mode):
        os.close(lock)
        raise _not_ours(path)
    return lock


def _hold(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = printable(os.pread(lock, LENGTH, 0).decode(errors="replace").strip())
        raise UsageError(
            f"{folder} is in use by {owner}: wait until it ends, or choose another --out", code="in-use"
        ) from None


def _not_ours(path: Path) -> UsageError:
    return UsageError(
        f"{path} is a link or not a regular file, and samebench does not write to it: remove it, or choose another --out",
        code="not-a-regular-file",
    )
