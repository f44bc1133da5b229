"""The stored cells for a spreadsheet or a data frame: `csv` has a line for each cell, `csv-long` a line for each number."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

from harness import Report, columns_of, hookimpl, long_rows, one_line, wide_rows

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""The first characters of formulas. The last four are wide characters."""


def as_csv(report: Report) -> str:
    return _written(wide_rows(report), ["task", "backend", "seed", "status"])


def as_long_csv(report: Report) -> str:
    return _written(long_rows(report), ["task", "backend", "seed", "status", "name", "over", "place", "value"])


def _written(rows: list[dict[str, Any]], usual: list[str]) -> str:
    """The rows under their columns; under the usual ones if there are no rows."""
    columns = columns_of(rows) or usual
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_safe(row.get(column)) for column in columns] for row in rows)
    return text.getvalue().rstrip("\n")


def _safe(value: Any) -> Any:
    """The value. Text is in one line. If a spreadsheet would read it as a formula, it gets a mark in front: some programs skip
    spaces, and some read wide characters like usual ones."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"csv": as_csv, "csv-long": as_long_csv}
