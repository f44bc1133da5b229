"""What is seen of a run while it works: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from harness.result import Result
from harness.text import printable


class Lines:
    """One line for each thing that is done, for logs and pipes."""

    def started(self, what: str) -> None:
        pass

    def progress(self, line: str) -> None:
        pass

    def certified(self, backend: str, verdict: str, seconds: float) -> None:
        self.say(f"certificate of {backend}: {verdict} ({seconds:.1f} s)")

    def finished(self, result: Result, number: int, total: int) -> None:
        self.say(f"[{number}/{total}] {_one_line(result)}")

    def say(self, line: str) -> None:
        click.echo(printable(line), err=True)


class Live(Lines):
    """The same lines, and under them one that lives: what runs, how far it is, and how long all of it will take."""

    def __init__(self, bar: Any, cells: int) -> None:
        self.bar = bar
        self.row = bar.add_task("", total=cells, running="", left="")
        self.seconds: list[float] = []
        self.what, self.since = "", time.monotonic()

    def started(self, what: str) -> None:
        self.what, self.since = printable(what), time.monotonic()
        self._show()

    def progress(self, line: str) -> None:
        self._show(line)

    def finished(self, result: Result, number: int, total: int) -> None:
        super().finished(result, number, total)
        self.seconds.append(time.monotonic() - self.since)
        left = (total - number) * statistics.fmean(self.seconds)
        self.bar.update(self.row, completed=number, total=total, left=f"about {_duration(left)} left" if left else "")

    def say(self, line: str) -> None:
        self.bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def _show(self, line: str = "") -> None:
        self.bar.update(self.row, running=f"{self.what}{': ' if line else ''}{line}")


@contextmanager
def watching(cells: int) -> Iterator[Lines]:
    """The watcher that suits where our messages go."""
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
    numbers = ((name, value) for name, value in result.metrics.items() if isinstance(value, int | float))
    headline = next((f"{name.replace('_', ' ')} {value:.4g}" for name, value in numbers), "done")
    return f"{who}: ok, {headline}, {result.time['total_s']:.1f} s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
