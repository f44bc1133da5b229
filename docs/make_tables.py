"""Write the tables in README.md and docs/ anew, from the cells in results/: python docs/make_tables.py

A comment above a block names the command (`report`, `compare` or `bench-overhead`), and how much of its output the page shows:
<!-- all: samebench report results/digits -->, or <!-- first 2 tables: samebench report results/attacks --full -->
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from click.testing import CliRunner

from harness.cli import main

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"(<!-- (all|first \d+ tables): samebench ((?:report|compare|bench-overhead) .*?) -->\n```\n)(.*?)(\n```\n<!-- end -->)",
    re.DOTALL,
)


def printed(extent: str, command: str) -> str:
    """The output of a command of samebench, or as many paragraphs of it as the extent says."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        parts = CliRunner().invoke(main, command.split(), catch_exceptions=False).stdout.rstrip("\n")
    finally:
        os.chdir(before)
    paragraphs = parts.split("\n\n")
    return "\n\n".join(paragraphs if extent == "all" else paragraphs[: int(extent.split()[1])])


def refreshed(text: str) -> str:
    """The text of a page with each table as the command prints it today."""
    return BLOCK.sub(lambda block: block[1] + printed(block[2], block[3]) + block[5], text)


def commands_in(text: str) -> list[str]:
    """Each command whose output a page shows."""
    return [block[3] for block in BLOCK.finditer(text)]


if __name__ == "__main__":
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        page.write_text(refreshed(page.read_text()))
