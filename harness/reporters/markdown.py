"""The report for issues, pull requests and notebooks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from harness import LEFT_COLUMNS, Report, Table, hookimpl, printable, report_notes, report_tables


def as_markdown(report: Report) -> str:
    paragraphs = ["\n".join(f"- {_plain(line)}" for line in lines) for lines in report_notes(report) if lines]
    return "\n\n".join([*map(_drawn, report_tables(report)), *paragraphs])


def _drawn(table: Table) -> str:
    rule = "|".join(":---" if header in LEFT_COLUMNS else "---:" for header in table.headers)
    return "\n".join([f"**{_plain(table.title)}**", "", _row(table.headers), f"|{rule}|", *map(_row, table.rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """The text with its special characters escaped, so that Markdown and HTML show it unchanged."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(printable(text).split()))


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"markdown": as_markdown}
