"""The report for issues, pull requests and notebooks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from harness.markers import hookimpl
from harness.report import Report
from harness.text import printable
from harness.wording import HEADERS, NUMBERS, experiments, notes


def as_markdown(report: Report) -> str:
    tables = [
        "\n".join([f"**{_plain(title)}**", "", _row(HEADERS), _rule(), *map(_row, rows)])
        for title, rows in experiments(report)
    ]
    paragraphs = ["\n".join(f"- {_plain(line)}" for line in lines) for lines in notes(report) if lines]
    return "\n\n".join(tables + paragraphs)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _rule() -> str:
    return f"|{'|'.join('---:' if header in NUMBERS else ':---' for header in HEADERS)}|"


def _plain(text: str) -> str:
    """The text as it is, whatever Markdown or HTML would make of it."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(printable(text).split()))


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"markdown": as_markdown}
