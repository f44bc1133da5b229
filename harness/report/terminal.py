"""Tables and paragraphs as a terminal shows them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tabulate import tabulate

from harness.report.text import LEFT_COLUMNS, Table
from harness.text import one_line

WIDTH = 112


def draw_table(table: Table, left: Sequence[str] = LEFT_COLUMNS) -> str:
    """A table under its title, if it has one. `left` are the columns that are aligned to the left."""
    sides = ["left" if header in left else "right" for header in table.headers]
    title = f"{wrapped(table.title)}\n" if table.title else ""
    rows = [list(map(one_line, row)) for row in table.rows]
    return f"{title}{tabulate(rows, table.headers, disable_numparse=True, colalign=sides)}"


def wrap_lines(lines: Sequence[str]) -> str:
    """Lines of a paragraph, wrapped."""
    return "\n".join(map(wrapped, lines))


def wrapped(line: str) -> str:
    """A line, wrapped to the width."""
    return textwrap.fill(one_line(line), WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
