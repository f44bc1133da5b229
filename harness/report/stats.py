"""Intervals of 95 % over the cells of a row. Too few cells have no interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TypedDict

# Student's t at 97.5 %, for 1 to 30 degrees of freedom; beyond, the normal value is close enough.
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
     2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)  # fmt: skip
NORMAL = 1.960

FEWEST_MEANS = 3
"""The smallest number of values with an interval. That of two values would be useless: 12.7 times their standard error."""

FEWEST_MEDIANS = 6
"""The whole range of 5 values holds the median in 94 % of samples, that of 6 in 97 %."""


class Mean(TypedDict):
    mean: float
    low: float | None
    high: float | None


class Median(TypedDict):
    median: float
    low: float | None
    high: float | None


def mean_interval(values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> Mean:
    """The mean and its 95 % interval by Student's t, for at least `FEWEST_MEANS` values. The interval is cut off at `least` and
    `most`, the smallest and the largest possible number."""
    mean, n = statistics.fmean(values), len(values)
    if n < FEWEST_MEANS:
        return {"mean": mean, "low": None, "high": None}
    half = (T[n - 2] if n - 2 < len(T) else NORMAL) * statistics.stdev(values) / math.sqrt(n)
    return {"mean": mean, "low": max(mean - half, least), "high": min(mean + half, most)}


def median_interval(values: Sequence[float]) -> Median:
    """The median and its 95 % interval, for at least `FEWEST_MEDIANS` values. The ends of the interval are values of the same
    rank from below and from above: the narrowest such pair that holds the median in at least 95 % of samples."""
    ordered, n = sorted(values), len(values)
    if n < FEWEST_MEDIANS:
        return {"median": statistics.median(ordered), "low": None, "high": None}
    below, rank = 0, 0
    ways = 1  # of the 2**n ways to lie on either side of the median, those with `rank` values below it
    while 40 * (below + ways) <= 2**n:  # 40 times 2.5 %
        below += ways
        ways = ways * (n - rank) // (rank + 1)
        rank += 1
    return {"median": statistics.median(ordered), "low": ordered[rank - 1], "high": ordered[n - rank]}


def rate_interval(cells: Sequence[Sequence[float]]) -> Median:
    """The median over cells of the median of each cell. The segments of a cell share a process, so they are not independent:
    the interval is over cells."""
    return median_interval([statistics.median(segments) for segments in cells])
