"""The numbers of a cell that two runs are compared by: its speed, its times, its memory, and the metrics of its task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.forms import is_number
from harness.metric import Format, Metric
from harness.report.declared import Declared
from harness.report.stats import FEWEST_MEANS, FEWEST_RATES
from harness.report.summary import peak_bytes, work_seconds
from harness.result import Result


@dataclass(frozen=True)
class Measure:
    """A number of a finished cell."""

    name: str
    header: str
    value: Callable[[Result], float | None]
    is_timed: bool = False
    """Whether it depends on the clock, so that a disturbed cell says nothing about it."""

    fewest: int = FEWEST_RATES
    """The smallest number of pairs with an interval."""

    format: Format = "number"

    @property
    def is_share(self) -> bool:
        return self.format in ("share", "difference")


SPEED = Measure("images_per_s", "images/s", lambda result: result.speed, is_timed=True, format="rate")
WORK = Measure("work_s", "time", lambda result: work_seconds(result.time), is_timed=True, format="size")
FIRST_STEP = Measure(
    "first_step_s", "first step", lambda result: result.time.get("first_step_s"), is_timed=True, format="size"
)
MEMORY = Measure("peak_bytes", "memory", lambda result: peak_bytes(result.memory), format="count")
OF_EVERY_TASK = {measure.name: measure for measure in (SPEED, WORK, FIRST_STEP, MEMORY)}


def of_metric(metric: Metric) -> Measure:
    """The measure of a metric that a task declares."""

    def value(result: Result) -> float | None:
        found = metric.value_in(result.metrics)
        return float(found) if is_number(found) else None

    timed = metric.format == "rate"
    fewest = FEWEST_RATES if timed else FEWEST_MEANS
    return Measure(metric.name, metric.header, value, timed, fewest, metric.format)


def measures_of(task: str, declared: Declared) -> dict[str, Measure]:
    """All measures of a task, by their names."""
    metrics = [metric for metric in declared.get(task, ()) if metric.form == "value" and metric.is_mean]
    return OF_EVERY_TASK | {metric.name: of_metric(metric) for metric in metrics}


def names_of(tasks: Iterable[str], declared: Declared) -> list[str]:
    """The names of all measures of these tasks."""
    return list(dict.fromkeys(name for task in tasks for name in measures_of(task, declared)))


def shares_of(task: str, declared: Declared) -> list[Measure]:
    """The accuracies of a task: the shares that have a column in its results."""
    found = [metric for metric in declared.get(task, ()) if metric.form == "value" and metric.is_mean]
    return [of_metric(metric) for metric in found if metric.format == "share" and metric.shown == "results"]
