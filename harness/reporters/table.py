"""The report for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.hookspecs import hookimpl
from harness.report.summary import Report
from harness.report.terminal import drawn, paragraph
from harness.report.text import notes, tables
from harness.text import printable


def as_table(report: Report) -> str:
    paragraphs = [paragraph(lines) for lines in notes(report) if lines]
    return printable("\n\n".join([*map(drawn, tables(report)), *paragraphs]))


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"table": as_table}
