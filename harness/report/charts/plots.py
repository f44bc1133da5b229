"""Draws a chart with matplotlib, for notebooks and for PNG. matplotlib is an extra: pip install 'samebench[plot]'."""

from __future__ import annotations

import io
from functools import partial
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from harness.errors import Unavailable
from harness.report.charts.scales import mark_text
from harness.report.charts.svg import Palette
from harness.report.charts.values import Axis, Chart, Lines, Matrix, Stacked, Strip
from harness.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#c2410c", "#0b62c4", "#087f5b", "#9c36b5", "#846300", "#5b5bd6", "#c2255c", "#4d6470")
MARKERS = ("o", "s", "^", "D", "v", "P", "h", "X")
"""The same colours and shapes as in pages."""

WIDTH, HEIGHT = 6.4, 3.6
"""The size of a figure in inches; each row of a strip adds to the height."""


def plot(chart: Chart, palette: Palette, ax: Axes | None = None) -> Figure:
    """The chart as a figure of matplotlib; drawn on `ax` if that is given."""
    axes: Any = ax if ax is not None else _new_axes(chart)
    match chart:
        case Strip():
            _strip(axes, chart, palette)
        case Lines():
            _lines(axes, chart, palette)
        case Stacked():
            _stacked(axes, chart)
        case Matrix():
            _matrix(axes, chart)
    axes.set_title("\n".join(wrap(_text(chart.title), 62)), fontsize=10, loc="left")
    figure: Figure = axes.figure
    return figure


def _new_axes(chart: Chart) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise Unavailable("plots need matplotlib: pip install 'samebench[plot]'", code="not-installed") from None

    rows = len(chart.rows) if isinstance(chart, Strip) else len(chart.bars) if isinstance(chart, Stacked) else 0
    height = 1.2 + 0.45 * rows if rows else HEIGHT
    figure: Any = Figure(figsize=(WIDTH, height), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)  # no window, so that it works without a display
    figure._repr_png_ = partial(png_of, figure)  # a notebook shows it, also without pyplot
    return figure.add_subplot()


def png_of(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _strip(axes: Any, chart: Strip, palette: Palette) -> None:
    for place, row in enumerate(chart.rows):
        colour, marker = _look(palette[row.who])
        axes.plot(
            [dot.value for dot in row.dots], [place] * len(row.dots), marker, color=colour, alpha=0.45, markersize=4
        )
        if row.mean:
            low, high = row.mean.low, row.mean.high
            ends = [[row.mean.mean - low], [high - row.mean.mean]] if low is not None and high is not None else None
            axes.errorbar(row.mean.mean, place, xerr=ends, fmt=marker, color=colour, markersize=8, capsize=4)
    axes.set_yticks(range(len(chart.rows)), [_text(row.label) for row in chart.rows])
    axes.set_ylim(len(chart.rows) - 0.5, -0.5)
    _across(axes, chart.axis)


def _lines(axes: Any, chart: Lines, palette: Palette) -> None:
    known = set()
    for series in chart.series:
        colour, marker = _look(palette[series.who])
        points = sorted(series.points, key=lambda point: point.x)
        style = {"line": "-", "dashed": "--", "points": ""}[series.style]
        label = None if series.label in known else _text(series.label)
        known.add(series.label)
        axes.plot(
            [p.x for p in points],
            [p.y for p in points],
            linestyle=style,
            marker=marker,
            color=colour,
            markersize=4,
            label=label,
        )
        for point in points:
            if point.interval and point.interval.low is not None and point.interval.high is not None:
                axes.vlines(point.x, point.interval.low, point.interval.high, color=colour)
    _across(axes, chart.x)
    _upwards(axes, chart.y)
    axes.legend(fontsize=8)


def _stacked(axes: Any, chart: Stacked) -> None:
    for number, name in enumerate(chart.parts):
        starts, widths = [], []
        for _, _, parts in chart.bars:
            before = [*parts][: [*parts].index(name)] if name in parts else []
            starts.append(sum(parts[other] for other in before))
            widths.append(parts.get(name, 0.0))
        axes.barh(range(len(chart.bars)), widths, left=starts, color=COLOURS[number % len(COLOURS)], label=_text(name))
    axes.set_yticks(range(len(chart.bars)), [_text(label) for _, label, _ in chart.bars])
    axes.invert_yaxis()
    _across(axes, chart.axis)
    axes.legend(fontsize=7, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.3))


def _matrix(axes: Any, chart: Matrix) -> None:
    shares = [[count / (sum(row) or 1) for count in row] for row in chart.counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places, labels = range(len(chart.labels)), [_text(label) for label in chart.labels]
    axes.set_xticks(places, labels, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(places, labels, fontsize=7)
    for row, counts in enumerate(chart.counts):
        for column, count in enumerate(counts):
            if count:
                colour = "white" if shares[row][column] > 0.5 else "black"
                axes.text(column, row, f"{count:g}", ha="center", va="center", fontsize=6, color=colour)


def _across(axes: Any, axis: Axis) -> None:
    axes.set_xlabel(_label(axis), fontsize=9)
    if axis.log:
        axes.set_xscale("log")
    if axis.limit is not None:
        axes.axvline(axis.limit, color="#b3261e", linestyle="--")
    if 0.0 in axis.holds:
        axes.set_xlim(left=0)
    if axis.format in ("share", "difference"):
        axes.xaxis.set_major_formatter(lambda value, _: mark_text(value, axis))
    axes.grid(visible=True, axis="x", alpha=0.3)


def _upwards(axes: Any, axis: Axis) -> None:
    axes.set_ylabel(_label(axis), fontsize=9)
    if axis.log:
        axes.set_yscale("log")
    if axis.format in ("share", "difference"):
        axes.yaxis.set_major_formatter(lambda value, _: mark_text(value, axis))
    axes.grid(visible=True, axis="y", alpha=0.3)


def _label(axis: Axis) -> str:
    return _text(axis.label) + (f" ({axis.better} is better)" if axis.better else "")


def _look(number: int) -> tuple[str, str]:
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def _text(text: str) -> str:
    """The text in one line. Dollar signs would begin mathematics."""
    return printable(" ".join(text.split())).replace("$", r"\$")
