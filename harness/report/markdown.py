"""Tables and texts as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.report.text import LEFT_COLUMNS, Table
from harness.text import printable


def markdown_table(table: Table, left: Sequence[str] = LEFT_COLUMNS) -> str:
    """A table under its title. `left` are the columns that are aligned to the left."""
    rule = "|".join(":---" if header in left else "---:" for header in table.headers)
    title = [f"**{markdown_text(table.title)}**", ""] if table.title else []
    return "\n".join([*title, _row(table.headers), f"|{rule}|", *map(_row, table.rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(markdown_text, cells))} |"


def markdown_text(text: str) -> str:
    """The text with its special characters escaped, so that Markdown and HTML show it unchanged."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(printable(text).split()))
