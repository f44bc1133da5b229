"""All cells of a run: a table, the failed ones with their reasons, and their data for a closer look."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from typing import Any

from harness.forms import is_number
from harness.metric import headline_of, number_text
from harness.report.charts.of_report import who_of
from harness.report.page.markup import Column, Line, Markup, element, table
from harness.report.summary import Report, disturbed, peak_bytes, work_seconds
from harness.result import Result

LOG = 16 * 1024
"""The number of characters of a log that a page holds: its end."""

LOGS = 2 * 1024 * 1024
"""The number of characters of all logs. Logs of failed cells come first."""


def failed(report: Report, prefix: str) -> Markup | None:
    """The cells that are not ok, each with its reason and a way to its log."""
    bad = [(number, result) for number, result in enumerate(report.results) if result.status != "ok"]
    if not bad:
        return None
    columns = [Column(name, is_text=True) for name in ("cell", "status", "reason")]
    lines = [
        Line(
            [_opener(f"{prefix}{number}", result), result.status, result.reason or "-"],
            _who(result),
            {"data_status": result.status},
        )
        for number, result in bad
    ]
    return table(
        columns, lines, f"{prefix}failed-table", f"{len(bad)} of {len(report.results)} cells are not ok", "failed"
    )


def all_cells(report: Report, prefix: str) -> Markup:
    """A row for each cell. Its name opens its numbers, its certificate, its log and the stored cell."""
    columns = [
        Column("cell", is_text=True), Column("status", is_text=True), Column("seed"), Column("result"),
        Column("speed", "higher"), Column("time", "lower"), Column("memory", "lower"), Column("same", is_text=True),
    ]  # fmt: skip
    rows = {(row["subject"], seed): row for row in report.summary for seed in row["seeds"]}
    lines = []
    for number, result in enumerate(report.results):
        row = rows.get((result.cell.configuration, result.cell.seed))
        verdict = element("span", result.verdict.answer, class_=f"verdict {result.verdict.kind}")
        lines.append(
            Line(
                [
                    _opener(f"{prefix}{number}", result),
                    result.status,
                    str(result.cell.seed),
                    *_numbers(report, result),
                    verdict,
                ],
                who_of(row) if row else _who(result),
                {"data_status": result.status, "data_row": result.cell.configuration},
            )
        )
    return table(columns, lines, f"{prefix}cells-table", f"All {len(report.results)} cells", "cells")


def _numbers(report: Report, result: Result) -> tuple[str, ...]:
    if result.status != "ok":
        return "-", "-", "-", "-"
    main = headline_of(report.metrics[result.cell.task])
    value = main.value_in(result.metrics) if main else None
    peak = peak_bytes(result.memory)
    speed = "-" if result.speed is None else number_text(result.speed, "rate")
    return (
        number_text(value, main.format) if main and value is not None and is_number(value) else "-",
        f"{speed} *" if disturbed(result) else speed,
        f"{work_seconds(result.time):.2f} s",
        f"{peak / 2**20:,.0f} MiB" if peak else "-",
    )


def _opener(number: str, result: Result) -> Markup:
    """A button that opens the data of a cell, by its number in the report."""
    label = f"{result.cell.task}, {_who(result)}, seed {result.cell.seed}"
    return element("button", label, type="button", class_="open", data_cell=number)


def _who(result: Result) -> str:
    return result.shown if result.cell.mode == "default" else result.who


def packed(report: Report) -> str:
    """The stored cells of a run and their logs, compressed, as text for a page."""
    data: dict[str, Any] = {"report": report.as_json(), "logs": _logs(report)}
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(errors="backslashreplace"), 6, mtime=0)).decode()


def _logs(report: Report) -> dict[int, str]:
    """The ends of the logs by the numbers of their cells."""
    found, left = dict[int, str](), LOGS
    for number, result in sorted(enumerate(report.results), key=lambda item: item[1].status == "ok"):
        if left > 0 and (said := report.log(result)[-LOG:]):
            found[number] = said
            left -= len(said)
    return found


def data_blocks(reports: Sequence[Report]) -> Iterator[Markup]:
    """The data of each run, for the page's script. Browsers do not run blocks of this type."""
    for number, report in enumerate(reports):
        yield Markup(
            f'<script type="application/octet-stream" class="data" data-run="{number}">{packed(report)}</script>'
        )
