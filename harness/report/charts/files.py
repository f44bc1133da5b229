"""All charts of a report as files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from harness.report.charts.of_report import charts_of_report, who_of
from harness.report.charts.svg import as_file, palette_of
from harness.report.summary import Report
from harness.report.text.footer import footer


def report_figures(report: Report, form: Literal["svg", "png"]) -> Iterator[tuple[str, bytes]]:
    """The name and the contents of a file for each chart. Each carries the experiment, the machine and the versions."""
    palette = palette_of([who_of(row) for row in report.summary] or [""])
    about, known = next(iter(footer(report)), ""), dict[str, int]()
    for title, chart in charts_of_report(report):
        name = _file_name(f"{title.partition(':')[0]}-{chart.name}" if title else chart.name, known)
        if form == "svg":
            yield name, as_file(chart, palette, ". ".join(filter(None, (title, about)))).encode(errors="replace")
        else:
            from harness.report.charts.plots import plot, png_of

            yield name, png_of(plot(chart, palette))


def _file_name(text: str, known: dict[str, int]) -> str:
    """A name for a file: letters, digits and hyphens, at most 80; a number tells alike names apart."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:80] or "chart"
    known[name] = known.get(name, 0) + 1
    return name if known[name] == 1 else f"{name}-{known[name]}"
