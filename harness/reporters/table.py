"""The report for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping

from tabulate import tabulate

from harness.markers import hookimpl
from harness.report import Report
from harness.text import printable
from harness.wording import HEADERS, NUMBERS, experiments, notes

WIDTH = 112
_ALIGN = tuple("right" if header in NUMBERS else "left" for header in HEADERS)


def as_table(report: Report) -> str:
    tables = [
        f"{title}\n{tabulate(rows, HEADERS, disable_numparse=True, colalign=_ALIGN)}"
        for title, rows in experiments(report)
    ]
    paragraphs = ["\n".join(map(_wrapped, lines)) for lines in notes(report) if lines]
    return printable("\n\n".join(tables + paragraphs))


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"table": as_table}
