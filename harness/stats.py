"""What several runs say together: intervals of 95 %, and nothing where there are too few values for one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TypedDict

# Student's t at 97.5 %, for 1 to 30 degrees of freedom; beyond, the normal value is close enough.
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
     2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)  # fmt: skip
NORMAL = 1.960


class Mean(TypedDict):
    mean: float
    low: float | None
    high: float | None


class Median(TypedDict):
    median: float
    low: float | None
    high: float | None


def mean_interval(values: Sequence[float]) -> Mean:
    """The mean and its 95 % interval; one value alone has no interval."""
    mean, n = statistics.fmean(values), len(values)
    if n < 2:
        return {"mean": mean, "low": None, "high": None}
    half = (T[n - 2] if n - 2 < len(T) else NORMAL) * statistics.stdev(values) / math.sqrt(n)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def median_interval(values: Sequence[float]) -> Median:
    """The median and its 95 % interval from the ranks of the values; below six values that is all of them, and less
    than 95 %."""
    ordered, n = sorted(values), len(values)
    if n < 2:
        return {"median": statistics.median(ordered), "low": None, "high": None}
    below, rank = 0.0, 0
    while rank < n // 2 and below + math.comb(n, rank) / 2**n <= 0.025:
        below += math.comb(n, rank) / 2**n
        rank += 1
    rank = max(rank - 1, 0)
    return {"median": statistics.median(ordered), "low": ordered[rank], "high": ordered[n - 1 - rank]}
