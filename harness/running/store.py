"""A run as a folder of plain files: RUN/run.json, RUN/certificates/, RUN/cells/KEY/{cell.json, result.json,
log.txt}.

A file is written beside its place, flushed to the disk and renamed, so that it is there whole or not at all.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.result import SCHEMA, Cell, Result


def write_json(path: Path, data: Any) -> None:
    """Write a file whole or not at all. Numbers that are not finite become words, for which JSON has no others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        json.dump(_in_words(data), file, indent=1, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def _in_words(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return repr(data)
    if isinstance(data, dict):
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
        if (schema := store.run["schema"]) > SCHEMA:
            raise UsageError(
                f"{folder} was written by a newer samebench (schema {schema}; this one reads {SCHEMA}): update samebench"
            )
        return store

    @property
    def exists(self) -> bool:
        return (self.folder / "run.json").exists()

    @property
    def run(self) -> dict[str, Any]:
        """What is said of the run as a whole."""
        data: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return data

    def save_run(self, data: dict[str, Any]) -> None:
        write_json(self.folder / "run.json", {"schema": SCHEMA} | data)

    def cell_folder(self, cell: Cell) -> Path:
        return self.folder / "cells" / cell.key

    def save(self, result: Result) -> None:
        write_json(self.cell_folder(result.cell) / "result.json", result.as_json())

    def save_certificate(self, subject: str, certificate: dict[str, Any]) -> None:
        write_json(self.folder / "certificates" / f"{subject}.json", certificate)

    def certificate(self, cell: Cell) -> dict[str, Any] | None:
        """The certificate of what the cell runs, whatever its seed."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "certificates" / f"{cell.subject}.json").read_text())
        except (OSError, ValueError):
            return None
        return found

    def load(self, cell: Cell) -> Result | None:
        """The finished result of a cell, if there is a valid one, with its certificate."""
        try:
            result = Result.from_json(json.loads((self.cell_folder(cell) / "result.json").read_text()))
        except (OSError, ValueError):
            return None
        if result.cell.key != cell.key:
            return None
        result.parity = self.certificate(cell) or result.parity
        return result

    def plan(self) -> list[Cell]:
        """Every cell that was ever asked of this run."""
        return [Cell(**data) for data in self.run["plan"]]

    def results(self) -> Iterator[Result]:
        """Every result of the run, in the order of its plan."""
        for cell in self.plan():
            if result := self.load(cell):
                yield result
