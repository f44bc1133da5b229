"""The places of data: the user's data folder, the cache, and the network.

All processes of a run use the same places. A cache entry is made in a temporary folder, by one process at a time, and
renamed when it is complete. So a killed process never leaves an entry that looks complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from harness.errors import DataError
from harness.storage.archives import unpack
from harness.text import format_bytes

ATTEMPTS = 3
PAUSE = 1.0
"""Seconds before the first new attempt of a download. They double after each failure."""

CONNECT, READ = 4.0, 30.0
"""Timeouts in seconds: for a connection, and for the next bytes of a download."""

SLOWEST, WINDOW = 1000, 30.0
"""A download must bring this many bytes in a second, on average over a window of this many seconds. A server could send a byte now
and then, for ever."""

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Download:
    """A published file of a dataset or of weights."""

    owner: str
    """The name of the dataset or of the weights."""

    url: str
    hash: str
    """The hash of the whole file: md5:... or sha256:..."""

    kind: Literal["dataset", "weights"] = "dataset"
    size: int | None = None
    """Bytes, as the publisher's server gives them. Only forecasts use it; the hash decides whether the file is right."""

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Places:
    """The folders of a user on a machine, and whether the network may be used."""

    data: Path | None
    cache: Path
    offline: bool = False

    @classmethod
    def from_environment(cls) -> Places:
        """The places from SAMEBENCH_DATA_DIR, SAMEBENCH_CACHE_DIR and SAMEBENCH_OFFLINE."""
        data, cache = os.environ.get("SAMEBENCH_DATA_DIR"), os.environ.get("SAMEBENCH_CACHE_DIR")
        return cls(
            Path(os.path.expanduser(data)).absolute() if data else None,
            Path(os.path.expanduser(cache)).absolute() if cache else _usual_cache(),
            os.environ.get("SAMEBENCH_OFFLINE", "") not in ("", "0"),
        )

    def find(self, *candidates: str) -> Path | None:
        """The first of these paths that exists. They are relative to the user's data folder, or absolute."""
        if self.data and not self.data.is_dir():
            raise DataError(
                f"the data folder {self.data} does not exist; create it, or unset SAMEBENCH_DATA_DIR", code="not-found"
            )
        paths = (Path(self.data or "", name) for name in candidates if self.data or os.path.isabs(name))
        return next((path for path in paths if path.exists()), None)

    def fetch(self, download: Download) -> Path:
        """The file with the published hash: from the data folder, the cache, or else the network."""
        inside = f"{download.owner}/{download.file}"
        kept, (here, wrong) = self.cache / "downloads" / inside, self.look_for(download)
        if here:
            return here
        target = kept if self.data is None else self.data / inside
        by_hand = f"Put it into {target.parent}, or run this command on a machine with a network: "
        by_hand += f"samebench prepare --{download.kind} {download.owner}"
        missing = f"{download.owner} needs {download.file} ({download.hash}), which is missing"
        if self.offline:
            raise DataError(
                f"{missing}, and SAMEBENCH_OFFLINE forbids downloads{wrong}. {by_hand}", code="not-downloaded"
            )
        if reason := _unreachable(download.url):
            raise DataError(
                f"{missing}, and {download.url} cannot be reached: {reason}{wrong}. {by_hand}", code="not-downloaded"
            )
        with _making(kept) as part:
            if not (kept.is_file() and file_hash(kept, download.hash) == download.hash):  # another process was first
                try:
                    _download(download, part).replace(kept)
                except (OSError, ValueError) as error:
                    raise DataError(
                        f"{missing}; {ATTEMPTS} downloads of {download.url} failed, the last with: {error}{wrong}. {by_hand}",
                        code="not-downloaded",
                    ) from error
        return kept

    def look_for(self, download: Download) -> tuple[Path | None, str]:
        """The file, if it is in the data folder or the cache, and a text about files of its name with another content."""
        inside, wrong = f"{download.owner}/{download.file}", ""
        for path in (self.find(download.file), self.find(inside), self.cache / "downloads" / inside):
            if path and path.is_file():
                if (actual := file_hash(path, download.hash)) == download.hash:
                    return path, ""
                wrong += f"; {path} is a different file: its hash is {actual}"
        return None, wrong

    def keep(self, key: str, fill: Callable[[Path], None], size: int | None = None) -> Path:
        """The folder of `key` in the cache. The first process that needs it fills it. `size` is roughly its number of bytes,
        if known: `run --dry-run` shows it."""
        folder = self.cache / "data" / key
        if not folder.is_dir():
            with _making(folder) as part:
                if not folder.is_dir():
                    _check_room(part, size or 0)
                    fill(part)
                    part.rename(folder)
        return folder

    def unpacked(self, *downloads: Download) -> Path:
        """A folder in the cache with the contents of archives. They are downloaded only if it does not exist."""

        def fill(folder: Path) -> None:
            for download in downloads:
                unpack(self.fetch(download), folder)

        return self.keep(self.unpacked_key(*downloads), fill)

    def unpacked_key(self, *downloads: Download) -> str:
        """The name of the folder of these archives in the cache."""
        hashes = hashlib.sha256("".join(download.hash for download in downloads).encode()).hexdigest()
        return f"{downloads[0].owner}-unpacked-{hashes[:16]}"


def file_hash(path: Path, like: str) -> str:
    """The hash of a file, by the algorithm of the hash `like`, such as md5:..."""
    algorithm = like.partition(":")[0]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{digest.hexdigest()}"


def _usual_cache() -> Path:
    """The user's cache folder, or a temporary folder if it cannot be written."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "samebench"
    there = next((folder for folder in (usual, *usual.parents) if folder.exists()), None)
    if usual.is_absolute() and there and os.access(there, os.W_OK | os.X_OK):
        return usual
    return Path(tempfile.gettempdir()) / f"samebench-{os.getuid()}"


@contextmanager
def _making(target: Path) -> Iterator[Path]:
    """An empty temporary folder for making `target`, for one process at a time. The system frees the lock of a killed
    process, and the files that it left are removed."""
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f"{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            try:
                yield part
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error}; free some space, or set SAMEBENCH_CACHE_DIR to another folder",
            code="not-writable",
        ) from error


def _check_room(folder: Path, size: int) -> None:
    """Raise DataError if the disk of a folder has no room for so many bytes."""
    if size > (free := shutil.disk_usage(folder).free):
        raise DataError(
            f"{folder} needs {format_bytes(size)}, and its disk has {format_bytes(free)} left; choose fewer or smaller pictures, free "
            "some space, or set SAMEBENCH_CACHE_DIR to another folder",
            code="not-writable",
        )


def _download(download: Download, folder: Path) -> Path:
    """Download a file into `folder`. Its hash is checked before it gets its name."""
    import pooch

    pooch.get_logger().setLevel(logging.CRITICAL)
    downloader = pooch.HTTPDownloader(timeout=(CONNECT, READ))

    def attempt() -> Path:
        return Path(pooch.retrieve(download.url, download.hash, download.file, folder, downloader=downloader))

    for failed in range(ATTEMPTS - 1):
        try:
            return _while_it_grows(folder, attempt)
        except (OSError, ValueError):
            time.sleep(PAUSE * 2**failed)
    return _while_it_grows(folder, attempt)


def _while_it_grows(folder: Path, attempt: Callable[[], Path]) -> Path:
    """The result of `attempt`, which downloads into a folder. Raises TimeoutError if it brings too few bytes. Then its thread goes on
    until the process ends."""
    outcome: list[Path | BaseException] = []

    def run() -> None:
        try:
            outcome.append(attempt())
        except BaseException as error:
            outcome.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    size, deadline = 0, time.monotonic() + WINDOW
    while thread.is_alive():
        thread.join(0.1)
        now = _size_of(folder)
        if now - size >= SLOWEST * WINDOW:
            size, deadline = now, time.monotonic() + WINDOW
        elif thread.is_alive() and time.monotonic() > deadline:
            raise TimeoutError(f"the server sent less than {SLOWEST:,} bytes in a second for {WINDOW:g} seconds")
    [found] = outcome
    if isinstance(found, BaseException):
        raise found
    return found


def _size_of(folder: Path) -> int:
    """The bytes of all files in a folder. Some of them may vanish meanwhile."""
    size = 0
    for file in folder.iterdir():
        with suppress(OSError):
            size += file.stat().st_size
    return size


def _unreachable(url: str) -> str | None:
    """The reason why the server of `url`, or the proxy, does not accept a connection; None if it does. There is no second
    attempt. A thread connects, because the look-up of an address may take minutes without a network."""
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    try:
        server = urlsplit(proxy if proxy and "://" in proxy else f"http://{proxy}" if proxy else url)
        address = (server.hostname or "", server.port or PORTS.get(server.scheme, 1080))
    except ValueError as error:  # such as a port that is not a number
        return f"{f'the proxy {proxy!r}' if proxy else url} is not an address: {error}"
    if not address[0]:
        return f"{f'the proxy {proxy!r}' if proxy else url} names no server"
    outcome: list[str | None] = []

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=CONNECT).close()
            outcome.append(None)
        except (OSError, ValueError) as error:
            outcome.append(str(error))

    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT)
    return outcome[0] if outcome else f"{address[0]} did not answer within {CONNECT:g} seconds"
