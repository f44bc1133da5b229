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
    rows = [_flat(result) | _row_of(result, report) for result in report.results]
    columns = list(dict.fromkeys(column for row in rows for column in row)) or [field.name for field in fields(Cell)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _safe(value) for column, value in row.items()} for row in rows)
    return text.getvalue().rstrip("\n")


def _flat(result: Result) -> dict[str, Any]:
    """Every value by its path; what differs from cell to cell only in its words is left to the JSON report."""
    data = result.as_json()
    for name in ("evidence", "settings", "versions"):
        del data[name]
    return dict(_paths(data))


def _row_of(result: Result, report: Report) -> dict[str, Any]:
    """The row of the summary that the cell belongs to: cells of one row may be averaged, others may not."""
    for number, row in enumerate(report.summary, 1):
        if row["subject"] == result.cell.configuration and result.cell.seed in row["seeds"]:
            return {"row": number, "kept_apart": ", ".join(f"{name} {value}" for name, value in row["apart"].items())}
    return {}


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
