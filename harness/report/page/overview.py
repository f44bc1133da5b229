"""The top of the page: the answer in a sentence, one table, and a line for each thing that is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.metric import headline_of
from harness.report.charts.of_report import who_of
from harness.report.page.markup import Column, Line, Markup, element, link, listing, table
from harness.report.summary import Report
from harness.report.text.overview import Overview

BETTER: Mapping[str, Any] = {"time": "lower", "memory": "lower"}


def overview(report: Report, found: Overview, prefix: str, places: Mapping[int, str]) -> Iterator[Markup]:
    """`places` has the identifier of each row's experiment, by the identity of the row."""
    yield element("p", found.answer, class_="answer")
    yield element("p", found.table.title, class_="about")
    yield _table(report, found, prefix, places)
    yield element("p", found.legend, class_="quiet")
    if found.exceptions:
        yield listing(found.exceptions, class_="exceptions")


def _table(report: Report, found: Overview, prefix: str, places: Mapping[int, str]) -> Markup:
    _, _, main, time, rate, memory, parameters, same = found.table.headers
    heads = {headline_of(report.metrics[row["task"]]) for row in found.rows}
    better = {metric.better if metric else None for metric in heads}
    columns = [
        Column("backend", is_text=True),
        Column("task", is_text=True),
        Column(main, better=better.pop() if len(better) == 1 else None),
        Column(time, better="lower"),
        Column(rate, better="higher"),
        Column(memory, better="lower"),
        Column(parameters),
        Column(same, is_text=True),
    ]
    lines, task = [], ""
    for cells, row in zip(found.table.rows, found.rows, strict=True):
        task = cells[0] or task
        verdict = element(
            "span", cells[-1], class_=f"verdict {row['parity'].kind}", title=row["parity"].details or None
        )
        lines.append(Line([link(places[id(row)], cells[1]), task, *cells[2:-1], verdict], who_of(row)))
    return table(columns, lines, f"{prefix}overview-table", class_="overview")
