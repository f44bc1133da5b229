r"""The tables for a paper: LaTeX with booktabs.

A document that contains them needs \usepackage{booktabs}, \usepackage[T1]{fontenc} and \usepackage{graphicx}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from harness import LEFT_COLUMNS, Report, Table, hookimpl, one_line, report_notes, report_tables

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "^": r"\textasciicircum{}",
    "_": r"\_", "~": r"\textasciitilde{}", "%": r"\%", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}", "'": "'", "`": r"\textasciigrave{}", "±": r"$\pm$", "×": r"$\times$",
}  # fmt: skip
"""Characters that mean something to LaTeX, and two of our tables."""

LAST = 0x17F
"""The last character that the usual fonts of LaTeX have. Others are named by their numbers."""

HEAD = r"""% Written by samebench. The document needs \usepackage{booktabs}, \usepackage[T1]{fontenc} and \usepackage{graphicx}."""


def as_latex(report: Report) -> str:
    tables = list(map(_table, report_tables(report)))
    notes = [f"% {_comment(line)}" for lines in report_notes(report) for line in lines]
    return "\n\n".join([HEAD, *tables, *(["\n".join(notes)] if notes else [])])


def _table(table: Table) -> str:
    columns = "".join("l" if header in LEFT_COLUMNS else "r" for header in table.headers)
    lines = "\n".join(f"    {_row(row)}" for row in table.rows)
    return "\n".join([
        r"\begin{table}[htbp]", r"  \centering\small", f"  \\caption{{{_text(table.title)}}}",
        r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%", f"  \\begin{{tabular}}{{{columns}}}", r"    \toprule",
        f"    {_row(table.headers)}", r"    \midrule", lines, r"    \bottomrule", r"  \end{tabular}}", r"\end{table}",
    ])  # fmt: skip


def _row(cells: tuple[str, ...]) -> str:
    return " & ".join(map(_text, cells)) + r" \\"


def _text(text: str) -> str:
    """The text as LaTeX prints it, in one line. Two hyphens would become a dash."""
    return "".join(_letters(one_line(text))).replace("--", "-{}-")


def _letters(text: str) -> Iterator[str]:
    for letter in text:
        yield SPECIAL.get(letter, letter if ord(letter) <= LAST else f"[U+{ord(letter):04X}]")


def _comment(line: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", one_line(line))


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"latex": as_latex}
