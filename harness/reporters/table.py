"""The report for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness import Report, draw_table, hookimpl, printable, report_notes, report_tables, wrap_lines


def as_table(report: Report) -> str:
    paragraphs = [wrap_lines(lines) for lines in report_notes(report) if lines]
    return printable("\n\n".join([*map(draw_table, report_tables(report)), *paragraphs]))


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"table": as_table}
