"""The trained networks in a run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from harness.errors import DataError, UsageError
from harness.pretrained.entries import FILE
from harness.running.store import Store
from harness.storage.places import file_hash


class Kept(NamedTuple):
    """A file of trained weights, and the backend that has trained them."""

    file: Path
    backend: str


def trained_in(folder: Path, task: str | None) -> Kept:
    """The first trained network in a run, of `task` or of any task. Raises DataError if its file has changed."""
    store = Store.open(folder)
    good = [result for result in store.results() if result.status == "ok" and FILE in result.artifacts]
    chosen = [result for result in good if task in (None, result.cell.task)]
    if not chosen:
        tasks = ", ".join(dict.fromkeys(result.cell.task for result in good))
        raise UsageError(
            f"{folder} has no trained network"
            + (f" of {task}: choose from {tasks}" if tasks else ": give another run"),
            code="not-found",
        )
    file = store.artifacts(chosen[0].cell) / FILE
    wanted = chosen[0].artifacts[FILE]
    if not file.is_file() or file_hash(file, wanted) != wanted:
        raise DataError(
            f"{file} is missing or has changed: its hash must be {wanted}; run the cell again", code="wrong-hash"
        )
    return Kept(file, chosen[0].cell.backend)
