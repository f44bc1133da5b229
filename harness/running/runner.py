"""Running a plan: first each backend's certificates, then the cells, one fresh process each."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from harness.environment import describe_host, worker_environment
from harness.places import hash_of
from harness.pretrained import is_path
from harness.result import Cell, Result, not_checked
from harness.running.judging import cases, judge
from harness.running.process import Ended, run_worker
from harness.running.sources import code_of
from harness.running.store import Store, write_json


class Watcher(Protocol):
    """Whoever is told how a run goes."""

    def planned(self, cells: Sequence[Cell]) -> None: ...
    def started(self, what: str, cell: Cell | None = None) -> None: ...
    def progress(self, line: str) -> None: ...
    def certified(self, backend: str, verdict: str, seconds: float) -> None: ...
    def finished(self, result: Result, number: int, total: int) -> None: ...


@dataclass(frozen=True)
class Limits:
    """What every worker is held to."""

    timeout: float = 3600.0
    threads: int | None = None
    memory_bytes: int | None = None
    python: Mapping[str, str] = field(default_factory=dict)
    """The interpreter of each backend that has one of its own."""


@dataclass(frozen=True)
class Runner:
    """Runs cells into a store."""

    store: Store
    limits: Limits
    watcher: Watcher

    def run(self, cells: Sequence[Cell], config: Mapping[str, Any], parity: bool) -> None:
        """Run what has no result yet. Backends take turns in a random order, so that a drift of the machine hits all
        alike."""
        with self.store.locked():
            earlier = self.store.plan() if self.store.exists else []
            known = {cell.key for cell in earlier}
            record = {
                "id": self.store.folder.name,
                "started": self.store.run["started"] if earlier else _now(),
                "finished": None,
                "host": describe_host(),
                "config": dict(config),
                "order_seed": (order_seed := int.from_bytes(os.urandom(4))),
                "plan": [asdict(cell) for cell in (*earlier, *(cell for cell in cells if cell.key not in known))],
            }
            self.store.save_run(record)
            todo = [cell for cell in cells if not self._is_done(cell)]
            turns = list(_in_turns(todo, order_seed))
            self.watcher.planned(turns)
            if parity:
                self._certify(cells, {cell.subject for cell in todo})
            for number, cell in enumerate(turns, 1):
                self.watcher.started(f"{cell.task} {cell.backend}/{cell.mode} seed {cell.seed}", cell)
                self.watcher.finished(self.run_cell(cell), number, len(todo))
            if parity:
                self._judge(cells)
            self.store.save_run(record | {"finished": _now()})

    def run_cell(self, cell: Cell) -> Result:
        """One cell in a process of its own; whatever happens to it, there is a result."""
        ended = self._start_worker(self.store.cell_folder(cell), {"cell": asdict(cell)}, cell.backend, "cell.json")
        try:
            result = self.store.load(cell) or Result(cell, *ended.explain())
        except ValueError as error:
            self.store.set_aside(cell)
            result = Result(cell, "invalid", f"{error}; it is kept as result.rejected.json")
        if result.status == "ok":
            result.time["process_s"] = ended.seconds
            if ended.code:
                result.warnings.append(f"its process ended badly after the result was there: {ended.explain()[1]}")
        result.evidence["backend_code"] = code_of(cell.backend)
        self.store.save(result)
        return result

    def _is_done(self, cell: Cell) -> bool:
        """Whether the cell has a good result, from the backend and the weights as they are now; what cannot be used is set
        aside."""
        try:
            result = self.store.load(cell)
        except ValueError:
            self.store.set_aside(cell)
            return False
        if result is None or result.status != "ok":
            return False
        code, start = result.evidence.get("backend_code"), result.evidence.get("start", {})
        if cell.backend not in self.limits.python and code not in (None, code_of(cell.backend)):
            return False
        return _hash_of_weights(cell) in (None, start.get("hash"))

    def _certify(self, cells: Sequence[Cell], wanted: set[str]) -> None:
        """One process for each backend, mode, precision and device: the certificates of what is to run, or has none.

        Where nothing has changed since they were made, that process finds them in the cache.
        """
        groups: dict[tuple[str, ...], dict[str, Cell]] = {}
        for cell in cells:
            old = self.store.certificate(cell)
            missing = old is None or old["verdict"].startswith("not-checked")
            if cell.semantics == "aligned" and (missing or cell.subject in wanted):
                group = cell.backend, cell.mode, cell.precision, cell.device
                groups.setdefault(group, {})[cell.subject] = cell
        for (backend, mode, precision, device), subjects in groups.items():
            request = {
                "backend": backend, "mode": mode, "precision": precision, "device": device,
                "subjects": {
                    subject: {name: getattr(c, name) for name in ("task", "model", "weights", "dataset", "options")}
                    for subject, c in subjects.items()
                },
            }  # fmt: skip
            self.watcher.started(f"certificate of {backend}/{mode}")
            folder = self.store.folder / "certificates" / next(iter(subjects))
            ended = self._start_worker(folder, request, backend)
            try:
                answers = json.loads((folder / "result.json").read_text())
            except (OSError, ValueError):
                answers = {name: not_checked(": ".join(ended.explain())) for name in subjects}
            for name, answer in answers.items():
                about = answer.get("about", {}) | {"backend_code": code_of(backend)}
                self.store.save_certificate(name, answer | {"about": about})
            known = ", known from before" if all(answer.get("cached") for answer in answers.values()) else ""
            for verdict in dict.fromkeys(answer["verdict"] for answer in answers.values()):
                self.watcher.certified(f"{backend}/{mode}", verdict + known, ended.seconds)

    def _judge(self, cells: Sequence[Cell]) -> None:
        """Let every backend see the pictures that each has made."""
        asked = {cell.experiment for cell in cells}
        found = [case for case in cases(list(self.store.results())) if case.name in asked]
        judge(self.store, found, self._start_worker, self.watcher.started)

    def _start_worker(
        self, folder: Path, request: Mapping[str, Any], backend: str, name: str = "request.json"
    ) -> Ended:
        """Run the worker on a request whose files lie in `folder`."""
        limits = {"threads": self.limits.threads, "memory_bytes": self.limits.memory_bytes}
        write_json(folder / name, {**request, "limits": limits})
        result = folder / "result.json"
        with contextlib.suppress(FileNotFoundError):
            result.unlink()
        return run_worker(
            folder / name, result, folder / "log.txt",
            environment=worker_environment(self.limits.threads),
            timeout=self.limits.timeout,
            python=self.limits.python.get(backend, sys.executable),
            listen=self.watcher.progress,
        )  # fmt: skip


def _hash_of_weights(cell: Cell) -> str | None:
    """That of the file that the cell starts from; None where an entry's name stands for its contents."""
    return hash_of(Path(cell.weights), "sha256:") if cell.weights and is_path(cell.weights) else None


def _in_turns(cells: Sequence[Cell], seed: int) -> Iterator[Cell]:
    """Experiment by experiment and seed by seed, the backends of each in a random order."""
    order = random.Random(seed)
    rounds: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        rounds.setdefault((cell.task, cell.model, cell.dataset, str(cell.seed)), []).append(cell)
    for group in rounds.values():
        yield from order.sample(group, len(group))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
