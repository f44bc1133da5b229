"""The steady state of a speed: the part of a cell's timed segments that shows no trend and little spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

FEWEST = 5
"""The smallest number of segments that can show a steady state."""

SPREAD = 0.10
"""The largest interquartile range of steady speeds, as a share of their median."""

START = 0.20
"""The largest deviation of the first steady speed from the median, as a share of it."""

TREND = 0.05
"""The largest drift of steady speeds from the first segment to the last, as a share of their median. A larger drift counts as a
trend if it is significant at 5 %."""

SIGNIFICANT = 1.96
MOST = 200
"""A longer series is replaced by the medians of this number of blocks, because the time of a test of trend grows with the square."""

STARTS = 20
"""The largest number of segments that are tried as the start of the steady state."""


def steady_from(rates: Sequence[float]) -> int | None:
    """The first segment of the steady state; None if there is none.

    From this segment on, the speeds have no trend, and their spread is at most `SPREAD`. The first segments of a cell are often
    slower: processors raise their clocks, and frameworks compile or choose algorithms.
    """
    starts = range(0, len(rates) - FEWEST + 1, max(len(rates) // STARTS, 1))
    return next((start for start in starts if _can_start(rates[start:]) and unsteady(rates[start:]) is None), None)


def steady_part(rates: Sequence[float]) -> Sequence[float]:
    """The speeds of the steady state; all speeds if there is none."""
    return rates[steady_from(rates) or 0 :]


def median_rate(rates: Sequence[float]) -> float:
    """The median speed of the steady state."""
    return float(np.median(steady_part(rates)))


def unsteady(rates: Sequence[float]) -> str | None:
    """The reason why these speeds are not steady; None if they are."""
    if len(rates) < FEWEST:
        return f"only {len(rates)} segments were timed, and {FEWEST} are needed"
    if trend := drift(rates):
        return f"its speed {'rose' if trend > 0 else 'fell'} by {abs(trend):.0%} while it was timed"
    if (wide := spread(rates)) > SPREAD:
        return f"the speeds of its segments spread by {wide:.0%} (interquartile range), more than {SPREAD:.0%}"
    return None


def _can_start(rates: Sequence[float]) -> bool:
    """Whether the first of these speeds is near their median."""
    return bool(abs(rates[0] / np.median(rates) - 1) <= START)


def spread(rates: Sequence[float]) -> float:
    """The interquartile range as a share of the median."""
    low, median, high = np.quantile(rates, [0.25, 0.5, 0.75])
    return float((high - low) / median)


def drift(rates: Sequence[float]) -> float:
    """The change from the first to the last speed as a share of the median, by the Theil-Sen line; 0 if it is at most `TREND` or
    not significant by the Mann-Kendall test."""
    blocks = np.array_split(np.asarray(rates, float), min(len(rates), MOST))
    values, n = np.array([np.median(block) for block in blocks]), len(blocks)
    earlier, later = np.triu_indices(n, 1)
    rises = values[later] - values[earlier]
    z = (abs(np.sign(rises).sum()) - 1) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    change = float(np.median(rises / (later - earlier)) * (n - 1) / np.median(values))
    return change if z > SIGNIFICANT and abs(change) > TREND else 0.0
