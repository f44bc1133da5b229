"""More tables of an experiment: values along a curve, and the judgements of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.metric import Format, Metric, number_text
from harness.report.crosscheck import judged_metric
from harness.report.summary import Report
from harness.report.text.headlines import conditions, details
from harness.report.text.tables import Table, metric_text, row_names, seeds_text

Row = dict[str, Any]


def curves(title: str, rows: Sequence[Row], metrics: Sequence[Metric]) -> Iterator[Table]:
    """The mean of each curve at each place, such as the accuracy by epsilon; and the details of the task."""
    for metric in metrics:
        if metric.form == "curve" and metric.is_mean and (known := [row for row in rows if metric.name in row]):
            yield from (_curve(title, known, metric, part, metrics) for part in metric.parts)


def _curve(
    title: str, rows: Sequence[Row], metric: Metric, part: tuple[str, Format], metrics: Sequence[Metric]
) -> Table:
    """A table of one part of a curve: a column for each place, then the details."""
    (key, format), beside = part, details(metrics)
    places = [point[metric.over] for point in rows[0][metric.name]]
    first, names = row_names(rows)
    values = [[number_text(point[key]["mean"], format) for point in row[metric.name]] for row in rows]
    return Table(
        f"{title}: {metric.header} by {metric.over}{''.join(_conditions(rows[0], beside, metrics))}",
        (*first, *(f"{place:.3g}" for place in places), *(detail.header for detail in beside)),
        [
            (*name, *cells, *(metric_text(detail, row) for detail in beside))
            for name, cells, row in zip(names, values, rows, strict=True)
        ],
    )


def _conditions(row: Row, beside: Sequence[Metric], metrics: Sequence[Metric]) -> Iterator[str]:
    """The conditions of all values, and those of the columns beside the curve."""
    for condition in conditions(metrics):
        if condition.name in row:
            of = ", ".join(other.header for other in beside if other.at == condition.name)
            text = f"{condition.header} {metric_text(condition, row)}"
            yield f"; {of} at {text}" if of else f"; {text}"


def judgements(report: Report, title: str, rows: Sequence[Row], metrics: Sequence[Metric]) -> Iterator[Table]:
    """Tables of the scores of every judge for the pictures of every maker."""
    tables = [found for found in _judgements_of(report, rows) if any(found["scores"].values())]
    metric = judged_metric(metrics)
    kind = metric.judged if metric else "accuracy"
    score = "accuracy" if kind == "accuracy" else "probability of the class"
    for found in tables:
        which = f", {seeds_text(found['seeds'])}" if len(tables) > 1 else ""
        yield Table(
            f"{title}{which}: {score} that the backend of a column finds in the pictures of the backend of a row",
            ("made on", *found["judges"]),
            [
                (maker, *(f"{scores[judge][kind]:.2%}" if judge in scores else "-" for judge in found["judges"]))
                for maker, scores in found["scores"].items()
            ],
        )


def _judgements_of(report: Report, rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    """The judgements of pictures that cells of these rows have made, in the order of the report."""
    found = {
        number: judgement
        for row in rows
        for number, judgement in report.judgements_by_subject.get(row["subject"], ())
        if not {*row["seeds"]}.isdisjoint(judgement["seeds"])
    }
    return [found[number] for number in sorted(found)]
