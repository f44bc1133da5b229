"""The report for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.drawing import drawn, paragraph
from harness.markers import hookimpl
from harness.report import Report
from harness.text import printable
from harness.wording import notes, tables


def as_table(report: Report) -> str:
    paragraphs = [paragraph(lines) for lines in notes(report) if lines]
    return printable("\n\n".join([*map(drawn, tables(report)), *paragraphs]))


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"table": as_table}
