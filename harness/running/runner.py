"""Running a plan: first each backend's certificates, then the cells, one fresh process each."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.environment import describe_host, worker_environment
from harness.result import Cell, Result, Status, not_checked
from harness.store import Store, write_json

Tell = Callable[[str], None]
GRACE = 5.0
"""Seconds between asking a worker to end and ending it."""


@dataclass(frozen=True)
class Ended:
    """How a worker's process ended."""

    code: int | None  # None: it ran out of time
    seconds: float
    log: Path

    def explain(self) -> tuple[Status, str]:
        """The status and reason of a process that left no valid result."""
        if self.code is None:
            return "timeout", f"still running after {self.seconds:.0f} s; its log: {self.log}"
        if self.code < 0:
            return "crashed", f"{signal.Signals(-self.code).name}; {self._last_words()}"
        if self.code == 0:
            return "invalid", f"the worker ended without a valid result; its log: {self.log}"
        return "crashed", f"exit code {self.code}; {self._last_words()}"

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"its log ends: {lines[-1][:300]}" if lines else f"its log {self.log} is empty"


def run(
    store: Store, cells: Sequence[Cell], config: Mapping[str, Any], timeout: float, parity: bool, tell: Tell
) -> None:
    """Run what has no result yet. Backends take turns in a random order, so that a drift of the machine hits all alike."""
    earlier = store.plan() if store.exists else []
    record = {
        "id": store.folder.name,
        "started": store.run["started"] if earlier else _now(),
        "finished": None,
        "host": describe_host(),
        "config": dict(config),
        "order_seed": (order_seed := int.from_bytes(os.urandom(4))),
        "plan": [asdict(cell) for cell in (*earlier, *(cell for cell in cells if cell not in earlier))],
    }
    store.save_run(record)
    if parity:
        _certify(store, cells, timeout, tell)
    todo = [cell for cell in cells if (done := store.load(cell)) is None or done.status != "ok"]
    for number, cell in enumerate(_in_turns(todo, order_seed), 1):
        result = run_cell(store, cell, timeout)
        store.save(result)
        tell(f"[{number}/{len(todo)}] {_one_line(result)}")
    store.save_run(record | {"finished": _now()})


def run_cell(store: Store, cell: Cell, timeout: float) -> Result:
    """One cell in a process of its own; whatever happens to it, there is a result."""
    folder = store.cell_folder(cell)
    ended = _start_worker(folder, "cell.json", {"cell": asdict(cell)}, timeout)
    return store.load(cell) or Result(cell, *ended.explain())


def _certify(store: Store, cells: Sequence[Cell], timeout: float, tell: Tell) -> None:
    """One process for each backend, mode, precision and device: certificates of all it is to run and has none for."""
    groups: dict[tuple[str, str, str, str], dict[str, Cell]] = {}
    for cell in cells:
        if (known := store.certificate(cell)) is None or known["verdict"].startswith("not-checked"):
            groups.setdefault((cell.backend, cell.mode, cell.precision, cell.device), {})[cell.subject] = cell
    for (backend, mode, precision, device), subjects in groups.items():
        request = {
            "backend": backend, "mode": mode, "precision": precision, "device": device,
            "subjects": {
                name: {"task": c.task, "model": c.model, "dataset": c.dataset, "options": c.options}
                for name, c in subjects.items()
            },
        }  # fmt: skip
        folder = store.folder / "certificates" / next(iter(subjects))
        ended = _start_worker(folder, "request.json", request, timeout)
        try:
            answers = json.loads((folder / "result.json").read_text())
        except (OSError, ValueError):
            answers = {name: not_checked(": ".join(ended.explain())) for name in subjects}
        for name, answer in answers.items():
            store.save_certificate(name, answer)
        for verdict in dict.fromkeys(answer["verdict"] for answer in answers.values()):
            tell(f"certificate of {backend}/{mode}: {verdict} ({ended.seconds:.1f} s)")


def _start_worker(folder: Path, name: str, request: Mapping[str, Any], timeout: float) -> Ended:
    """Run the worker on a request, in its own process group; nothing of that group outlives this call."""
    write_json(folder / name, request)
    (folder / "result.json").unlink(missing_ok=True)
    log, start = folder / "log.txt", time.monotonic()
    command = [sys.executable, "-m", "harness.worker", str(folder / name), str(folder / "result.json")]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=worker_environment(), start_new_session=True,
        )  # fmt: skip
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end_group(process)
    return Ended(code, time.monotonic() - start, log)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, then end it, with all that it started."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _in_turns(cells: Sequence[Cell], seed: int) -> list[Cell]:
    """Experiment by experiment and seed by seed, the backends of each in a random order."""
    order = random.Random(seed)
    rounds: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        rounds.setdefault((cell.task, cell.model, cell.dataset, str(cell.seed)), []).append(cell)
    return [cell for group in rounds.values() for cell in order.sample(group, len(group))]


def _one_line(result: Result) -> str:
    cell = result.cell
    who = f"{cell.task} {cell.backend}/{cell.mode} seed {cell.seed}"
    if result.status != "ok":
        return f"{who}: {result.status}: {result.reason}"
    headline = next(((name.replace("_", " "), value) for name, value in result.metrics.items()), ("done", ""))
    return f"{who}: ok, {headline[0]} {headline[1]:.4g}, {result.time['total_s']:.1f} s"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
