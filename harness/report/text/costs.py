"""The cost of a training with any number of steps: from the time until the first step has ended, and the time of each step.

A backend that compiles longer may be faster afterwards. So the faster of two backends depends on the length of the training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any, NamedTuple

from harness.report.stats import Typical, geometric_interval
from harness.report.summary import Report, disturbed
from harness.report.text.results import report_experiments
from harness.report.text.tables import Table, row_names

Row = dict[str, Any]

TRAINING = "training images"
UNTIL_FIRST_STEP = "import_s", "build_s", "first_step_s"
MOST_STEPS = 1e7
"""Longer trainings are not compared."""


class Cost(NamedTuple):
    """The cost of a training on a backend with a seed."""

    start_s: float
    """Seconds until the first step has ended: importing the framework, building the network, compiling, and the step itself.
    The import counts, because frameworks load some of their parts only when they build a network."""

    step_s: float
    """Seconds of each further step."""

    def seconds(self, steps: int) -> float:
        return self.start_s + (steps - 1) * self.step_s


def costs(report: Report, row: Row) -> dict[int, Cost]:
    """The cost of each seed of a row. Rows that are not a training, and seeds with a disturbed speed, have none."""
    batch_size = row["options"].get("batch_size")
    if row.get("rate") != TRAINING or not batch_size:
        return {}
    return {
        result.cell.seed: Cost(
            sum(result.time.get(phase, 0.0) for phase in UNTIL_FIRST_STEP),
            batch_size / speed,
        )
        for result in report.results_of(row)
        if result.status == "ok" and (speed := result.speed) and not disturbed(result)
    }


def break_even(first: dict[int, Cost], second: dict[int, Cost]) -> Typical | None:
    """The number of steps after which the second backend is ahead, although its first step ends later. None if there is no such
    number, or if it is not the same way round in all seeds."""
    steps = []
    for seed in sorted(first.keys() & second.keys()):
        later, quicker = (
            second[seed].start_s - first[seed].start_s,
            first[seed].step_s - second[seed].step_s,
        )
        if later <= 0 or quicker <= 0 or later / quicker > MOST_STEPS:
            return None
        steps.append(1 + later / quicker)
    return geometric_interval(steps) if steps else None


def break_evens(report: Report) -> Iterator[str]:
    """A line for each pair of backends of an experiment in which the one that starts later is ahead in the end."""
    for title, rows in report_experiments(report).items():
        known = {name: costs(report, row) for name, row in zip(_names(rows), rows, strict=True)}
        for first, second in permutations(known, 2):
            if found := break_even(known[first], known[second]):
                yield f"{title}: {second} overtakes {first} after {_steps(found)}."


def training_times(report: Report, steps: int) -> list[Table]:
    """A table for each training: the time of `steps` steps on each backend, the fastest first."""
    tables = []
    for title, rows in report_experiments(report).items():
        (headers, names), found = row_names(rows), []
        for name, row in zip(names, rows, strict=True):
            if known := costs(report, row):
                time = geometric_interval([cost.seconds(steps) for cost in known.values()])
                start = geometric_interval([cost.start_s for cost in known.values()])
                found.append((time["median"], (*name, _time(start), _time(time), str(len(known)))))
        if found:
            headers = (*headers, "until the first step", f"{steps:,} steps", "n")
            tables.append(Table(title, headers, [cells for _, cells in sorted(found)]))
    return tables


def _names(rows: Sequence[Row]) -> list[str]:
    """The names of backends, with their modes if these differ, and with what else tells rows apart."""
    (_, cells), modes = row_names(rows), {row["mode"] for row in rows}
    return [
        "/".join(cell[:2]) + "".join(f" ({more})" for more in cell[2:]) if len(modes) > 1 or cell[2:] else cell[0]
        for cell in cells
    ]


def _steps(found: Typical) -> str:
    """A number of steps with its interval: 3,100 steps (2,700 to 3,600)."""
    text = f"{found['median']:,.0f} steps"
    if found["low"] is None or found["high"] is None:
        return f"{text} (n = {found['n']})"
    return f"{text} ({found['low']:,.0f} to {found['high']:,.0f})"


def _time(found: Typical) -> str:
    """A time with its interval, in the unit that fits."""
    seconds, unit = next(
        (size, name) for size, name in ((3600.0, "h"), (60.0, "min"), (0.0, "s")) if found["median"] >= 2 * size
    )
    seconds = seconds or 1.0
    text = f"{found['median'] / seconds:,.1f} {unit}"
    if found["low"] is None or found["high"] is None:
        return text
    return f"{text} ({found['low'] / seconds:,.1f} to {found['high'] / seconds:,.1f})"
