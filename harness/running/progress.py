"""The progress of a run: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from harness.metric import Metric, plain_metrics
from harness.report.declared import installed_metrics
from harness.report.text import headline
from harness.result import Cell, Result
from harness.text import printable

OVERRUN = 1.05
"""If a cell runs longer than expected, its expected time is the time so far, multiplied by this factor."""


class Lines:
    """A line for each finished step, for logs and pipes."""

    def planned(self, cells: Sequence[Cell]) -> None:
        pass

    def started(self, what: str, cell: Cell | None = None) -> None:
        pass

    def progress(self, line: str) -> None:
        pass

    def certified(self, backend: str, verdict: str, seconds: float) -> None:
        self.say(f"certificate of {backend}: {verdict} ({seconds:.1f} s)")

    def finished(self, result: Result, number: int, total: int) -> None:
        self.say(f"[{number}/{total}] {_one_line(result)}")

    def say(self, line: str) -> None:
        click.echo(printable(line), err=True)


class Remaining:
    """The expected time of the remaining cells. For each cell it is the mean of finished cells: of the same experiment on the
    same backend; or else of the same task on it; or else of all. The text is made when it is shown, so it counts down.

    Certificates and judgements are not included: they are made before and after the cells.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.left: list[Cell] = []
        self.took: list[tuple[Result, float]] = []
        self.running: Cell | None = None
        self.since = now()

    def start(self, cell: Cell | None) -> None:
        self.running, self.since = cell, self.now()

    def finish(self, result: Result) -> None:
        self.took.append((result, self.now() - self.since))
        self.left = [cell for cell in self.left if cell.key != result.cell.key]
        self.running = None

    def seconds(self) -> float | None:
        """The expected seconds; None if no cell has finished yet, and if no cell is left."""
        expected = [self._expected(cell) for cell in self.left]
        if not self.left or None in expected:
            return None
        return sum(filter(None, expected)) - self._used()

    def _expected(self, cell: Cell) -> float | None:
        """The expected time of a cell. If the running cell takes longer than the mean, this counts for all cells like it."""
        for like in (_experiment, _task, _ok):
            if took := [seconds for result, seconds in self.took if like(result, cell)]:
                break
        else:
            return None
        mean, running = statistics.fmean(took), self.running
        slow = running and (running.task, running.backend, running.mode) == (cell.task, cell.backend, cell.mode)
        return max(mean, OVERRUN * (self.now() - self.since)) if slow else mean

    def _used(self) -> float:
        return self.now() - self.since if self.running else 0.0

    def __str__(self) -> str:
        seconds = self.seconds()
        return "" if seconds is None else f"cells: about {duration(seconds)} left"

    def __format__(self, how: str) -> str:
        return format(str(self), how)


def _experiment(result: Result, cell: Cell) -> bool:
    return result.cell.configuration == cell.configuration


def _task(result: Result, cell: Cell) -> bool:
    other = result.cell
    return (other.task, other.backend, other.mode) == (cell.task, cell.backend, cell.mode)


def _ok(result: Result, cell: Cell) -> bool:
    """Failed cells are left out: their time says nothing about other cells."""
    return result.status == "ok"


class Live(Lines):
    """The same lines, and a live line below them: the running cell, its progress and the remaining time."""

    def __init__(self, bar: Any, cells: int, now: Callable[[], float] = time.monotonic) -> None:
        self.bar, self.remaining, self.what = bar, Remaining(now), ""
        self.row = bar.add_task("", total=cells, running="", left=self.remaining)

    def planned(self, cells: Sequence[Cell]) -> None:
        self.remaining.left = list(cells)
        self.bar.update(self.row, total=len(cells))

    def started(self, what: str, cell: Cell | None = None) -> None:
        self.what = printable(what)
        self.remaining.start(cell)
        self._show()

    def progress(self, line: str) -> None:
        self._show(line)

    def finished(self, result: Result, number: int, total: int) -> None:
        super().finished(result, number, total)
        self.remaining.finish(result)
        self.bar.update(self.row, completed=number, total=total)

    def say(self, line: str) -> None:
        self.bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def _show(self, line: str = "") -> None:
        self.bar.update(self.row, running=f"{self.what}{': ' if line else ''}{line}")


@contextmanager
def watching(cells: int) -> Iterator[Lines]:
    """A live watcher if messages go to a terminal, or else a plain one."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[running]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Live(bar, cells)


def _one_line(result: Result) -> str:
    cell = result.cell
    who = f"{cell.task} {result.who} seed {cell.seed}"
    if result.status != "ok":
        return f"{who}: {result.status}: {result.reason}"
    main = _main_number(result, installed_metrics([cell.task]).get(cell.task, ()))
    return f"{who}: ok, {main or 'done'}, {result.time['total_s']:.1f} s"


def _main_number(result: Result, declared: Sequence[Metric]) -> str | None:
    """The headline of the task, or else its first number."""
    headlines = (
        headline({metric.name: metric.value_in(result.metrics) for metric in metrics}, metrics)
        for metrics in (declared, plain_metrics([result.metrics]))
    )
    return next(filter(None, headlines), None)


def duration(seconds: float) -> str:
    """Seconds in words: 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
