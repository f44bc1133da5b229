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


RISKY = re.compile(r"@\w|\$|&\w*#?\w+;|:[\w+-]+:|www\.|\w+://|(?<!\w)#\d|(?<!\w)GH-\d", re.IGNORECASE)
"""Texts that a website may turn into something else: a person who is told, a formula, another character, a picture, a link, or a
reference to an issue. A backslash does not prevent all of them."""


def markdown_text(text: str) -> str:
    """The text with its special characters escaped, so that Markdown and HTML show it unchanged. A risky text becomes code."""
    line = " ".join(printable(text).split())
    return _code(line) if RISKY.search(line) else re.sub(r"([\\`*_{}\[\]<>|#~&])", r"\\\1", line)


def _code(line: str) -> str:
    """The line as code, between more backticks than it has in a row. A bar would end the cell of a table even in code."""
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}".replace("|", "\\|")
