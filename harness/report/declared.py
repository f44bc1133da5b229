"""The metrics of the tasks of a run: as stored in the run, or else as declared by the installed tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.errors import SpecError
from harness.metric import Metric, check_metrics, plain_metrics
from harness.plugins import load_plugins
from harness.result import Result

Declared = Mapping[str, Sequence[Metric]]
"""The metrics of each task, by its name."""


def installed_metrics(tasks: Iterable[str]) -> dict[str, Sequence[Metric]]:
    """The metrics that these tasks declare, for those that are installed."""
    installed = load_plugins().tasks
    return {name: tuple(installed.things[name].metrics) for name in dict.fromkeys(tasks) if name in installed.things}


def stored_metrics(record: Mapping[str, Any]) -> dict[str, Sequence[Metric]]:
    """The metrics in the record of a run. Raises ValueError with the path of a problem."""
    stored = record.get("metrics", {})
    if not (isinstance(stored, dict) and all(isinstance(metrics, list) for metrics in stored.values())):
        raise ValueError("metrics is an object of lists, one for each task")
    return {task: _checked(metrics, f"metrics.{task}") for task, metrics in stored.items()}


def _checked(stored: Sequence[Any], path: str) -> tuple[Metric, ...]:
    metrics = tuple(Metric.from_json(data, f"{path}[{number}]") for number, data in enumerate(stored))
    try:
        check_metrics(metrics)
    except SpecError as error:
        raise ValueError(f"{path}: {error}") from None
    return metrics


def declared_metrics(record: Mapping[str, Any], tasks: Iterable[str]) -> dict[str, Sequence[Metric]]:
    """The metrics of these tasks in a run. Runs of earlier versions have stored none; then the installed tasks declare them."""
    stored = stored_metrics(record)
    unknown = [task for task in dict.fromkeys(tasks) if task not in stored]
    return stored | (installed_metrics(unknown) if unknown else {})


def with_plain_metrics(declared: Declared, results: Iterable[Result]) -> dict[str, Sequence[Metric]]:
    """The declared metrics, and plain metrics for each task that declares none."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        if not declared.get(result.cell.task):
            found.setdefault(result.cell.task, []).append(result.metrics)
    return {**declared, **{task: plain_metrics(metrics) for task, metrics in found.items()}}
