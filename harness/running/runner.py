"""Run a plan: first the certificates of each backend, then each cell in a new process, then the cross-check."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from harness.environment import describe_host, fresh_caches, worker_environment
from harness.forms import certificate_problems
from harness.plugins import find_backends, own_names
from harness.pretrained.entries import is_path
from harness.report.declared import installed_metrics, stored_metrics
from harness.result import SHOWN, Cell, Result
from harness.running.crosscheck import cases, judge
from harness.running.process import Ended, run_worker
from harness.running.sinks import Wanted, sinking
from harness.running.store import Store
from harness.storage.atomic import free, read_json
from harness.storage.places import file_hash
from harness.storage.sealed import PICTURES, write_json
from harness.text import shown_names
from harness.verdict import no_certificate, verdict_in
from harness.worker.code_hash import code_if_there


class Watcher(Protocol):
    """An object that receives the progress of a run."""

    def planned(self, cells: Sequence[Cell]) -> None: ...
    def started(self, what: str, cell: Cell | None = None) -> None: ...
    def progress(self, line: str) -> None: ...
    def certified(self, backend: str, verdict: str, seconds: float) -> None: ...
    def say(self, line: str) -> None: ...
    def finished(self, result: Result, number: int, total: int) -> None: ...


@dataclass(frozen=True)
class Limits:
    """The limits of every worker."""

    timeout: float = 3600.0
    threads: int | None = None
    memory_bytes: int | None = None
    segment_s: float = 0.0
    """The shortest timed segment in seconds. With 0, work is never repeated."""

    fresh_caches: bool = True
    """Whether each cell starts with empty compiler caches, so that the first step compiles in every framework."""

    device: str = "auto"
    """The device of the whole run."""

    python: Mapping[str, str] = field(default_factory=dict)
    """The interpreter of each backend that does not run in this one."""


@dataclass(frozen=True)
class Runner:
    """Runs cells into a store."""

    store: Store
    limits: Limits
    watcher: Watcher
    sinks: Sequence[Wanted] = ()
    """The trackers of experiments that get every finished cell."""

    def run(self, cells: Sequence[Cell], config: Mapping[str, Any], parity: bool) -> None:
        """Run the cells that have no result yet. The seeds follow one another, and the backends of an experiment with a seed run
        in a random order, so that changes in the speed of the machine affect all of them alike."""
        with self.store.locked(cells):
            earlier = self.store.plan() if self.store.exists else []
            known = {cell.key for cell in earlier}
            names = self._names(earlier, cells)
            shown = shown_names([cell.backend for cell in (*earlier, *cells)], names)
            record = {
                "id": self.store.folder.name,
                "started": self.store.run["started"] if earlier else _now(),
                "finished": None,
                "host": describe_host(),
                "config": dict(config),
                "names": names,
                "metrics": self._metrics([*earlier, *cells]),
                "order_seed": (order_seed := int.from_bytes(os.urandom(4))),
                "plan": [asdict(cell) for cell in (*earlier, *(cell for cell in cells if cell.key not in known))],
            }
            self.store.save_run(record)
            todo = [cell for cell in cells if not self._is_done(cell)]
            left = {cell.key for cell in todo}
            done = [cell.key for cell in cells if cell.key not in left]
            turns = list(_in_turns(todo, order_seed))
            self.watcher.planned(turns)
            with sinking(self.store, self.sinks, self.watcher.say) as log:
                for key in done:
                    log(key)
                if parity:
                    self._certify(cells, {cell.configuration for cell in todo}, shown)
                for number, cell in enumerate(turns, 1):
                    self.watcher.started(f"{cell.task} {shown[cell.backend]}/{cell.mode} seed {cell.seed}", cell)
                    result = self.run_cell(cell, len(done) + number)
                    result.evidence[SHOWN] = shown[cell.backend]
                    self.watcher.finished(result, number, len(todo))
                    log(cell.key)
                if parity:
                    self.store.save_run(record)  # a cell may have changed the file
                    self._judge(cells, shown)
            self.store.save_run(record | {"finished": _now()})

    def _names(self, earlier: Sequence[Cell], cells: Sequence[Cell]) -> dict[str, str]:
        """The names of the backends that are files: as declared now, or else as stored by an earlier run."""
        kept = self.store.run.get("names", {}) if earlier else {}
        kept = kept if isinstance(kept, dict) else {}
        return {**kept, **own_names({cell.backend for cell in cells}, find_backends())}

    def _metrics(self, cells: Sequence[Cell]) -> dict[str, list[dict[str, Any]]]:
        """The metrics of each task: as declared now, or as stored if the task is no longer installed."""
        kept = stored_metrics(self.store.run) if self.store.exists else {}
        tasks = [cell.task for cell in cells]
        found = dict.fromkeys(tasks, ()) | kept | installed_metrics(tasks)
        return {task: [metric.as_json() for metric in metrics] for task, metrics in found.items()}

    def run_cell(self, cell: Cell, turn: int) -> Result:
        """Run a cell in its own process. There is always a result, even if the process crashes. `turn` is its place in the order
        of execution."""
        folder = self.store.room("cells", cell.key)
        self.store.clear_artifacts(cell)
        conditions = {"segment_s": self.limits.segment_s, "device": self.limits.device, "started": time.monotonic()}
        request = {"cell": asdict(cell), "conditions": conditions}
        with tempfile.TemporaryDirectory(prefix="samebench-caches-", ignore_cleanup_errors=True) as caches:
            fresh = fresh_caches(Path(caches)) if self.limits.fresh_caches else {}
            ended = self._start_worker(folder, request, cell.backend, "cell.json", fresh)
        try:
            result = self.store.load(cell) or _without_result(cell, ended)
        except ValueError as error:
            result = Result(cell, "invalid", f"{error}; it is kept as {self.store.set_aside(cell)}")
        if result.status == "ok":
            result.time |= {"process_s": ended.seconds, "turn": turn}
            if ended.code != 0:
                result.warnings.append(f"its process ended badly after it had stored the result: {ended.explain()[1]}")
        result.evidence |= _code_of(cell.backend)
        self.store.save(result)
        return result

    def _is_done(self, cell: Cell) -> bool:
        """Whether the cell has a good result of the present backend and weights. A damaged result is set aside."""
        try:
            result = self.store.load(cell)
        except ValueError:
            self.store.set_aside(cell)
            return False
        if result is None or result.status != "ok":
            return False
        code, start = result.evidence.get("backend_code"), result.evidence.get("start", {})
        if cell.backend not in self.limits.python and code not in (None, code_if_there(cell.backend)):
            return False
        return _hash_of_weights(cell) in (None, start.get("hash"))

    def _certify(self, cells: Sequence[Cell], wanted: set[str], shown: Mapping[str, str]) -> None:
        """Make the missing certificates, and those of the configurations that will run (`wanted`). There is one process for
        each backend, mode, precision and device.

        The process takes a certificate from the cache if nothing has changed since it was made.
        """
        groups: dict[tuple[str, ...], dict[str, Cell]] = {}
        for cell in cells:
            old = self.store.certificate(cell)
            missing = old is None or not verdict_in(old).is_checked
            if not cell.own and (missing or cell.configuration in wanted):
                group = cell.backend, cell.mode, cell.precision, self.limits.device
                groups.setdefault(group, {})[cell.configuration] = cell
        for (backend, mode, precision, device), subjects in groups.items():
            request = {
                "backend": backend, "mode": mode, "precision": precision, "device": device,
                "subjects": {
                    subject: {name: getattr(c, name) for name in ("task", "model", "weights", "dataset", "options")}
                    for subject, c in subjects.items()
                },
            }  # fmt: skip
            self.watcher.started(f"certificate of {shown[backend]}/{mode}")
            folder = self.store.room("certificates", next(iter(subjects)))
            ended = self._start_worker(folder, request, backend)
            answers = _certificates(folder / "result.json", subjects, ended)
            for name, answer in answers.items():
                about = answer.get("about", {}) | _code_of(backend)
                self.store.save_certificate(name, answer | {"about": about})
            known = ", known from before" if all(answer.get("cached") for answer in answers.values()) else ""
            for verdict in dict.fromkeys(map(verdict_in, answers.values())):
                self.watcher.certified(f"{shown[backend]}/{mode}", f"{verdict}{known}", ended.seconds)

    def _judge(self, cells: Sequence[Cell], shown: Mapping[str, str]) -> None:
        """Let every backend judge the pictures that each backend has made. A backend file is executed only if this command
        names it, because the run may come from a stranger."""
        asked, named = {cell.comparison_key for cell in cells}, {cell.backend for cell in cells}
        results = [result for result in self.store.results() if result.cell.comparison_key in asked]
        for result in results:
            result.evidence[SHOWN] = shown[result.cell.backend]
        found = cases(filter(self._can_be_judged, results), named)
        judge(self.store, found, self._start_worker, self.watcher.started)

    def _can_be_judged(self, result: Result) -> bool:
        """Whether the pictures of a cell can be read, if it has any. Damaged pictures are left out, so that the other pictures
        of the experiment are judged."""
        if PICTURES in result.artifacts:
            try:
                self.store.pictures(result)
            except LookupError as error:
                self.watcher.say(f"the pictures of {result.who} are not judged: {error}")
                return False
        return True

    def _start_worker(
        self, folder: Path, request: Mapping[str, Any], backend: str, name: str = "request.json",
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Ended:  # fmt: skip
        """Run the worker on a request, with its files in `folder` and these environment variables."""
        limits = {"threads": self.limits.threads, "memory_bytes": self.limits.memory_bytes}
        write_json(free(folder / name), {**request, "limits": limits})
        result = free(folder / "result.json")
        return run_worker(
            folder / name, result, folder / "log.txt",
            environment={**worker_environment(self.limits.threads, self.limits.device), **environment},
            timeout=self.limits.timeout,
            python=self.limits.python.get(backend, sys.executable),
            listen=self.watcher.progress,
        )  # fmt: skip


def _without_result(cell: Cell, ended: Ended) -> Result:
    status, reason = ended.explain()
    memory: dict[str, int | None] = {"peak_rss_bytes": ended.peak_rss_bytes} if status == "oom" else {}
    return Result(cell, status, reason, memory=memory)


def _certificates(file: Path, subjects: Iterable[str], ended: Ended) -> dict[str, dict[str, Any]]:
    """The certificate of each subject; `not-checked` with the reason if the worker's answer cannot be used."""
    try:
        answers = read_json(file)
    except FileNotFoundError:
        return {name: no_certificate(": ".join(ended.explain())) for name in subjects}
    except ValueError as error:
        return {name: no_certificate(f"invalid: {error}") for name in subjects}
    return {name: _certificate(answers.get(name) if isinstance(answers, dict) else answers) for name in subjects}


def _certificate(answer: Any) -> dict[str, Any]:
    problem = next(certificate_problems(answer), None)
    return no_certificate(f"invalid: {problem}") if problem else answer


def _code_of(backend: str) -> dict[str, str]:
    """The hash of the backend's code; empty if a cell has removed the code."""
    code = code_if_there(backend)
    return {"backend_code": code} if code else {}


def _hash_of_weights(cell: Cell) -> str | None:
    """The hash of the cell's file of weights; None if the cell has no such file."""
    return file_hash(Path(cell.weights), "sha256:") if cell.weights and is_path(cell.weights) else None


def _in_turns(cells: Sequence[Cell], seed: int) -> Iterator[Cell]:
    """The cells by seed and experiment, and in a random order within these groups."""
    order = random.Random(seed)
    rounds: dict[int, dict[tuple[str, ...], list[Cell]]] = {}
    for cell in cells:
        experiments = rounds.setdefault(cell.seed, {})
        experiments.setdefault((cell.task, cell.model, cell.dataset), []).append(cell)
    for experiments in rounds.values():
        for group in experiments.values():
            yield from order.sample(group, len(group))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
