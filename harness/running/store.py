"""A run as a folder of plain files: RUN/run.json, RUN/certificates/, RUN/cells/KEY/{cell.json, result.json,
log.txt}.

A file is written beside its place, flushed to the disk and renamed, so that it is there whole or not at all. Results
and certificates carry a hash of what they say: one that has been damaged since is set aside, never used.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.judgements import PICTURES as PICTURES
from harness.places import hash_of
from harness.result import SCHEMA, Cell, Result, digest
from harness.spec import Array
from harness.whole import written_whole

SEAL = "sha256"
ARTIFACTS = "artifacts"
"""The folder of what a cell makes."""


def write_json(path: Path, data: Any) -> None:
    """Write a file whole or not at all. Numbers that are not finite become words, for which JSON has no others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_in_words(data), indent=1, allow_nan=False)
    with written_whole(path) as file:
        file.write(text.encode())


def write_sealed(path: Path, data: Mapping[str, Any]) -> None:
    """Write an object with a hash of what it says."""
    plain = _in_words(data)
    write_json(path, plain | {SEAL: digest(plain)})


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by their names, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        np.savez_compressed(file, **dict[str, Any](arrays))


def read_arrays(path: Path) -> dict[str, Array]:
    """The inverse of `write_arrays`."""
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def read_sealed(path: Path) -> dict[str, Any]:
    """The inverse of `write_sealed`; raises ValueError if the file is damaged, OSError if it is not there."""
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path.name} is cut short or no JSON: {error}") from None
    if not isinstance(data, dict) or data.pop(SEAL, None) != digest(data):
        raise ValueError(f"{path.name} does not hold what was written: its hash is another one")
    return data


def _in_words(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return repr(data)
    if isinstance(data, Mapping):
        return {key: _in_words(value) for key, value in data.items()}
    return [_in_words(value) for value in data] if isinstance(data, list | tuple) else data


class Store:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: Path) -> Store:
        """An existing run."""
        store = cls(folder)
        if not store.exists:
            raise UsageError(f"{folder} is not a run: there is no run.json in it")
        return store

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone. The lock goes with the process, even if it is killed."""
        if not self.exists and self.folder.is_dir() and any(self.folder.iterdir()):
            raise UsageError(f"{self.folder} holds other things and no run: choose a new folder")
        path = self.folder / ".lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = path.open("a+")
        except OSError as error:
            raise UsageError(f"no run can be kept in {self.folder}: {error.strerror}: choose another --out") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise UsageError(
                    f"{self.folder} is in use by {lock.read().strip()}: wait until it ends, or choose another --out"
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            lock.flush()
            self._clean_up()
            yield
            lock.truncate(0)

    def _clean_up(self) -> None:
        """Remove what a killed process had begun to write."""
        for kind in ("json", "npz", "safetensors"):
            for leftover in self.folder.rglob(f".*.{kind}.*"):
                leftover.unlink(missing_ok=True)

    @property
    def exists(self) -> bool:
        return (self.folder / "run.json").exists()

    @property
    def run(self) -> dict[str, Any]:
        """What is said of the run as a whole."""
        try:
            data: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
            schema = data["schema"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{self.folder}/run.json cannot be read: {error!r}: choose another folder") from None
        if schema > SCHEMA:
            raise UsageError(
                f"{self.folder} was written by a newer samebench (schema {schema}; this one reads {SCHEMA}): "
                "update samebench"
            )
        return data

    def save_run(self, data: dict[str, Any]) -> None:
        write_json(self.folder / "run.json", {"schema": SCHEMA} | data)

    def cell_folder(self, cell: Cell) -> Path:
        return self.folder / "cells" / cell.key

    def artifacts(self, cell: Cell) -> Path:
        """The folder for what the cell makes."""
        return self.cell_folder(cell) / ARTIFACTS

    def save(self, result: Result) -> None:
        write_sealed(self.cell_folder(result.cell) / "result.json", result.as_json())

    def save_certificate(self, subject: str, certificate: dict[str, Any]) -> None:
        write_sealed(self.folder / "certificates" / f"{subject}.json", certificate)

    def certificate(self, cell: Cell) -> dict[str, Any] | None:
        """The certificate of what the cell runs, whatever its seed."""
        try:
            return read_sealed(self.folder / "certificates" / f"{cell.subject}.json")
        except (OSError, ValueError):
            return None

    @property
    def judgements(self) -> Path:
        """The folder of what others say of the pictures that cells have made."""
        return self.folder / "judgements"

    def maps_file(self, result: Result) -> Path:
        """The file for what the network sees in the pictures of a cell: named by them, as the cell may make others."""
        pictures = result.artifacts[PICTURES].partition(":")[2]
        return self.judgements / f"{result.cell.experiment}.{pictures[:10]}.npz"

    def judged(self) -> dict[str, Any]:
        """What is kept of every case."""
        names = [path.stem for path in sorted(self.judgements.glob("*.json"))]
        return {name: said for name in names if (said := self.judgement(name))}

    def pictures(self, result: Result) -> dict[str, Array]:
        """What the cell has made; raises LookupError if it has made none, or if they are no longer those."""
        file, wanted = self.artifacts(result.cell) / PICTURES, result.artifacts.get(PICTURES)
        if not wanted or not file.is_file() or hash_of(file, wanted) != wanted:
            raise LookupError(f"{result.cell.key} has kept no pictures")
        return read_arrays(file)

    def feature_maps(self, result: Result) -> dict[str, Array]:
        """What the network sees in one of the pictures; raises LookupError if that is not known."""
        if PICTURES not in result.artifacts or not (file := self.maps_file(result)).is_file():
            raise LookupError(f"nothing is known of what the network sees in pictures of {result.cell.key}")
        return read_arrays(file)

    def save_judgement(self, case: str, said: Mapping[str, Any]) -> None:
        write_sealed(self.judgements / f"{case}.json", said)

    def judgement(self, case: str) -> dict[str, Any] | None:
        try:
            return read_sealed(self.judgements / f"{case}.json")
        except (OSError, ValueError):
            return None

    def load(self, cell: Cell) -> Result | None:
        """The result of a cell with its certificate; None if it has none yet. Raises ValueError if it is damaged."""
        try:
            result = Result.from_json(read_sealed(self.cell_folder(cell) / "result.json"))
        except FileNotFoundError:
            return None
        if result.cell.key != cell.key:
            raise ValueError("result.json is about another cell")
        result.parity = self.certificate(cell) or result.parity
        return result

    def set_aside(self, cell: Cell) -> None:
        """Keep a file that is no valid result as evidence, out of the way."""
        file = self.cell_folder(cell) / "result.json"
        with contextlib.suppress(FileNotFoundError):
            file.rename(file.with_name("result.rejected.json"))

    def plan(self) -> list[Cell]:
        """Every cell that was ever asked of this run."""
        return [Cell(**data) for data in self.run["plan"]]

    def results(self) -> Iterator[Result]:
        """A result for every cell of the run, in the order of its plan; also for one that is not there."""
        for cell in self.plan():
            try:
                yield self.load(cell) or Result(
                    cell, "interrupted", "not done: the run was stopped before, or is still at it"
                )
            except ValueError as error:
                yield Result(cell, "invalid", f"its stored result cannot be used: {error}")
