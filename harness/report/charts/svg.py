"""Draws a chart as SVG.

Colours come from classes and `charts.css`, so that a page decides about light and dark. Nothing rests on colour alone: every
backend has a shape too, and every chart a legend or labels. Each mark has a text for readers who point at it.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from harness.report.charts.scales import Scale, scale_of
from harness.report.charts.values import Chart, Interval, Lines, Matrix, Series, Stacked, Strip
from harness.text import printable

WIDTH = 480
"""The width of every chart, in its own units."""

LETTER = 6.8
"""The width of a letter, about."""

RIGHT, TOP, BELOW = 14, 8, 46
"""The margins of a chart. The last one has the marks and the label of the axis."""

ROW, BAR = 34, 20
"""The height of a line of a strip, and of a bar."""

HEIGHT = 220
"""The height between the axes of a chart with lines."""

LABELS = 168
"""The largest width of the labels at the left."""

COLOURS = 8
"""The number of colours, and of shapes. Further backends share them."""

MOST_CLASSES = 20
"""A matrix with more classes is not drawn."""

SHAPES = (
    "M{r} 0A{r} {r} 0 1 1 -{r} 0A{r} {r} 0 1 1 {r} 0Z",
    "M-{r} -{r}H{r}V{r}H-{r}Z",
    "M0 -{q}L{q} {r}H-{q}Z",
    "M0 -{q}L{q} 0L0 {q}L-{q} 0Z",
    "M0 {q}L{q} -{r}H-{q}Z",
    "M-{h} -{q}H{h}V-{h}H{q}V{h}H{h}V{q}H-{h}V{h}H-{q}V-{h}H-{h}Z",
    "M-{h} -{q}H{h}L{q} 0L{h} {q}H-{h}L-{q} 0Z",
    "M-{q} -{h}L-{h} -{q}L0 -{h}L{h} -{q}L{q} -{h}L{h} 0L{q} {h}L{h} {q}L0 {h}L-{h} {q}L-{q} {h}L-{h} 0Z",
)
"""A circle, a square, a triangle, a diamond, a triangle upside down, a plus, a hexagon and a cross."""

Palette = Mapping[str, int]
"""The number of each backend's colour and shape."""


def palette_of(backends: Sequence[str]) -> dict[str, int]:
    """A colour and a shape for each backend, in the order of their first appearance."""
    return {who: number % COLOURS for number, who in enumerate(dict.fromkeys(backends))}


def draw(chart: Chart, palette: Palette) -> str:
    """The chart as an SVG element for a page."""
    match chart:
        case Strip():
            parts, height = _strip(chart, palette)
        case Lines():
            parts, height = _lines(chart, palette)
        case Stacked():
            parts, height = _stacked(chart)
        case Matrix():
            parts, height = _matrix(chart)
    title = _text(chart.title)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{title}" tabindex="0">'
        f"<title>{title}</title>{''.join(parts)}</svg>"
    )


def as_file(chart: Chart, palette: Palette, caption: str = "") -> str:
    """The chart as an SVG file with its background, its title and a caption."""
    inner = draw(chart, palette)
    height = float(inner.partition(f'viewBox="0 0 {WIDTH} ')[2].partition('"')[0])
    title, lines = _wrapped(chart.title, 62), _wrapped(caption, 76)
    top, below = 12 + 18 * len(title), 10 + 15 * len(lines)
    texts = [_label(10, 20 + 18 * number, line, "title") for number, line in enumerate(title)]
    texts += [_label(10, top + height + 14 + 15 * number, line, "caption") for number, line in enumerate(lines)]
    whole = top + height + below
    placed = inner.replace("<svg ", f'<svg y="{top}" width="{WIDTH}" height="{height:.0f}" ', 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{whole:.0f}" viewBox="0 0 {WIDTH} {whole:.0f}">'
        f"<style>{style()}</style>"
        f'<rect class="paper" width="100%" height="100%"/>{"".join(texts)}{placed}</svg>\n'
    )


@cache
def style() -> str:
    """The style of all charts."""
    return (Path(__file__).parent / "charts.css").read_text(encoding="utf-8")


# The kinds of charts


def _strip(chart: Strip, palette: Palette) -> tuple[list[str], float]:
    every = [dot.value for row in chart.rows for dot in row.dots]
    every += [end for row in chart.rows if row.mean for end in row.mean if end is not None]
    left, bottom = _left([row.label for row in chart.rows]), TOP + ROW * len(chart.rows)
    scale = scale_of(chart.axis, every)
    parts = [*_across(scale, left, bottom)]
    for number, row in enumerate(chart.rows):
        y = TOP + ROW * (number + 0.5)
        colour, size = palette[row.who], 2.5 if row.mean else 4.5
        marks = []
        for place, dot in enumerate(row.dots):
            x, apart = scale.place(dot.value, left, WIDTH - RIGHT), 3.5 * (place % 5 - 2) if len(row.dots) > 1 else 0
            marks.append(_mark(colour, x, y + apart, size, dot.text, "dot"))
        if row.mean:
            x = scale.place(row.mean.mean, left, WIDTH - RIGHT)
            marks += [_interval(scale, row.mean, left, y), _mark(colour, x, y, 5.5, row.text, "mean")]
        parts.append(_of_backend(row.who, palette, [_label(left - 8, y + 4, _cut(row.label, left), "end"), *marks]))
    return parts, bottom + BELOW


def _interval(scale: Scale, mean: Interval, left: float, y: float) -> str:
    if mean.low is None or mean.high is None:
        return ""
    low, high = (scale.place(end, left, WIDTH - RIGHT) for end in (mean.low, mean.high))
    return f'<path class="interval" d="M{low:.1f} {y - 5:.1f}v10m0 -5H{high:.1f}m0 -5v10"/>'


def _lines(chart: Lines, palette: Palette) -> tuple[list[str], float]:
    points = [point for series in chart.series for point in series.points]
    ends = [end for point in points if point.interval for end in point.interval if end is not None]
    across, up = scale_of(chart.x, [point.x for point in points]), scale_of(chart.y, [*(p.y for p in points), *ends])
    legend, top = _legend_of(chart.series, palette)
    left = max(len(up.text(mark)) for mark in up.marks) * LETTER + 14
    bottom = top + HEIGHT
    parts = [legend, *_across(across, left, bottom, top), *_upwards(up, left, top, bottom)]
    for series in chart.series:
        placed = [
            (across.place(p.x, left, WIDTH - RIGHT), up.place(p.y, bottom, top), p)
            for p in sorted(series.points, key=lambda point: point.x)
        ]
        marks = []
        if series.style != "points" and len(placed) > 1:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in placed)
            marks.append(f'<path class="line {series.style}" d="M{path}"/>')
        for x, y, point in placed:
            if point.interval and point.interval.low is not None and point.interval.high is not None:
                low, high = up.place(point.interval.low, bottom, top), up.place(point.interval.high, bottom, top)
                marks.append(f'<path class="interval" d="M{x - 4:.1f} {low:.1f}h8m-4 0V{high:.1f}m-4 0h8"/>')
            marks.append(_mark(palette[series.who], x, y, 3 if len(placed) > 12 else 4, point.text, "point"))
        parts.append(_of_backend(series.who, palette, marks))
    return parts, bottom + BELOW


def _stacked(chart: Stacked) -> tuple[list[str], float]:
    names = chart.parts
    scale = scale_of(chart.axis, [0.0, *(sum(parts.values()) for _, _, parts in chart.bars)])
    legend, top = _legend([(_swatch(names.index(name)), name) for name in names])
    left, bottom = _left([label for _, label, _ in chart.bars]), top + ROW * len(chart.bars)
    rows = [legend, *_across(scale, left, bottom, top)]
    for number, (who, label, parts) in enumerate(chart.bars):
        y, so_far = top + ROW * number + (ROW - BAR) / 2, 0.0
        bars = [_label(left - 8, y + BAR / 2 + 4, _cut(label, left), "end")]
        for name, value in parts.items():
            begin, end = (scale.place(place, left, WIDTH - RIGHT) for place in (so_far, so_far + value))
            so_far += value
            bars.append(
                f'<rect class="mark part c{names.index(name) % COLOURS}" x="{begin:.1f}" y="{y:.1f}" width="{end - begin:.1f}" '
                f'height="{BAR}" data-text="{_text(f"{label}, {name}: {value:.2f} s")}"/>'
            )
        rows.append(f'<g data-who="{_text(who)}">{"".join(bars)}</g>')
    return rows, bottom + BELOW


def _matrix(chart: Matrix) -> tuple[list[str], float]:
    count = len(chart.labels)
    left = _left(chart.labels)
    size = min(30.0, (WIDTH - left - RIGHT) / max(count, 1))
    top = TOP + 20 + 0.7 * min(max(map(len, chart.labels), default=0), 12) * LETTER
    parts = []
    for row, (label, counts) in enumerate(zip(chart.labels, chart.counts, strict=True)):
        y, whole = top + size * row, sum(counts) or 1
        parts.append(_label(left - 8, y + size / 2 + 4, _cut(label, left), "end"))
        x = left + size * (row + 0.5)
        parts.append(
            f'<text class="label" transform="translate({x:.1f} {top - 6:.1f}) rotate(-45)">{_text(label[:12])}</text>'
        )
        for column, number in enumerate(counts):
            said = f"{label} taken for {chart.labels[column]}: {number:g} of {whole:g}"
            kind = "right" if row == column else "wrong"
            parts.append(
                f'<rect class="mark cell {kind}" x="{left + size * column:.1f}" y="{y:.1f}" width="{size - 1:.1f}" '
                f'height="{size - 1:.1f}" fill-opacity="{0.08 + 0.92 * number / whole:.2f}" data-text="{_text(said)}"/>'
            )
            if number and size >= 20:
                dark = " over" if number / whole > 0.5 else ""
                parts.append(
                    _label(left + size * (column + 0.5) - 0.5, y + size / 2 + 4, f"{number:g}", f"middle count{dark}")
                )
    return [f'<g data-who="{_text(chart.who)}">{"".join(parts)}</g>'], top + size * count + 10


# Parts of charts


def _across(scale: Scale, left: float, bottom: float, top: float = TOP) -> Iterator[str]:
    """The axis below a chart: its marks with lines across the chart, its label and its limit."""
    for mark in _spaced(scale, (WIDTH - RIGHT - left) / 42):
        x = scale.place(mark, left, WIDTH - RIGHT)
        yield f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>'
        yield _label(min(x, WIDTH - RIGHT - 6), bottom + 16, scale.text(mark), "middle")
    if scale.axis.limit is not None:
        x = scale.place(scale.axis.limit, left, WIDTH - RIGHT)
        yield f'<path class="limit" d="M{x:.1f} {top}V{bottom}"/>'
        yield _label(x - 4, top + 12, "limit", "end")
    yield _label((left + WIDTH - RIGHT) / 2, bottom + 36, _axis_text(scale), "middle")


def _upwards(scale: Scale, left: float, top: float, bottom: float) -> Iterator[str]:
    for mark in _spaced(scale, (bottom - top) / 28):
        y = scale.place(mark, bottom, top)
        yield f'<path class="grid" d="M{left:.1f} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield _label(left - 6, y + 4, scale.text(mark), "end")
    yield _label(left + 4, top + 14, _axis_text(scale), "axis")


def _spaced(scale: Scale, room: float) -> Sequence[float]:
    """The marks, without some of them if there is no room for all."""
    step = max(1, -(-len(scale.marks) // max(int(room), 2)))
    return scale.marks[::step]


def _axis_text(scale: Scale) -> str:
    better = f", {scale.axis.better} is better" if scale.axis.better else ""
    return f"{scale.axis.label}{better}{', log scale' if scale.axis.log else ''}"


def _legend_of(series: Sequence[Series], palette: Palette) -> tuple[str, float]:
    """The legend of lines: each label once, with its shape and the style of its line."""
    known: dict[tuple[str, str], str] = {}
    for one in series:
        sample = f'<path class="line {one.style}" d="M-9 0H9"/>' if one.style != "points" else ""
        known.setdefault(
            (one.who, one.label),
            f'<g class="b{palette[one.who]}">{sample}<path class="shape" d="{_shape(palette[one.who], 4)}"/></g>',
        )
    return _legend([(sample, label) for (_, label), sample in known.items()])


def _legend(entries: Sequence[tuple[str, str]]) -> tuple[str, float]:
    """Samples with their labels in lines, and the height of all."""
    x, y, parts = 14.0, TOP + 8.0, []
    for sample, label in entries:
        label = label if len(label) <= 40 else f"{label[:39]}…"
        width = 30 + LETTER * len(label)
        if x + width > WIDTH and x > 14:
            x, y = 14.0, y + 20
        parts.append(f'<g transform="translate({x + 2:.1f} {y:.1f})">{sample}{_label(16, 4, label)}</g>')
        x += width
    return "".join(parts), (y + 20 if entries else TOP)


def _swatch(number: int) -> str:
    return f'<rect class="part c{number % COLOURS}" x="-6" y="-6" width="12" height="12"/>'


def _of_backend(who: str, palette: Palette, parts: Sequence[str]) -> str:
    return f'<g class="b{palette[who]}" data-who="{_text(who)}">{"".join(parts)}</g>'


def _mark(colour: int, x: float, y: float, size: float, text: str, kind: str) -> str:
    return (
        f'<path class="mark shape {kind}" transform="translate({x:.1f} {y:.1f})" d="{_shape(colour, size)}" '
        f'data-text="{_text(text)}"/>'
    )


@cache
def _shape(number: int, size: float) -> str:
    return SHAPES[number].format(r=f"{size:g}", q=f"{1.3 * size:.1f}", h=f"{0.5 * size:.1f}")


def _left(labels: Sequence[str]) -> float:
    """The room for labels at the left."""
    return min(LABELS, max((len(label) for label in labels), default=0) * LETTER) + 16


def _cut(label: str, left: float) -> str:
    most = int((left - 16) / LETTER + 0.5)
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _label(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text class="label {kind}" x="{x:.1f}" y="{y:.1f}">{_text(text)}</text>'


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most this many letters."""
    lines: list[str] = []
    for word in printable(text).split():
        if lines and len(lines[-1]) + len(word) < width:
            lines[-1] += f" {word}"
        else:
            lines.append(word[:width])
    return lines


def _text(text: str) -> str:
    return html.escape(printable(" ".join(text.split())))
