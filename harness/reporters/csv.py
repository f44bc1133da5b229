"""The raw cells for a spreadsheet or a data frame: a line a cell, a column a value."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from harness import Cell, Report, Result, hookimpl


def as_csv(report: Report) -> str:
    rows_of = {
        (row["subject"], seed): _of_row(number, row, report)
        for number, row in enumerate(report.summary, 1)
        for seed in row["seeds"]
    }
    rows = [_flat(result) | rows_of.get((result.cell.configuration, result.cell.seed), {}) for result in report.results]
    columns = list(dict.fromkeys(column for row in rows for column in row)) or [field.name for field in fields(Cell)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _safe(value) for column, value in row.items()} for row in rows)
    return text.getvalue().rstrip("\n")


def _flat(result: Result) -> dict[str, Any]:
    """Every value by its path; what differs from cell to cell only in its words is left to the JSON report."""
    data = result.as_json()
    for name in ("evidence", "provenance", "settings", "versions"):
        del data[name]
    return dict(_paths(data))


def _of_row(number: int, row: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The row of the summary that a cell belongs to, with its means: cells of one row may be averaged, others may not."""
    apart = ", ".join(f"{name} {value}" for name, value in row["apart"].items())
    names = [one.name for one in report.metrics[row["task"]] if one.form == "value" and one.is_mean and one.name in row]
    return {"row": number, "kept_apart": apart} | dict(_paths({name: row[name] for name in names}, "row."))


def _paths(data: Mapping[str, Any], start: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            found += _paths(value, f"{start}{name}.")
        else:
            found.append((start + name, json.dumps(value) if isinstance(value, list | tuple) else value))
    return found


def _safe(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is marked as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"csv": as_csv}
