"""The process of one sink: python -m harness.running.sink RUN NAME [PLACE].

It reads the keys of finished cells from its standard input, and answers each with a line when the sink has logged the cell. It
keeps what it has logged in RUN/sinks/NAME/logged.jsonl, so that a run that is resumed logs each result once.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from harness.errors import SamebenchError
from harness.plugins import load_plugins
from harness.report.logbook import Logbook, LoggedCell, logged, logged_pictures, plain_name
from harness.report.summary import Report
from harness.result import SHOWN, Result, digest
from harness.running.sinks import ANSWERS, FOLDER
from harness.running.store import Store
from harness.storage.atomic import read_file
from harness.text import shown_names
from harness.worker.guard import stand_guard

UNFINISHED = "interrupted"
LIMIT = 2**28
"""The largest number of bytes of the file of logged cells."""


def main(folder: str, name: str, where: str | None = None) -> None:
    stand_guard()
    try:
        store = Store.open(Path(folder))
        book = Book(store, store.room(FOLDER, name), where)
        load_plugins().sinks[name](Logbook(plain_name(store.run["id"]), book.folder, where, book.cells(sys.stdin)))
    except SamebenchError as error:
        sys.exit(str(error))
    except Exception as error:  # a sink is a plugin
        traceback.print_exc()
        sys.exit(f"{type(error).__name__}: {error}")


class Book:
    """The cells of a run that a sink gets, and those that it has got."""

    def __init__(self, store: Store, folder: Path, where: str | None) -> None:
        self.store, self.folder, self.where = store, folder, where
        self._plan = {cell.key: cell for cell in store.plan()}
        self._shown = shown_names([cell.backend for cell in self._plan.values()], store.run.get("names"))
        self._file = folder / "logged.jsonl"
        self._known = self._read()

    def cells(self, keys: Iterable[str]) -> Iterator[LoggedCell]:
        """The finished cells with these keys. At the end also those whose verdict has changed, because the backends disagree."""
        earlier = {result.cell.key: result for result in Report.of(self.store).results if _is_finished(result)}
        with open(int(os.environ.pop(ANSWERS)), "w", buffering=1) as answers:
            print("ready", file=answers)
            for key in map(str.strip, keys):
                yield from self._unlogged(earlier.pop(key, None) or self._stored(key))
                print("logged", file=answers)
            for result in Report.of(self.store).results:
                yield from self._unlogged(result)

    def _stored(self, key: str) -> Result | None:
        """The result of a cell, with the name of its backend in this run."""
        result = self.store.load(self._plan[key]) if key in self._plan else None
        if result:
            result.evidence[SHOWN] = self._shown[result.cell.backend]
        return result

    def _unlogged(self, result: Result | None) -> Iterator[LoggedCell]:
        """The cell, if this result of it is not logged yet. It counts as logged when the sink asks for the next cell."""
        if result is None or not _is_finished(result):
            return
        key, cell = result.cell.key, logged(result, self.store.metrics_of(result.cell.task))
        found = digest([cell.tags, cell.parameters, cell.numbers, cell.curves, result.artifacts])
        if self._known.get(key) != found:
            yield replace(cell, pictures=logged_pictures(result, self.store.pictures))
            self._known[key] = found
            with open(self._file, "a", opener=_without_links) as file:
                print(json.dumps([self.where, key, found]), file=file)

    def _read(self) -> dict[str, str]:
        """What is logged at the same place: the hash of each cell. Lines that cannot be read do not count."""
        known: dict[str, str] = {}
        try:
            lines = read_file(self._file, LIMIT).decode(errors="replace").splitlines()
        except (OSError, ValueError):
            return {}
        for line in lines:
            with suppress(ValueError, TypeError):
                where, key, found = json.loads(line)
                known |= {key: found} if where == self.where else {}
        return known


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _is_finished(result: Result | None) -> bool:
    return result is not None and result.status != UNFINISHED


if __name__ == "__main__":
    main(*sys.argv[1:])
