"""The main numbers of a row of the summary, by the metrics of its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.metric import Metric, headline_of
from harness.report.text.tables import metric_text


def columns(metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics that have a column in the table of results."""
    return [metric for metric in metrics if metric.form == "value" and metric.shown == "results"]


def details(metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics that have a column in tables of details only."""
    return [metric for metric in metrics if metric.form == "value" and metric.shown == "details" and metric.is_mean]


def conditions(metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics that are conditions of the experiment, such as the number of pictures."""
    return [metric for metric in metrics if metric.form == "value" and metric.shown != "no" and not metric.is_mean]


def qualifier(metric: Metric, row: Mapping[str, Any], metrics: Sequence[Metric]) -> str:
    """The text that qualifies a metric in this row: " at epsilon 0.1"."""
    other = next((other for other in metrics if other.name == metric.at and other.name in row), None)
    return f" at {other.header} {metric_text(other, row)}" if other else ""


def headline(row: Mapping[str, Any], metrics: Sequence[Metric]) -> str | None:
    """The main number of a row of the summary, or of a result, in words: robust accuracy 61.33% at epsilon 0.1. None if it
    does not have this metric."""
    main = headline_of(metrics)
    if main is None or row.get(main.name) is None:
        return None
    return f"{main.header} {metric_text(main, row)}{qualifier(main, row, metrics)}"
