"""A stored run in a script or a notebook: its tables, its data frames and its plots."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import Unavailable, UsageError
from harness.options import nearest
from harness.report.flat import long_rows, wide_rows
from harness.report.summary import Report, StoredRun
from harness.report.terminal import draw_table
from harness.report.text.overview import report_overview
from harness.report.text.results import report_tables
from harness.result import Result

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Run:
    """A stored run. `harness.load(folder)` opens one, and `harness.run(...)` makes one.

    >>> run = harness.load("results/digits")
    >>> print(run)
    >>> run.to_pandas()
    >>> run.plot.speed()
    """

    def __init__(self, store: StoredRun, folder: Path) -> None:
        self.folder = folder
        self._store = store

    @cached_property
    def report(self) -> Report:
        """The run as report formats get it."""
        return Report.of(self._store)

    @property
    def cells(self) -> Sequence[Result]:
        """The results of all cells, finished or not."""
        return self.report.results

    @property
    def is_ok(self) -> bool:
        """Whether every cell is ok and no verdict is `differs`."""
        return all(result.status == "ok" and not result.verdict.is_different for result in self.cells)

    @property
    def answer(self) -> str:
        """A sentence: whether all backends computed the same, and which was the fastest."""
        return report_overview(self.report).answer

    def table(self, full: bool = False) -> str:
        """The results as text: a row for each task and backend, or all tables."""
        if full:
            return "\n\n".join(map(draw_table, report_tables(self.report)))
        return draw_table(report_overview(self.report).table)

    def to_pandas(self, form: Literal["wide", "long"] = "wide") -> pandas.DataFrame:
        """The cells as a data frame: a row for each cell ("wide"), or for each number of each cell ("long")."""
        rows = {"wide": wide_rows, "long": long_rows}
        if form not in rows:
            raise UsageError(f"there is no form {form!r}: choose wide or long", code="unknown-name")
        try:
            import pandas
        except ImportError:
            raise Unavailable(
                "data frames need pandas: pip install 'samebench[pandas]'", code="not-installed"
            ) from None
        return pandas.DataFrame(rows[form](self.report))

    def to_html(self) -> str:
        """The whole report as a page."""
        from harness.report.page import html_page

        return html_page(self.report)

    @property
    def plot(self) -> Plots:
        """The charts of the run, drawn with matplotlib: `run.plot.speed()`."""
        return Plots(self.report)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def __str__(self) -> str:
        return f"{self.table()}\n\n{self.answer}"

    def _repr_html_(self) -> str:
        """The table of results, for notebooks."""
        from harness.report.page.markup import Column, Line, element, join, table

        found = report_overview(self.report)
        columns = [Column(header, is_text=place < 2) for place, header in enumerate(found.table.headers)]
        lines = [Line(cells) for cells in found.table.rows]
        parts = [element("p", element("b", found.answer)), table(columns, lines, "samebench", found.table.title)]
        return join([*parts, element("p", found.legend), *(element("p", line) for line in found.exceptions)])


class Plots:
    """The charts of a run. Each method draws one kind of chart, of the first experiment that has it or of experiment `of`."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def names(self) -> list[str]:
        """The names of all charts of the run."""
        from harness.report.charts.of_report import charts_of_report

        return [chart.name for _, chart in charts_of_report(self._report)]

    def speed(self, of: int = 0, ax: Axes | None = None) -> Figure:
        """The speed of every cell, with means and intervals."""
        return self.chart("speed", of, ax)

    def accuracy_by_time(self, of: int = 0, ax: Axes | None = None) -> Figure:
        """The main number of a task against the time that it took."""
        return self.chart("result-by-time", of, ax)

    def phases(self, of: int = 0, ax: Axes | None = None) -> Figure:
        """Where the time of a cell goes."""
        return self.chart("phases", of, ax)

    def memory(self, of: int = 0, ax: Axes | None = None) -> Figure:
        """The peak memory of every cell."""
        return self.chart("memory", of, ax)

    def cost(self, of: int = 0, ax: Axes | None = None) -> Figure:
        """The time of a training by its number of steps."""
        return self.chart("cost", of, ax)

    def deviations(self, ax: Axes | None = None) -> Figure:
        """The largest deviations of each backend from the reference."""
        return self.chart("deviations", 0, ax)

    def chart(self, name: str, of: int = 0, ax: Axes | None = None) -> Figure:
        """The chart with this name; see `names`."""
        from harness.report.charts.of_report import charts_of_report, who_of
        from harness.report.charts.plots import plot
        from harness.report.charts.svg import palette_of

        found = [chart for _, chart in charts_of_report(self._report) if chart.name == name]
        if not 0 <= of < len(found):
            hint = nearest(name, dict.fromkeys(self.names())) if not found else f"give `of` from 0 to {len(found) - 1}"
            raise UsageError(f"this run has no chart {name!r} number {of}; {hint}", code="unknown-name")
        palette = palette_of([who_of(row) for row in self._report.summary])
        return plot(found[of], palette, ax)
