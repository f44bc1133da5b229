"""Unpacks archives that may be hostile: the whole archive is checked before anything is written."""

from __future__ import annotations

import errno
import gzip
import lzma
import posixpath
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from harness.errors import DataError

EXPANSION = 1000
"""Maximum size of the contents, as a multiple of the size of the archive. Pictures hardly compress: only a decompression
bomb grows more than this."""

FAULTS = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError,
    RuntimeError,  # encrypted, or an unsupported compression
    ValueError, OverflowError, struct.error,  # sizes and times that make no sense
)  # fmt: skip

OF_ARCHIVES = (None, errno.EINVAL, errno.ENAMETOOLONG)
"""Errors of the system that an archive causes, by places and names that make no sense."""


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of a .zip or .tar archive, compressed or not, into a folder.

    Raises DataError, and writes nothing, if a name leads out of the folder or occurs twice, if there is anything but files
    and folders (links, devices), or if the contents are too large for the archive.
    """
    try:
        with _opened(archive) as opened:
            for member in _checked(archive, _members(archive, opened)):
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                source = member.open()
                if source is None:
                    raise DataError(f"{archive}: {member.name!r} has no contents; get it again", code="unreadable-file")
                with source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
    except FAULTS as error:
        raise _damaged(archive, error) from None
    except OSError as error:
        if error.errno in OF_ARCHIVES:  # decompressors give no number
            raise _damaged(archive, error) from None
        raise


def _damaged(archive: Path, error: Exception) -> DataError:
    return DataError(
        f"{archive} is damaged or not an archive: {type(error).__name__}: {error}; remove it and get it again",
        code="unreadable-file",
    )


def _checked(archive: Path, members: Iterator[Member]) -> list[Member]:
    """All members. Raises DataError unless all of them are harmless."""
    checked: dict[str, Member] = {}
    limit, size = archive.stat().st_size * EXPANSION, 0
    for member in members:
        name = posixpath.normpath(member.name)
        if "\\" in name or "\0" in name or posixpath.isabs(name) or ".." in member.name.split("/"):
            raise DataError(
                f"{archive} is refused: the name {member.name!r} leads out of the folder; get it from its publisher",
                code="unsafe-file",
            )
        if name == ".":
            raise DataError(
                f"{archive} is refused: a file in it has the name {member.name!r}; get it from its publisher",
                code="unsafe-file",
            )
        if name in checked:
            raise DataError(
                f"{archive} is refused: it has the name {member.name!r} twice; get it from its publisher",
                code="name-taken",
            )
        size += member.size
        if size > limit:
            raise DataError(
                f"{archive} is refused: it would grow from {archive.stat().st_size:,} to more than {limit:,} bytes; get it from its publisher",
                code="unsafe-file",
            )
        checked[name] = member._replace(name=name)
    return list(checked.values())


def _opened(archive: Path) -> zipfile.ZipFile | tarfile.TarFile:
    return zipfile.ZipFile(archive) if zipfile.is_zipfile(archive) else tarfile.TarFile.open(archive)


def _members(archive: Path, opened: zipfile.ZipFile | tarfile.TarFile) -> Iterator[Member]:
    """All files. Raises DataError for anything that is neither a file nor a folder."""
    if isinstance(opened, tarfile.TarFile):
        for entry in opened:
            if entry.isfile():
                yield Member(entry.name, entry.size, partial(opened.extractfile, entry))
            elif not entry.isdir():
                raise _neither(archive, entry.name)
    else:
        for info in opened.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _neither(archive, info.filename)
            if not info.filename.endswith("/"):
                yield Member(info.filename, info.file_size, partial(opened.open, info))


def _neither(archive: Path, name: str) -> DataError:
    return DataError(
        f"{archive} is refused: {name!r} is a link or a device, and only files and folders are allowed; get it from its publisher",
        code="not-a-regular-file",
    )
