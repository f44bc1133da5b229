"""Runs in the process of the test. The worker is a function, so a test decides the results of a cell."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from harness.result import Cell, Result
from harness.running import runner
from harness.running.process import Ended
from harness.running.store import Store
from harness.storage.places import file_hash
from harness.storage.sealed import PICTURES, write_arrays, write_json, write_sealed
from harness.verdict import no_certificate

HASH = f"sha256:{'5' * 64}"
OPTIONS = {"epochs": 1, "optimizer.lr": 0.1}


class Silent:
    """A watcher without output."""

    def planned(self, cells: Sequence[Cell]) -> None: ...
    def started(self, what: str, cell: Cell | None = None) -> None: ...
    def progress(self, line: str) -> None: ...
    def certified(self, backend: str, verdict: str, seconds: float) -> None: ...
    def say(self, line: str) -> None: ...
    def finished(self, result: Result, number: int, total: int) -> None: ...


def cell(backend: str = "numpy", **changes: Any) -> Cell:
    given = {
        "task": "scratch-cnn", "backend": backend, "mode": "default", "precision": "float64", "device": "auto",
        "model": "two-block-cnn", "dataset": "digits", "weights": None, "seed": 0, "options": OPTIONS,
    }  # fmt: skip
    return Cell(**given | changes)


def finished(of: Cell, **changes: Any) -> Result:
    """A result as a worker writes it."""
    given = {
        "metrics": {"test_accuracy": 0.5},
        "time": {"total_s": 1.0, "first_step_s": 0.1, "rate": "training images", "images_per_s": [5.0, 6.0]},
        "parameters": {"total": 2, "trainable": 2, "frozen": 0, "buffers": 0},
        "evidence": {"device": "cpu", "weights": "w", "batches": "b", "first_losses": [1.0, 0.9]},
        "versions": {"numpy": "2"},
    }
    return Result(of, "ok", **given | changes)


def pictured(of: Cell, store: Store) -> Result:
    """The result of a cell with pictures for the cross-check. The pictures are stored too."""
    robust = {"robust_accuracy": [{"epsilon": 0.1, "accuracy": 0.5}], "epsilon": 0.1, "pictures": 64}
    file = store.artifacts(of) / PICTURES
    pictures, shares = np.zeros((64, 8, 8, 1), np.float32), np.full((64, 2), 0.5, np.float32)
    made = {"original": pictures, "made": pictures, "before": shares, "after": shares, "shown": np.arange(8)}
    write_arrays(file, made | {"labels": np.zeros(64, np.int32), "classes": np.array(["zero", "one"])})
    return finished(of, metrics={"test_accuracy": 0.9} | robust, artifacts={PICTURES: file_hash(file, "sha256:")})


def certificate(**changes: Any) -> dict[str, Any]:
    found = no_certificate() | dict.fromkeys(("logits", "gradients", "trajectory"), 1e-15)
    return found | {"verdict": "equal", "steps": 20, "timed": {"logits": 1e-7, "losses": 1e-7, "limit": 1e-5}} | changes


Work = Callable[[dict[str, Any], Path], None]
"""The work of a worker, from its request and the path of its result."""


def answer(request: dict[str, Any], result: Path) -> None:
    """Write a good result for the request."""
    if "cell" in request:
        write_sealed(result, finished(Cell(**request["cell"])).as_json())
    elif "subjects" in request:
        write_json(result, {name: certificate() for name in request["subjects"]})
    else:
        score = {"accuracy": 0.5, "probability": 0.5}
        write_json(result, {n: {"scores": dict.fromkeys(c["pictures"], score)} for n, c in request["cases"].items()})


def run_here(
    folder: Path,
    cells: Sequence[Cell],
    monkeypatch: Any,
    work: Work = answer,
    parity: bool = False,
    code: Callable[[str], str | None] = lambda backend: "code",
) -> dict[str, tuple[str, str | None]]:
    """Run the cells. Return the status and the reason of each cell by backend."""

    def run_worker(request: Path, result: Path, log: Path, **options: Any) -> Ended:
        work(json.loads(request.read_text()), result)
        return Ended(0, 0.1, log)

    monkeypatch.setattr(runner, "run_worker", run_worker)
    monkeypatch.setattr(runner, "code_if_there", code)
    runner.Runner(Store(folder), runner.Limits(), Silent()).run(cells, {}, parity)
    return {result.cell.backend: (result.status, result.reason) for result in Store(folder).results()}


def seen_in(folder: Path) -> dict[str, str]:
    """Everything in a folder by path: targets of links, and contents of files."""
    return dict(_entries(folder, ""))


def _entries(folder: Path, start: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir()):
        name = f"{start}{entry.name}"
        if entry.is_symlink():
            yield name, f"-> {os.readlink(entry)}"
        elif entry.is_dir():
            yield name, "a folder"
            yield from _entries(entry, f"{name}/")
        else:
            yield name, entry.read_text(errors="replace") if entry.is_file() else "no file"


@contextmanager
def unchanged(*folders: Path) -> Iterator[None]:
    """Check that nothing in these folders changes."""
    before = [seen_in(folder) for folder in folders]
    yield
    assert [seen_in(folder) for folder in folders] == before


HOST = {"processor": "a processor", "cores": 2, "memory_bytes": 8 * 2**30, "system": "Linux 6.1", "python": "3.11.7"}


def stored_run(folder: Path, results: Sequence[Result], **record: Any) -> Path:
    """Write a run with these results into a folder."""
    store = Store(folder)
    given = {
        "id": folder.name, "started": "2026-11-30T10:00:00+00:00", "finished": "2026-11-30T10:05:00+00:00", "host": HOST,
        "config": {}, "plan": [asdict(result.cell) for result in results],
    }  # fmt: skip
    store.save_run(given | record)
    for result in results:
        store.save(result)
    return folder


def timed(
    speeds: Sequence[float],
    backend: str = "numpy",
    accuracy: float = 0.5,
    evidence: Any = (),
    time: Any = (),
    **changes: Any,
) -> list[Result]:
    """A finished cell for each speed, with the seeds 0, 1, 2 and so on."""
    results = []
    for seed, speed in enumerate(speeds):
        result = finished(cell(backend, seed=seed, **changes), metrics={"test_accuracy": accuracy + seed / 1000})
        result.time |= {
            "total_s": 1001 / speed,
            "train_s": 1000 / speed,
            "images_per_s": [0.9 * speed, speed, 1.1 * speed],
        } | dict(time)
        result.evidence |= {"dataset": "d" * 16, "host": HOST} | dict(evidence)
        results.append(result)
    return results


STEADY = (100.0, 101.0, 99.0, 100.5, 99.5, 100.0)
"""The speeds of six cells without much noise."""


def scaled(factor: float, noise: float = 0.005) -> list[float]:
    """The speeds `STEADY` on a machine with another speed, with a little noise that sums up to nothing."""
    signs = (1, -1, 1, -1, 1, -1)
    return [factor * speed * (1 + noise * sign) for speed, sign in zip(STEADY, signs, strict=True)]
