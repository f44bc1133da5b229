"""The stored cells for a spreadsheet or a data frame: a line for each cell, a column for each value."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from harness import Cell, Report, Result, hookimpl, json_line, one_line

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""The first characters of formulas. The last four are wide characters."""


def as_csv(report: Report) -> str:
    rows_of = {
        (row["subject"], seed): shared
        for number, row in enumerate(report.summary, 1)
        for shared in [_of_row(number, row, report)]
        for seed in row["seeds"]
    }
    rows = [_flat(result) | rows_of.get((result.cell.configuration, result.cell.seed), {}) for result in report.results]
    columns = list(dict.fromkeys(column for row in rows for column in row)) or [field.name for field in fields(Cell)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_safe(row.get(column)) for column in columns] for row in rows)
    return text.getvalue().rstrip("\n")


def _flat(result: Result) -> dict[str, Any]:
    """All values by their paths. Evidence, settings and versions are only in the JSON report."""
    data = result.as_json()
    for name in ("evidence", "provenance", "settings", "versions"):
        del data[name]
    return dict(_paths(data | {"options": dict(data["options"])}))


def _of_row(number: int, row: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The row of the summary that a cell belongs to, with its means and its rate. Only cells of the same row may be averaged."""
    apart = ", ".join(f"{name} {value}" for name, value in row["apart"].items())
    means = [metric.name for metric in report.metrics[row["task"]] if metric.form == "value" and metric.is_mean]
    known = {name: row[name] for name in (*means, "images_per_s") if name in row}
    return {"row": number, "kept_apart": apart} | dict(_paths(known, "row."))


def _paths(data: Mapping[str, Any], start: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in data.items():
        if isinstance(value, dict):
            found += _paths(value, f"{start}{name}.")
        else:
            found.append((start + name, json_line(value) if isinstance(value, list | tuple) else value))
    return found


def _safe(value: Any) -> Any:
    """The value. Text is in one line. If a spreadsheet would read it as a formula, it gets a mark in front: some programs skip
    spaces, and some read wide characters like usual ones."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"csv": as_csv}
