"""The overhead of backends: their speed relative to programs that experienced users of the frameworks would write.

Each backend and mode has a process of its own, in which both sides work in turn (see `harness.worker.overhead`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

from msgspec import Struct

import harness
from harness.environment import describe_host, worker_environment
from harness.errors import UsageError
from harness.forms import problems
from harness.options import nearest
from harness.plugins import declared_modes, find_backends, no_such_file, unknown_backend
from harness.report.stats import median_interval
from harness.report.terminal import draw_table, wrap_lines
from harness.report.text.tables import Table
from harness.running.process import run_worker
from harness.storage.atomic import read_json
from harness.storage.sealed import write_json
from harness.text import is_file, stem
from harness.timing.clock import Rate
from harness.timing.load import Usage
from harness.timing.record import as_record, disturbance
from harness.worker.overhead import WORKS

FLOOR = 0.97
"""The lowest acceptable ratio of a backend's speed to that of its yardstick."""

FEWEST_PAIRS = 6
"""The smallest number of pairs whose median has a 95 % interval."""

TIMEOUT = 3600.0 * 3

FILES = {
    "pytorch": "pytorch.py",
    "keras": "keras.py",
    "keras-on-jax": "keras.py",
    "keras-on-torch": "keras.py",
    "jax": "jax.py",
}
"""The file with the yardsticks of each shipped backend."""

FOLDER = Path("tests", "benchmarks", "yardsticks")

Tell = Callable[[str], None]


def checkout() -> Path:
    """The folder of the yardsticks, which are not part of the installed package."""
    for root in (Path.cwd(), Path(harness.__file__).parent.parent):
        project = root / "pyproject.toml"
        if (root / FOLDER).is_dir() and project.is_file() and 'name = "samebench"' in project.read_text():
            return root / FOLDER
    raise UsageError(
        "the yardsticks are in the source code of samebench, and not in the installed package: run this command in the folder "
        "of a checkout, or give a yardstick of your own with --against FILE.py",
        code="not-found",
    )


def tasks_of(names: Sequence[str]) -> tuple[str, ...]:
    """The chosen tasks, or all."""
    for name in names:
        if name not in WORKS:
            raise UsageError(f"there is no task {name!r} to compare; {nearest(name, WORKS)}", code="unknown-name")
    return tuple(dict.fromkeys(names)) or tuple(WORKS)


def pairings(backends: Sequence[str], modes: Sequence[str], against: Path | None) -> list[tuple[str, str, Path]]:
    """Each backend and mode, with the file of its yardsticks. Backends without one of the modes are left out."""
    if against and len(backends) != 1:
        raise UsageError("--against FILE.py is for one backend: name it with --backend", code="missing-option")
    if against and not against.is_file():
        raise no_such_file(against, "yardstick")
    installed = find_backends()
    chosen = backends or [name for name in FILES if installed[name].status == "available"]
    found = [
        (backend, mode, against or _yardsticks(backend, installed))
        for backend in dict.fromkeys(chosen)
        for mode in dict.fromkeys(modes)
        if mode in (declared_modes(backend) or (mode,))
    ]
    if not found:
        raise UsageError(
            f"no backend to compare has the mode {' or '.join(modes)}: choose one that samebench doctor lists",
            code="unknown-name",
        )
    return found


def _yardsticks(backend: str, installed: Collection[str]) -> Path:
    if backend in FILES:
        return checkout() / FILES[backend]
    if not is_file(backend) and backend not in installed:
        raise unknown_backend(backend, installed)
    raise UsageError(
        f"{backend} has no yardstick: give one with --against FILE.py; docs/overhead.md describes the file",
        code="missing-option",
    )


def measure(chosen: Sequence[tuple[str, str, Path]], tasks: Sequence[str], pairs: int, tell: Tell) -> dict[str, Any]:
    """The ratios of all tasks, as plain data."""
    rows = [
        row
        for backend, mode, file in chosen
        for row in _rows(backend, mode, file, tasks, pairs, partial(_tell_of, f"{stem(backend)} {mode}", tell))
    ]
    return {"schema": 1, "floor": FLOOR, "host": describe_host(), "rows": rows}


def stored(
    files: Sequence[Path], backends: Collection[str], modes: Collection[str], tasks: Collection[str]
) -> dict[str, Any]:
    """The rows of several files, or of all files in a folder, as if they were measured together. Without backends or modes, those
    of all."""
    files = [file for place in files for file in (sorted(place.glob("*.json")) if place.is_dir() else [place])]
    rows: list[dict[str, Any]] = []
    host = None
    for file in files:
        found = _read(file)
        if host not in (None, found["host"]):
            raise UsageError(
                f"{file} was measured on another machine than {files[0]}: print each alone", code="conflicting-options"
            )
        rows, host = rows + found["rows"], found["host"]
    chosen = [
        row
        for row in rows
        if row["task"] in tasks
        and row["backend"] in (backends or [row["backend"]])
        and row["mode"] in (modes or [row["mode"]])
    ]
    return {"schema": 1, "floor": FLOOR, "host": host, "rows": chosen}


def _read(file: Path) -> dict[str, Any]:
    try:
        found = read_json(file)
    except FileNotFoundError:
        raise UsageError(
            f"there is no file {file}: give one that --format json has written", code="not-found"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}; measure it again", code="unreadable-file") from None
    wrong = list(problems(found, StoredForm)) or [
        problem for row in found["rows"] if row["status"] == "ok" for problem in problems(row, MeasuredForm)
    ]
    if wrong:
        raise UsageError(
            f"{file} is not a result of samebench bench-overhead --format json: {wrong[0]}; measure it again",
            code="malformed-file",
        )
    return cast(dict[str, Any], found)


class RowForm(Struct):
    """A row in a file of results."""

    backend: str
    mode: str
    task: str
    status: str
    reason: str | None
    verdict: str | None


class SidesForm(Struct):
    """A value for each side."""

    ours: float
    yardstick: float


class ReasonsForm(Struct):
    ours: str | None
    yardstick: str | None


class RatioForm(Struct):
    median: float
    low: float | None
    high: float | None


class MeasuredForm(RowForm):
    """A row with numbers."""

    form: str
    images_per_s: SidesForm
    ratio: RatioForm
    ratios: list[float]
    disturbed: ReasonsForm


class StoredForm(Struct):
    """The results of a measurement in a file."""

    host: dict[str, Any]
    rows: list[RowForm]


def _tell_of(who: str, tell: Tell, line: str) -> None:
    tell(f"{who}: {line}")


def _rows(
    backend: str, mode: str, file: Path, tasks: Sequence[str], pairs: int, tell: Tell
) -> Iterator[dict[str, Any]]:
    """The rows of one backend in one mode, measured in a process of its own."""
    answers = _ask(backend, mode, file, tasks, pairs, tell)
    for task in tasks:
        yield {"backend": stem(backend), "mode": mode, "task": task} | summary(answers[task])


def _ask(backend: str, mode: str, file: Path, tasks: Sequence[str], pairs: int, tell: Tell) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="samebench-overhead-") as name:
        folder = Path(name)
        wanted = {"backend": backend, "mode": mode, "yardsticks": str(file.resolve()), "tasks": tasks, "pairs": pairs}
        write_json(folder / "request.json", {"overhead": wanted, "limits": {"threads": None, "memory_bytes": None}})
        ended = run_worker(
            folder / "request.json", folder / "result.json", folder / "log.txt",
            environment=worker_environment(), timeout=TIMEOUT, listen=tell,
        )  # fmt: skip
        try:
            found: dict[str, Any] = read_json(folder / "result.json")
            return found
        except (OSError, ValueError):
            status, reason = ended.explain()
            return {task: {"status": status, "reason": reason} for task in tasks}


def summary(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer of the process with its ratios, their median and its interval, and the verdict."""
    if answer["status"] != "ok":
        return answer | {"verdict": None}
    ratios = [pair["yardstick"]["seconds"] / pair["ours"]["seconds"] for pair in answer["pairs"]]
    sides = {
        side: [Rate(answer["images"], Usage(**pair[side])) for pair in answer["pairs"]]
        for side in ("ours", "yardstick")
    }
    interval = median_interval(ratios)
    return answer | {
        "ratio": interval,
        "verdict": verdict(interval["low"], interval["high"]),
        "ratios": ratios,
        "images_per_s": {side: float(median(rates)) for side, rates in sides.items()},
        "disturbed": {side: disturbance(as_record(rates)) for side, rates in sides.items()},
    }


def verdict(low: float | None, high: float | None) -> str:
    """Whether an interval of ratios lies below the floor, above it, or on both sides of it."""
    if low is None or high is None:
        return "undecided"
    return "slower" if high < FLOOR else "as fast" if low >= FLOOR else "undecided"


def failures(found: dict[str, Any]) -> Iterator[str]:
    """The reasons for exit code 1, one a line."""
    for row in found["rows"]:
        if row["verdict"] == "slower" or row["status"] not in ("ok", "unsupported"):
            yield f"{_who(row)}: {_outcome(row)}"
    if not any(row["status"] == "ok" for row in found["rows"]):
        yield "nothing was measured"


def as_text(found: dict[str, Any]) -> str:
    """The table of the ratios, and notes about it."""
    measured = [row for row in found["rows"] if row["status"] == "ok"]
    headers = (
        "backend",
        "mode",
        "task",
        "yardstick",
        "images/s, ours",
        "yardstick's",
        "ratio",
        "95 % interval",
        "n",
        "verdict",
    )
    cells = [
        (
            row["backend"], row["mode"], row["task"], row["form"],
            *(f"{row['images_per_s'][side]:,.0f}" for side in ("ours", "yardstick")),
            f"{row['ratio']['median']:.2f}", _interval(row), str(len(row["ratios"])), row["verdict"],
        )
        for row in measured
    ]  # fmt: skip
    title = f"Speed of each backend, divided by that of its yardstick; the floor is {found['floor']}"
    notes = [
        f"{_who(row)}, {side}: {reason}" for row in measured for side, reason in row["disturbed"].items() if reason
    ]
    missing = [f"{_who(row)}: {_outcome(row)}" for row in found["rows"] if row["status"] != "ok"]
    paragraphs = [wrap_lines(lines) for lines in (notes, missing) if lines]
    return "\n\n".join([draw_table(Table(title, headers, cells)), *paragraphs])


def _who(row: dict[str, Any]) -> str:
    return f"{row['backend']} {row['mode']}, {row['task']}"


def _outcome(row: dict[str, Any]) -> str:
    if row["status"] != "ok":
        return f"{row['status']}: {row['reason']}"
    return f"ratio {row['ratio']['median']:.2f}, 95 % interval {_interval(row)}: {row['verdict']}"


def _interval(row: dict[str, Any]) -> str:
    low, high = row["ratio"]["low"], row["ratio"]["high"]
    return "-" if low is None else f"{low:.2f} to {high:.2f}"
