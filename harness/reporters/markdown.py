"""The report for issues, pull requests and notebooks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from harness.hookspecs import hookimpl
from harness.report.summary import Report
from harness.report.text import TEXTS, Table, notes, tables
from harness.text import printable


def as_markdown(report: Report) -> str:
    paragraphs = ["\n".join(f"- {_plain(line)}" for line in lines) for lines in notes(report) if lines]
    return "\n\n".join([*map(_drawn, tables(report)), *paragraphs])


def _drawn(table: Table) -> str:
    rule = "|".join(":---" if header in TEXTS else "---:" for header in table.headers)
    return "\n".join([f"**{_plain(table.title)}**", "", _row(table.headers), f"|{rule}|", *map(_row, table.rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """The text as it is, whatever Markdown or HTML would make of it."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(printable(text).split()))


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"markdown": as_markdown}
