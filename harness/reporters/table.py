"""The report for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping

from tabulate import tabulate

from harness.markers import hookimpl
from harness.report import Report
from harness.text import printable
from harness.wording import TEXTS, Table, notes, tables

WIDTH = 112


def as_table(report: Report) -> str:
    paragraphs = ["\n".join(map(_wrapped, lines)) for lines in notes(report) if lines]
    return printable("\n\n".join([*map(_drawn, tables(report)), *paragraphs]))


def _drawn(table: Table) -> str:
    sides = ["left" if header in TEXTS else "right" for header in table.headers]
    return f"{_wrapped(table.title)}\n{tabulate(table.rows, table.headers, disable_numparse=True, colalign=sides)}"


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"table": as_table}
