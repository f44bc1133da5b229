"""Where data comes from and where what was made of it is kept: the user's folder, the cache, the network.

Every process of a run looks in the same places. What goes into the cache is made in a folder beside its place, by one
process at a time, and renamed when it is whole: a process that is killed leaves nothing that looks finished.
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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from harness.errors import DataError
from harness.storage.archives import unpack

ATTEMPTS = 3
PAUSE = 1.0
"""Seconds before a download is tried again; after each failure twice as long."""

CONNECT, READ = 4.0, 30.0
"""Seconds to wait for a connection, and for the next bytes of a download."""

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Download:
    """A file that a data set is made of, or that has weights, as its publisher offers it."""

    owner: str
    """The name of the data set or of the weights."""

    url: str
    hash: str
    """md5:... or sha256:... of the whole file."""

    kind: Literal["dataset", "weights"] = "dataset"
    size: int | None = None
    """Bytes, as the publisher's server gives them. Only forecasts use it; the hash decides whether the file is right."""

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Places:
    """The folders of one user on one machine, and whether the network may be used."""

    data: Path | None
    cache: Path
    offline: bool = False

    @classmethod
    def from_environment(cls) -> Places:
        """As SAMEBENCH_DATA_DIR, SAMEBENCH_CACHE_DIR and SAMEBENCH_OFFLINE say."""
        data, cache = os.environ.get("SAMEBENCH_DATA_DIR"), os.environ.get("SAMEBENCH_CACHE_DIR")
        return cls(
            Path(data).expanduser().absolute() if data else None,
            Path(cache).expanduser().absolute() if cache else _usual_cache(),
            os.environ.get("SAMEBENCH_OFFLINE", "") not in ("", "0"),
        )

    def find(self, *candidates: str) -> Path | None:
        """The first of these paths that exists in the user's data folder; an absolute one may be anywhere."""
        if self.data and not self.data.is_dir():
            raise DataError(f"the data folder {self.data} is not there; make it, or unset SAMEBENCH_DATA_DIR")
        paths = (Path(self.data or "", name) for name in candidates if self.data or os.path.isabs(name))
        return next((path for path in paths if path.exists()), None)

    def fetch(self, download: Download) -> Path:
        """A file whose hash is right: from the data folder, from the cache, or else from the network."""
        inside = f"{download.owner}/{download.file}"
        kept, (here, wrong) = self.cache / "downloads" / inside, self.look_for(download)
        if here:
            return here
        target = kept if self.data is None else self.data / inside
        by_hand = f"Put it into {target.parent}, or run where there is a network: "
        by_hand += f"samebench prepare --{download.kind} {download.owner}"
        missing = f"{download.owner} needs {download.file} ({download.hash}), which is not here"
        if self.offline:
            raise DataError(f"{missing}, and SAMEBENCH_OFFLINE forbids to fetch it{wrong}. {by_hand}")
        if reason := _unreachable(download.url):
            raise DataError(f"{missing}, and there is no way to {download.url}: {reason}{wrong}. {by_hand}")
        with _making(kept) as part:
            if not (kept.is_file() and file_hash(kept, download.hash) == download.hash):  # another process was first
                try:
                    _download(download, part).replace(kept)
                except (OSError, ValueError) as error:
                    raise DataError(
                        f"{missing}; {download.url} was tried {ATTEMPTS} times, and at last: {error}{wrong}. {by_hand}"
                    ) from error
        return kept

    def look_for(self, download: Download) -> tuple[Path | None, str]:
        """The file, if it is in the data folder or the cache; and what is said of files of its name with other contents."""
        inside, wrong = f"{download.owner}/{download.file}", ""
        for path in (self.find(download.file), self.find(inside), self.cache / "downloads" / inside):
            if path and path.is_file():
                if (got := file_hash(path, download.hash)) == download.hash:
                    return path, ""
                wrong += f"; {path} is another file: its hash is {got}"
        return None, wrong

    def keep(self, key: str, fill: Callable[[Path], None], size: int | None = None) -> Path:
        """A folder of the cache, filled the first time that anybody asks for `key`, and the same for everybody. `size` is
        about how many bytes it will hold, where that is known: `run --dry-run` tells it."""
        folder = self.cache / "data" / key
        if not folder.is_dir():
            with _making(folder) as part:
                if not folder.is_dir():
                    fill(part)
                    part.rename(folder)
        return folder

    def unpacked(self, *downloads: Download) -> Path:
        """A folder with the contents of archives, which are fetched only if it has to be made."""

        def fill(folder: Path) -> None:
            for download in downloads:
                unpack(self.fetch(download), folder)

        return self.keep(self.unpacked_key(*downloads), fill)

    def unpacked_key(self, *downloads: Download) -> str:
        """The name of the folder of these archives in the cache."""
        hashes = hashlib.sha256("".join(download.hash for download in downloads).encode()).hexdigest()
        return f"{downloads[0].owner}-unpacked-{hashes[:16]}"


def file_hash(path: Path, like: str) -> str:
    """The hash of a file, by the algorithm of another one such as md5:..."""
    algorithm = like.partition(":")[0]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{digest.hexdigest()}"


def _usual_cache() -> Path:
    """The user's cache folder, or one among the temporary files where that cannot be written."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "samebench"
    there = next((folder for folder in (usual, *usual.parents) if folder.exists()), None)
    if usual.is_absolute() and there and os.access(there, os.W_OK | os.X_OK):
        return usual
    return Path(tempfile.gettempdir()) / f"samebench-{os.getuid()}"


@contextmanager
def _making(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, to make it in. One process at a time has it: the system frees the lock of one
    that is killed, and what that left behind is removed here."""
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
            f"{target} cannot be made: {error}; free some room there, or set SAMEBENCH_CACHE_DIR to another folder"
        ) from error


def _download(download: Download, folder: Path) -> Path:
    """The file in `folder`, its hash checked before it gets its name."""
    import pooch

    pooch.get_logger().setLevel(logging.CRITICAL)
    downloader = pooch.HTTPDownloader(timeout=(CONNECT, READ))

    def attempt() -> Path:
        return Path(pooch.retrieve(download.url, download.hash, download.file, folder, downloader=downloader))

    for failed in range(ATTEMPTS - 1):
        try:
            return attempt()
        except (OSError, ValueError):
            time.sleep(PAUSE * 2**failed)
    return attempt()


def _unreachable(url: str) -> str | None:
    """Why nobody can be connected to in order to fetch `url`. Told apart from a failing download because it is
    final, and in a thread because asking for a machine's address may take minutes where there is no network."""
    wanted = urlsplit(url)
    proxy = None if proxy_bypass(wanted.hostname or "") else getproxies().get(wanted.scheme)
    server = urlsplit(proxy if proxy and "://" in proxy else f"http://{proxy}" if proxy else url)
    address = (server.hostname or "", server.port or PORTS.get(server.scheme, 1080))
    said: list[str | None] = []

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=CONNECT).close()
            said.append(None)
        except OSError as error:
            said.append(str(error))

    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT)
    return said[0] if said else f"{address[0]} did not answer within {CONNECT:g} seconds"
