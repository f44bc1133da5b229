"""A run as a folder of plain files: RUN/run.json, RUN/certificates/, RUN/judgements/, RUN/cells/KEY/{cell.json,
result.json, log.txt, artifacts/}.

A file is written under a temporary name, flushed to the disk and renamed, so it is never incomplete. Results, certificates
and judgements carry a hash of their contents. A damaged file is not used.

The folder may come from a stranger, and a cell may leave any file in it. Therefore nothing is written through a link, every
name is checked before it becomes a path, and every file is checked when it is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from harness.errors import FULL_DISK, UsageError
from harness.forms import case_problems, certificate_problems, is_plain_name, problems
from harness.metric import Metric
from harness.report.declared import declared_metrics, stored_metrics
from harness.result import SCHEMA, Cell, Result, cell_of
from harness.running.lock import held, is_lock
from harness.spec import Array
from harness.storage.atomic import (
    is_blocked,
    is_closed,
    is_real_folder,
    move_aside,
    read_json,
    remove_temporary_files,
    temporary_name,
)
from harness.storage.places import file_hash
from harness.storage.sealed import ARTIFACTS, PICTURES, read_arrays, read_sealed, write_json, write_sealed

ASKED, ANSWER = "asked", ("request.json", "result.json")
"""The folder of requests to judges, which has a folder for each judge; and the files in such a folder."""

RECORD = "run.json"

LOG_END = 64 * 1024
"""The number of bytes at the end of a log that are read."""


class SchemaForm(Struct):
    """The version of the form of a record. It decides whether the rest can be read."""

    schema: int


class RecordForm(SchemaForm):
    """The record of a run: run.json. The metrics and the cells of the plan have forms of their own."""

    id: str
    started: str
    finished: str | None
    host: dict[str, Any]
    config: dict[str, Any]
    plan: list[Any]


class Store:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._metrics: dict[str, Sequence[Metric]] = {}

    @classmethod
    def open(cls, folder: Path) -> Store:
        """An existing run."""
        store = cls(folder)
        if not store.exists:
            raise UsageError(
                f"{folder} is not a run: there is no run.json in it; give the folder of --out", code="not-a-run"
            )
        return store

    @contextlib.contextmanager
    def locked(self, cells: Sequence[Cell] = ()) -> Iterator[None]:
        """Hold the lock of the folder, to run these cells in it. Raises UsageError before any change if the folder exists and
        is neither a run nor the start of a run."""
        with contextlib.ExitStack() as stack:
            try:
                self.check_contents()
                self._check_places(cells)
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(held(self.folder))
            except OSError as error:
                if error.errno in FULL_DISK:
                    raise
                raise UsageError(
                    f"{self.folder} cannot hold a run: {error.strerror}: choose another --out", code="not-writable"
                ) from None
            self._clean_up([*self._planned(), *cells])
            yield

    def _planned(self) -> list[Cell]:
        """The plan of an existing run; no cells for a new one."""
        return self.plan() if self.exists else []

    def check_contents(self) -> None:
        """Raise UsageError if the folder has files but is no run. A run that was stopped before it wrote its record has left
        only a lock and temporary files."""
        if not self.exists and self.folder.is_dir() and not all(map(_is_of_a_start, self.folder.iterdir())):
            raise UsageError(f"{self.folder} has other files and is not a run: choose a new folder", code="not-a-run")

    def _check_places(self, cells: Sequence[Cell]) -> None:
        """Raise UsageError if a folder of the run is a link or a file."""
        keys = dict.fromkeys(cell.key for cell in (*self._planned(), *cells))
        for names in (("certificates",), ("judgements",), ("cells",), *(("cells", key) for key in keys)):
            path = self.folder.joinpath(*map(_plain, names))
            if is_blocked(path):
                raise UsageError(
                    f"{path} is a link or not a folder, and samebench does not write to it: remove it, or choose another --out",
                    code="not-a-regular-file",
                )

    def _clean_up(self, cells: Sequence[Cell]) -> None:
        """Remove temporary files that killed processes have left: only those of the run's own files, in its own folders."""
        for folder, names in self._written_by(cells):
            remove_temporary_files(folder, names)

    def _written_by(self, cells: Sequence[Cell]) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """The folders that these cells write to, and the first parts of the names of their files."""
        yield self.folder, (RECORD,)
        places: dict[tuple[str, ...], tuple[str, ...]] = {
            ("certificates",): tuple(f"{cell.configuration}.json" for cell in cells),
            ("judgements",): tuple(f"{cell.comparison_key}." for cell in cells),
        }
        for cell in cells:
            places["cells", cell.key] = ("cell.json", "result.json")
            places["cells", cell.key, ARTIFACTS] = ("",)
            places["certificates", cell.configuration] = ANSWER
        if self._is_own("judgements", ASKED):
            places |= {("judgements", ASKED, path.name): ANSWER for path in (self.judgements / ASKED).iterdir()}
        yield from ((self.folder.joinpath(*place), names) for place, names in places.items() if self._is_own(*place))

    def _is_own(self, *names: str) -> bool:
        """Whether a folder is in the run's folder, and no part of its path is a link."""
        return all(is_real_folder(self.folder.joinpath(*names[: step + 1])) for step in range(len(names)))

    @property
    def exists(self) -> bool:
        """Whether the folder has the record of a run. Raises UsageError if it cannot be read."""
        try:
            return (self.folder / RECORD).exists()
        except OSError as error:
            raise UsageError(
                f"{self.folder} cannot be read: {error.strerror}: choose another folder", code="unreadable-file"
            ) from None

    @property
    def run(self) -> dict[str, Any]:
        """The record of the run: run.json."""
        try:
            data: dict[str, Any] = read_json(self.folder / RECORD)
            for problem in problems(data, SchemaForm):
                raise ValueError(problem)
            if data["schema"] > SCHEMA:
                raise UsageError(
                    f"{self.folder} was written by a newer samebench (schema {data['schema']}; this one reads {SCHEMA}): "
                    "update samebench",
                    code="wrong-version",
                )
            for problem in problems(data, RecordForm):
                raise ValueError(problem)
            stored_metrics(data)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{self.folder}/{RECORD} cannot be read: {error}: choose another folder", code="unreadable-file"
            ) from None
        return data

    def metrics_of(self, task: str) -> Sequence[Metric]:
        """The metrics that the task declares in this run."""
        if task not in self._metrics:
            found = declared_metrics(self.run if self.exists else {}, [task])
            self._metrics |= found | {task: found.get(task, ())}
        return self._metrics[task]

    def save_run(self, data: dict[str, Any]) -> None:
        """Write the record. Its metrics are kept in memory too, because a cell may destroy the file."""
        self._metrics |= stored_metrics(data)
        self._write(write_json, {"schema": SCHEMA} | data, RECORD)

    def room(self, *names: str) -> Path:
        """A folder of the run, made if it is missing. A file or a link in its place is moved aside, and so is a folder that
        cannot be written to."""
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            folder = folder / _plain(name)
            if is_blocked(folder) or is_closed(folder):
                move_aside(folder)
            folder.mkdir(exist_ok=True)
        return folder

    def _write(self, write: Callable[[Path, dict[str, Any]], None], data: dict[str, Any], *names: str) -> None:
        """Write a file of the run; a folder in its place is moved aside."""
        file = self.room(*names[:-1]) / _plain(names[-1])
        if is_real_folder(file):
            move_aside(file)
        write(file, data)

    def cell_folder(self, cell: Cell) -> Path:
        return self.folder / "cells" / _plain(cell.key)

    def artifacts(self, cell: Cell) -> Path:
        """The folder for the files that the cell makes."""
        return self.cell_folder(cell) / ARTIFACTS

    def clear_artifacts(self, cell: Cell) -> None:
        """Move aside a file or a link in the place of the folder `artifacts`."""
        if is_blocked(folder := self.artifacts(cell)):
            move_aside(folder)

    def save(self, result: Result) -> None:
        self._write(write_sealed, result.as_json(), "cells", result.cell.key, "result.json")

    def save_certificate(self, subject: str, certificate: dict[str, Any]) -> None:
        self._write(write_sealed, certificate, "certificates", f"{subject}.json")

    def certificate(self, cell: Cell) -> dict[str, Any] | None:
        """The certificate of the cell's configuration, which does not depend on the seed; None if no valid one is stored."""
        try:
            found = read_sealed(self.folder / "certificates" / _plain(f"{cell.configuration}.json"))
        except (OSError, ValueError):
            return None
        return None if any(certificate_problems(found)) else found

    @property
    def judgements(self) -> Path:
        """The folder of judgements of the pictures that cells have made."""
        return self.folder / "judgements"

    def maps_file(self, result: Result) -> Path:
        """The file for the feature maps of a cell's pictures. Its name has the hash of the pictures, because a cell that runs
        again may make others."""
        pictures = result.artifacts[PICTURES].partition(":")[2]
        return self.judgements / _plain(f"{result.cell.comparison_key}.{pictures[:10]}.npz")

    def judged(self) -> dict[str, Any]:
        """All valid judgements, by the names of their cases."""
        names = [path.stem for path in sorted(self.judgements.glob("*.json"))]
        return {name: judgement for name in names if (judgement := self.judgement(name))}

    def pictures(self, result: Result) -> dict[str, Array]:
        """The pictures that the cell has made; raises LookupError if there are none, or if the file has changed."""
        file, wanted = self.artifacts(result.cell) / PICTURES, result.artifacts.get(PICTURES)
        if not wanted:
            raise LookupError(f"{result.cell.key} has kept no pictures")
        try:
            if not file.is_file() or file_hash(file, wanted) != wanted:
                raise LookupError(f"{file} is missing or has changed")
        except OSError as error:
            raise LookupError(f"{file} cannot be read: {error}") from None
        return _arrays_in(file)

    def feature_maps(self, result: Result) -> dict[str, Array]:
        """The feature maps of one of the pictures; raises LookupError if there are none."""
        if PICTURES not in result.artifacts or not (file := self.maps_file(result)).is_file():
            raise LookupError(f"there are no feature maps of the pictures of {result.cell.key}")
        return _arrays_in(file)

    def log(self, result: Result) -> str:
        """The end of the log of a cell; empty if there is none, or if it is no file."""
        file = self.cell_folder(result.cell) / "log.txt"
        try:
            if file.is_symlink() or not file.is_file():
                return ""
            with file.open("rb") as lines:
                lines.seek(max(file.stat().st_size - LOG_END, 0))
                return lines.read(LOG_END).decode(errors="replace")
        except OSError:
            return ""

    def save_judgement(self, case: str, judgement: dict[str, Any]) -> None:
        self._write(write_sealed, judgement, "judgements", f"{case}.json")

    def judgement(self, case: str) -> dict[str, Any] | None:
        """The judgement of a case; None if no valid one is stored."""
        try:
            found = read_sealed(self.judgements / _plain(f"{case}.json"))
        except (OSError, ValueError):
            return None
        return None if any(case_problems(found)) else found

    def load(self, cell: Cell) -> Result | None:
        """The result of a cell, with its certificate; None if it has no result yet. Raises ValueError if it is damaged."""
        return self._load(cell, self.certificate(cell))

    def _load(self, cell: Cell, certificate: dict[str, Any] | None) -> Result | None:
        try:
            data = read_sealed(self.cell_folder(cell) / "result.json")
            result = Result.from_json(data, self.metrics_of(cell.task), cell)
        except FileNotFoundError:
            return None
        if result.cell != cell and result.cell.key != cell.key:
            raise ValueError("result.json is about another cell")
        result.parity = certificate or result.parity
        return result

    def set_aside(self, cell: Cell) -> str:
        """Rename a file that is no valid result, to keep it as evidence; return its new name. If the cell has closed its
        folder, the whole folder is renamed."""
        folder = self.cell_folder(cell)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return move_aside(folder if is_closed(folder) else folder / "result.json").name
        return "nothing"

    def plan(self) -> list[Cell]:
        """All cells of this run: of its first command, and of later ones."""
        return self._plan(self.run)

    def _plan(self, record: Mapping[str, Any]) -> list[Cell]:
        cells = []
        for number, data in enumerate(record["plan"]):
            try:
                cells.append(cell_of(data))
            except ValueError as error:
                raise UsageError(
                    f"{self.folder}/{RECORD} cannot be read: plan[{number}]: {error}: choose another folder",
                    code="unreadable-file",
                ) from None
        return cells

    def results(self) -> Iterator[Result]:
        """A result for every cell of the plan, in its order. A missing result is `interrupted`, a damaged one `invalid`."""
        certificates: dict[str, dict[str, Any] | None] = {}
        cells = self._plan(record := self.run)
        self._metrics = dict(declared_metrics(record, [cell.task for cell in cells])) | self._metrics
        for cell in cells:
            if cell.configuration not in certificates:
                certificates[cell.configuration] = self.certificate(cell)
            try:
                yield self._load(cell, certificates[cell.configuration]) or Result(
                    cell, "interrupted", "not finished: the run was stopped, or is still running"
                )
            except ValueError as error:
                yield Result(cell, "invalid", f"its stored result cannot be used: {error}")


def _plain(name: str) -> str:
    """The name, if it is the name of a file. A path could lead out of the run."""
    if not is_plain_name(name):
        raise UsageError(f"{name!r} must be the name of a file in a run, without folders", code="wrong-form")
    return name


def _is_of_a_start(path: Path) -> bool:
    """Whether this file may come from a run that was stopped before it wrote its record."""
    return is_lock(path) or (temporary_name(path.name) == RECORD and path.is_file() and not path.is_symlink())


def _arrays_in(file: Path) -> dict[str, Array]:
    """The arrays of a file that may be damaged; raises LookupError if it is."""
    try:
        return read_arrays(file)
    except Exception as error:  # NumPy and zipfile raise many types of errors for a damaged file
        raise LookupError(f"{file} cannot be read: {error}") from None
