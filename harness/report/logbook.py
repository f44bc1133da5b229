"""Finished cells as trackers of experiments take them: what each cell is, its numbers, curves and pictures, and its verdict."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.metric import Metric
from harness.report.flat import SPEED, WHAT, Flat, numbers_of, paths
from harness.report.galleries import SHOWN, as_bytes
from harness.result import Result
from harness.spec import Array
from harness.text import json_line, one_line

LONGEST = 200
"""The largest number of characters of a name. MLflow takes no more than 250."""

WHOLE = re.compile(r"\d{1,15}(\.0)?")
"""A place of a curve that is a whole number."""

KINDS = {"original": "original", "made": "made", "plain": "without total variation"}
"""The pictures of a cell by their names in its file, with their names in a logbook."""


@dataclass(frozen=True)
class LoggedCell:
    """A finished cell. All names consist of letters, digits, spaces and the characters `._-`."""

    name: str
    """The name of the cell, different for each cell: scratch-cnn.pytorch.default.seed0.1a2b3c4d5e."""

    tags: Mapping[str, str] = field(default_factory=dict)
    """The status, the verdict, its kind, and the reason if the cell is not ok."""

    parameters: Mapping[str, str | float | bool] = field(default_factory=dict)
    """What the cell is: task, backend, network, seed and so on, and its options."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    """Metrics, times, memory and parameter counts."""

    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    """Numbers by epoch, or by another whole number: pairs of place and value."""

    pictures: Mapping[str, Array] = field(default_factory=dict)
    """Pictures as bytes: rows, columns and 1 or 3 channels."""

    @property
    def is_ok(self) -> bool:
        return self.tags.get("status") == "ok"


@dataclass(frozen=True)
class Logbook:
    """The cells of a run, for a sink. `for cell in book` gives each cell when it has finished, and ends with the run.

    A cell may come again, because it has run again, or because its verdict has changed. Replace what is there under its name.
    """

    run: str
    """The name of the run."""

    folder: Path
    """A folder for files, which exists."""

    where: str | None
    """The place that the user has given with the name of the sink: `--sink NAME=PLACE`."""

    cells: Iterator[LoggedCell]

    def __iter__(self) -> Iterator[LoggedCell]:
        return self.cells


def logged(result: Result, metrics: Sequence[Metric]) -> LoggedCell:
    """A result with these declared metrics, as sinks get it, without its pictures."""
    numbers, curves = _numbers(numbers_of(result, [metric for metric in metrics if metric.form != "confusion"]))
    numbers |= {SPEED: result.speed} if result.speed is not None else {}
    return LoggedCell(plain_name(result.cell.key), _tags(result), _parameters(result), numbers, curves)


def _tags(result: Result) -> dict[str, str]:
    found = {"status": result.status, "verdict": result.verdict.text, "same": result.verdict.kind}
    return {name: one_line(text) for name, text in (found | {"reason": result.reason or ""}).items() if text}


def _parameters(result: Result) -> dict[str, str | float | bool]:
    cell, options = result.cell, result.cell.options
    known: Flat = {"backend": result.shown} | {name: getattr(cell, name) for name in WHAT if name != "status"}
    known |= paths(options) | {
        name: json_line(value) for name, value in options.items() if isinstance(value, list | tuple)
    }
    return {
        plain_name(name): one_line(value) if isinstance(value, str) else value
        for name, value in known.items()
        if value is not None
    }


def _numbers(rows: Iterable[Flat]) -> tuple[dict[str, float], dict[str, list[tuple[int, float]]]]:
    """Single numbers, and curves over whole numbers. If a curve has other places, each of its numbers has its place in the name."""
    numbers: dict[str, float] = {}
    found: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for row in rows:
        if not math.isfinite(row["value"]) or row["over"] == "segment":
            continue
        if row["over"] is None:
            numbers[plain_name(row["name"])] = row["value"]
        else:
            found.setdefault((row["name"], row["over"]), []).append((str(row["place"]), row["value"]))
    curves: dict[str, list[tuple[int, float]]] = {}
    for (name, over), points in found.items():
        if over != "class" and all(WHOLE.fullmatch(place) for place, _ in points):
            curves[plain_name(name)] = [(int(float(place)), value) for place, value in points]
        else:
            numbers |= {plain_name(f"{name} at {over} {place}"): value for place, value in points}
    return numbers, curves


def logged_pictures(result: Result, pictures: Callable[[Result], Mapping[str, Array]]) -> dict[str, Array]:
    """The pictures that a cell has kept, as sinks get them."""
    try:
        found = pictures(result)
    except LookupError:
        return {}
    rows = found.get("shown", np.arange(len(found.get("made", ()))))[:SHOWN]
    return {
        f"picture {number} {said}": as_bytes(found[kind][row])
        for number, row in enumerate(rows, 1)
        for kind, said in KINDS.items()
        if kind in found
    }


def plain_name(text: str) -> str:
    """The text as a name that every tracker takes, also as a name of a folder."""
    return re.sub(r"[^\w. -]", "_", text, flags=re.ASCII)[:LONGEST].lstrip(".") or "_"
