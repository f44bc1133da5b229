"""The report for a terminal: an overview, or all tables and notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness import (
    Report,
    draw_table,
    hookimpl,
    printable,
    report_notes,
    report_overview,
    report_tables,
    wrap_lines,
)


def as_table(report: Report) -> str:
    return printable("\n\n".join(_everything(report) if report.full else _overview(report)))


def _overview(report: Report) -> list[str]:
    found = report_overview(report)
    table = f"{draw_table(found.table)}\n{wrap_lines([found.legend])}"
    return [table, wrap_lines([found.answer]), *([wrap_lines(found.exceptions)] if found.exceptions else [])]


def _everything(report: Report) -> list[str]:
    paragraphs = [wrap_lines(lines) for lines in report_notes(report) if lines]
    return [*map(draw_table, report_tables(report)), *paragraphs]


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"table": as_table}
