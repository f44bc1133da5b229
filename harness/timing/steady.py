"""The steady state of a speed: the part of a cell's timed segments that shows no trend and little spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations

FEWEST = 5
"""The smallest number of segments that can show a steady state."""

SPREAD = 0.10
"""The largest interquartile range of steady speeds, as a share of their median."""

TREND = 0.05
"""The largest drift of steady speeds from the first segment to the last, as a share of their median. A larger drift counts as a
trend if it is significant at 5 %."""

SIGNIFICANT = 1.96


def steady_from(rates: Sequence[float]) -> int | None:
    """The first segment of the steady state; None if there is none.

    From this segment on, the speeds have no trend, and their spread is at most `SPREAD`. The first segments of a cell are often
    slower: processors raise their clocks, and frameworks compile or choose algorithms.
    """
    starts = range(len(rates) - FEWEST + 1)
    return next((start for start in starts if unsteady(rates[start:]) is None), None)


def steady_part(rates: Sequence[float]) -> Sequence[float]:
    """The speeds of the steady state; all speeds if there is none."""
    return rates[steady_from(rates) or 0 :]


def median_rate(rates: Sequence[float]) -> float:
    """The median speed of the steady state."""
    return float(statistics.median(steady_part(rates)))


def unsteady(rates: Sequence[float]) -> str | None:
    """The reason why these speeds are not steady; None if they are."""
    if len(rates) < FEWEST:
        return f"only {len(rates)} segments were timed, and {FEWEST} are needed"
    if trend := drift(rates):
        return f"its speed {'rose' if trend > 0 else 'fell'} by {abs(trend):.0%} while it was timed"
    if (wide := spread(rates)) > SPREAD:
        return f"the speeds of its segments spread by {wide:.0%} (interquartile range), more than {SPREAD:.0%}"
    return None


def spread(rates: Sequence[float]) -> float:
    """The interquartile range as a share of the median."""
    low, median, high = statistics.quantiles(rates, n=4, method="inclusive")
    return (high - low) / median


def drift(rates: Sequence[float]) -> float:
    """The change from the first to the last speed as a share of the median, by the Theil-Sen line; 0 if it is at most `TREND` or
    not significant by the Mann-Kendall test."""
    pairs = list(combinations(range(len(rates)), 2))
    rises = sum((rates[b] > rates[a]) - (rates[b] < rates[a]) for a, b in pairs)
    n = len(rates)
    z = (abs(rises) - 1) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    slope = statistics.median((rates[b] - rates[a]) / (b - a) for a, b in pairs)
    change = slope * (n - 1) / statistics.median(rates)
    return change if z > SIGNIFICANT and abs(change) > TREND else 0.0
