"""The places and the marks of an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.charts.values import Axis

MARKS = 5
"""About as many marks has an axis."""

LEAST = 1e-300
"""The smallest width of a scale. Less cannot be divided."""

MOST_DECADES = 6
"""An axis of logarithms with more decades has a mark for every second, third, ... of them."""


@dataclass(frozen=True)
class Scale:
    """Where a value is on an axis."""

    axis: Axis
    low: float
    high: float
    marks: Sequence[float]

    def place(self, value: float, begin: float, end: float) -> float:
        """The place of a value between two ends. Values beyond an end are put at the end."""
        low, high, value = (self._measure(number) for number in (self.low, self.high, max(value, self._least)))
        share = (value - low) / (high - low) if high > low else 0.5
        return begin + (end - begin) * min(max(share, 0.0), 1.0)

    def text(self, value: float) -> str:
        return mark_text(value, self.axis)

    @property
    def _least(self) -> float:
        return self.low if self.axis.log else -math.inf

    def _measure(self, value: float) -> float:
        return math.log10(value) if self.axis.log else value


def scale_of(axis: Axis, values: Iterable[float]) -> Scale:
    """A scale for these values. It also shows the values in `axis.holds`, and the limit."""
    limit = [axis.limit] if axis.limit is not None else []
    every = [value for value in (*values, *axis.holds, *limit) if math.isfinite(value) and (value > 0 or not axis.log)]
    low, high = (min(every), max(every)) if every else (1.0, 1.0)
    return _of_decades(axis, low, high) if axis.log else _of_steps(axis, low, high)


def _of_steps(axis: Axis, low: float, high: float) -> Scale:
    """A scale whose marks are 1, 2 or 5 times a power of ten apart. Its ends are marks."""
    if low == high:
        low, high = (0.0, high) if high > 0 else (low - 1, high + 1)
    if high - low < LEAST:
        low, high = low - 1, high + 1
    step = _step((high - low) / MARKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [number * step for number in range(first, last + 1)]
    return Scale(axis, marks[0], marks[-1], marks)


def _step(width: float) -> float:
    power = 10.0 ** math.floor(math.log10(width))
    return power * next(size for size in (1, 2, 5, 10) if size * power >= width * (1 - 1e-9))


def _of_decades(axis: Axis, low: float, high: float) -> Scale:
    """A scale of logarithms. Its marks are powers of ten, or 1, 2 and 5 times these if there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 2:
        step = math.ceil((last - first) / MOST_DECADES)
        marks = [10.0**power for power in range(first, last + 1, step)]
        return Scale(axis, 10.0**first, 10.0**last, marks)
    marks = [size * 10.0**power for power in range(first, last + 1) for size in (1, 2, 5)]
    begin = max((mark for mark in marks if mark <= low), default=low)
    end = min((mark for mark in marks if mark >= high), default=high)
    if begin == end:
        begin, end = begin / 2, end * 2
    return Scale(axis, begin, end, [mark for mark in marks if begin <= mark <= end])


SHORT: Sequence[tuple[float, str]] = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def mark_text(value: float, axis: Axis) -> str:
    """The number at a mark, as short as it can be: 20k, 0.05, 98.5%."""
    if axis.format in ("share", "difference"):
        return f"{100 * value:.4g}%"
    if value and (abs(value) < 1e-3 or abs(value) >= 1e12):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+", "e")
    for size, letter in SHORT:
        if abs(value) >= size * (10 if letter == "k" else 1):
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"
