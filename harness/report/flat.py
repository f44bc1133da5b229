"""The cells of a run as rows of plain values, for spreadsheets, data frames and columns of Parquet.

wide: a row for each cell, with a column for each number. Lists are left out, and a cell's speed is the median of its segments.
long: a row for each number, also for each point of a curve and each timed segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.forms import is_number
from harness.metric import Metric
from harness.report.summary import Report, disturbed
from harness.result import Result

Flat = dict[str, Any]

WHAT = ("task", "mode", "precision", "device", "model", "dataset", "weights", "semantics", "seed", "status")
"""The fields of a cell that say what it is, beside its backend."""

SPEED = "time.images_per_s"


def wide_rows(report: Report) -> list[Flat]:
    """A row for each cell: what it is, its numbers, and the means of the row of the summary that it belongs to."""
    of_rows = {
        (row["subject"], seed): shared
        for number, row in enumerate(report.summary, 1)
        for shared in [_of_row(number, row, report)]
        for seed in row["seeds"]
    }
    return [_wide(result) | of_rows.get((result.cell.configuration, result.cell.seed), {}) for result in report.results]


def _wide(result: Result) -> Flat:
    cell = result.cell
    found: Flat = {"task": cell.task, "backend": cell.backend, "shown": result.shown}
    found |= {name: getattr(cell, name) for name in WHAT if name not in ("task", "status")}
    found |= {"status": result.status, "reason": result.reason, "parity.verdict": result.verdict.text}
    found |= paths({"options": dict(cell.options), "metrics": result.metrics, "time": result.time})
    if (speed := result.speed) is not None:
        found[SPEED] = speed
    found |= {"disturbed": disturbed(result)} if result.status == "ok" else {}
    found |= paths({"parameters": result.parameters, "memory": result.memory, "parity": _numbers(result.parity)})
    return found | {"warnings": "; ".join(result.warnings)}


def _numbers(parity: Mapping[str, Any]) -> Flat:
    return {name: value for name, value in parity.items() if is_number(value)}


def _of_row(number: int, row: Mapping[str, Any], report: Report) -> Flat:
    """The row of the summary that a cell belongs to, with its means and its rate. Only cells of the same row may be averaged."""
    apart = ", ".join(f"{name} {value}" for name, value in row["apart"].items())
    means = [metric.name for metric in report.metrics[row["task"]] if metric.form == "value" and metric.is_mean]
    known = {name: row[name] for name in (*means, "images_per_s") if name in row}
    return {"row": number, "kept_apart": apart} | paths(known, "row.")


def long_rows(report: Report) -> list[Flat]:
    """A row for each number of each cell. `over` and `place` say where on a curve it is; they are None for a single number."""
    return [
        {"backend": result.shown} | {name: getattr(result.cell, name, result.status) for name in WHAT} | number
        for result in report.results
        for number in numbers_of(result, report.metrics.get(result.cell.task, ()))
    ]


def numbers_of(result: Result, metrics: Sequence[Metric]) -> Iterator[Flat]:
    """Each number of a cell: its name, its place on a curve, and its value."""
    declared = {metric.name: metric for metric in metrics}
    for name, value in result.metrics.items():
        if is_number(value):
            yield _number(f"metrics.{name}", value)
        elif name in declared and isinstance(value, list):
            yield from _points(declared[name], value)
    for name, value in paths({"time": result.time, "memory": result.memory, "parameters": result.parameters}).items():
        if is_number(value):
            yield _number(name, value)
    for number, speed in enumerate(result.time.get("images_per_s", ())):
        yield _number(SPEED, speed, "segment", number)


def _points(metric: Metric, points: list[Any]) -> Iterator[Flat]:
    """The numbers of a curve, of the classes, or of a confusion."""
    for number, point in enumerate(points):
        if metric.form == "confusion":
            for column, count in enumerate(point):
                yield _number(f"metrics.{metric.name}", count, f"truth {number}, prediction", column)
        else:
            place = point.get(metric.over) if metric.form == "curve" else point.get("class")
            for key, value in point.items():
                if key not in (metric.over, "class") and is_number(value):
                    yield _number(f"metrics.{metric.name}.{key}", value, metric.over or "class", place)


def _number(name: str, value: Any, over: str | None = None, place: Any = None) -> Flat:
    return {"name": name, "over": over, "place": None if place is None else str(place), "value": float(value)}


def paths(data: Mapping[str, Any], start: str = "") -> Flat:
    """The values by their paths. Lists are left out."""
    found: Flat = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found |= paths(value, f"{start}{name}.")
        elif not isinstance(value, list | tuple):
            found[f"{start}{name}"] = value
    return found


def columns_of(rows: list[Flat]) -> list[str]:
    """The names of all columns that have a value, in the order of their first appearance."""
    return list(dict.fromkeys(column for row in rows for column, value in row.items() if value is not None))
