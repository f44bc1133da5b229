"""Charts as values. They hold numbers and texts, and no place or colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from harness.metric import Format


class Interval(NamedTuple):
    """A mean, and its 95 % interval if it has one."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Axis:
    label: str
    format: Format = "number"
    """The format of the numbers at its marks."""

    log: bool = False
    better: Literal["higher", "lower"] | None = None
    """The direction that is better; None if neither is."""

    holds: tuple[float, ...] = ()
    """Values that the axis always shows, such as 0."""

    limit: float | None = None
    """A value with a line across the chart: the limit of something."""


class Point(NamedTuple):
    x: float
    y: float
    text: str
    """The text that appears when the reader points at it."""

    interval: Interval | None = None
    """The interval of `y`."""


class Dot(NamedTuple):
    """One measured value of a strip."""

    value: float
    text: str


@dataclass(frozen=True)
class Strip:
    """A line for each backend: all measured values as points, and their mean with its interval."""

    name: str
    """A short name, for files and links."""

    title: str
    axis: Axis
    rows: Sequence[StripRow]


class StripRow(NamedTuple):
    who: str
    """The backend, which decides the colour and the shape."""

    label: str
    dots: Sequence[Dot]
    mean: Interval | None = None
    text: str = ""
    """The text that appears when the reader points at the mean."""


@dataclass(frozen=True)
class Lines:
    """Points over an axis, joined by a line for each series."""

    name: str
    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    note: str = ""
    """What is left out, if anything."""


class Series(NamedTuple):
    who: str
    label: str
    points: Sequence[Point]
    style: Literal["line", "dashed", "points"] = "line"


@dataclass(frozen=True)
class Stacked:
    """A bar for each backend, divided into parts that add up to its length."""

    name: str
    title: str
    axis: Axis
    bars: Sequence[tuple[str, str, Mapping[str, float]]]
    """The backend, the label and the parts of each bar."""

    @property
    def parts(self) -> list[str]:
        """The names of all parts, in the order of the first bar that has them."""
        return list(dict.fromkeys(part for _, _, parts in self.bars for part in parts))


@dataclass(frozen=True)
class Matrix:
    """Counts of pairs of classes: a row is the truth, a column the prediction."""

    name: str
    title: str
    who: str
    labels: Sequence[str]
    counts: Sequence[Sequence[float]]


Chart = Strip | Lines | Stacked | Matrix
