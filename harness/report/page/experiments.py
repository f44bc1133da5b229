"""The experiments of a run: a table of results for each, its charts, and its other tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.report.charts.of_report import charts_of_experiment, labels, who_of
from harness.report.charts.svg import Palette, draw
from harness.report.charts.values import Chart
from harness.report.page.markup import Column, Line, Markup, element, identifier, table
from harness.report.summary import Report
from harness.report.text.curves import curves, judgements
from harness.report.text.headlines import columns as shown_metrics
from harness.report.text.results import OF_PEAK, headers_of
from harness.report.text.results import cells_of as texts_of
from harness.report.text.tables import LEFT_COLUMNS, Table

AT_ONCE = 4
"""The number of charts of an experiment that are shown at once; the others are under "More charts"."""


def experiment(
    report: Report, title: str, rows: Sequence[dict[str, Any]], place: str, cells: str, palette: Palette
) -> Iterator[Markup]:
    """The section of rows that may be compared."""
    yield element("h3", title)
    yield results(report, title, rows, place, cells)
    drawn = [figure(chart, palette, place) for chart in charts_of_experiment(report, rows)]
    if drawn:
        yield element("div", *drawn[:AT_ONCE], class_="charts")
    others = [
        *curves(title, rows, report.metrics[rows[0]["task"]]),
        *judgements(report, title, rows, report.metrics[rows[0]["task"]]),
    ]
    tables = [plain_table(found, f"{place}-more-{number}") for number, found in enumerate(others)]
    if drawn[AT_ONCE:] or tables:
        yield element(
            "details",
            element("summary", "More charts and tables"),
            element("div", *drawn[AT_ONCE:], class_="charts"),
            *tables,
        )


def results(report: Report, title: str, rows: Sequence[dict[str, Any]], place: str, cells: str | None = None) -> Markup:
    """The table of results. The name of a row leads to the table of its cells, if the page has one, at `cells`."""
    metrics = shown_metrics(report.metrics[rows[0]["task"]])
    heads = headers_of(rows, metrics)
    known: dict[str, Column] = {metric.header: Column(metric.header, metric.better, metric.name) for metric in metrics}
    known |= {head: Column(head, "higher", "images_per_s") for head in heads if head.endswith("/s")}
    known |= {"first step": Column("first step", "lower", "first_step_s"), OF_PEAK: Column(OF_PEAK, "higher")}
    known |= {"parity": Column("same", is_text=True)}
    columns = [Column("backend", is_text=True), *(known.get(head, Column(head)) for head in heads)]
    lines = []
    for name, row in zip(labels(rows), rows, strict=True):
        texts = texts_of(row, metrics, OF_PEAK in heads)
        verdict = element(
            "span", texts[-1], class_=f"verdict {row['parity'].kind}", title=row["parity"].details or None
        )
        to = element("a", name, href=f"#{cells}", data_row=row["subject"]) if cells else name
        lines.append(Line([to, *texts[:-1], verdict], who_of(row), {"data_label": name}))
    return table(columns, lines, f"{place}-results", title, "results")


def figure(chart: Chart, palette: Palette, place: str) -> Markup:
    """A chart with its title, the text of the mark that the reader points at, and a button to keep it."""
    name = f"{place}-{identifier(chart.name)}"
    note = getattr(chart, "note", "")
    caption = element("figcaption", chart.title, *([element("span", f" ({note})", class_="quiet")] if note else []))
    said = element("output", "", class_="said", aria_live="polite")
    keep = element("button", "Save", type="button", class_="keep", data_name=name, title="Save this chart as SVG")
    return element("figure", caption, Markup(draw(chart, palette)), said, keep, class_="drawn", id=name)


def plain_table(found: Table, id_: str) -> Markup:
    """A table of a text report."""
    columns = [
        Column(header, is_text=place == 0 or header in LEFT_COLUMNS) for place, header in enumerate(found.headers)
    ]
    return table(columns, [Line(list(row), row[0]) for row in found.rows], id_, found.title)
