"""Statistics of reports and comparisons: intervals over cells, and tests on pairs of cells.

Every interval is a 95 % confidence interval, by Student's t unless it says otherwise. Rates and times are positive and vary by factors, so their
intervals are computed on logarithms. Too few cells have no interval. The segments of a cell share a process, so they are not
independent: a cell counts once, with the median of its segments.

SciPy is imported by the functions that need it, because its import takes longer than a small report.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypedDict

FEWEST_MEANS = 3
"""The smallest number of values whose mean has an interval. That of two values would be useless: 12.7 times their standard
error."""

FEWEST_RATES = 6
"""The smallest number of cells whose rates or times have an interval."""

LEVEL = 0.95
"""The level of all intervals."""

ALPHA = 0.05
"""The largest probability of a false alarm."""

POWER = 0.8
"""The probability with which an effect is found that "could have been seen"."""

MOST_PAIRS = 1000
"""The largest number of pairs that `pairs_needed` names."""

FARTHEST = 30.0
"""The largest noncentrality of Student's t that is computed. Farther away, the power is the same, but SciPy returns NaN."""


class Mean(TypedDict):
    """A mean with its interval, if there are enough values."""

    mean: float
    low: float | None
    high: float | None


class Typical(TypedDict):
    """The typical rate or time of a row. The key `median` holds the geometric mean of the medians of its cells: the key is older
    than this definition, and no key of a report is renamed."""

    median: float
    low: float | None
    high: float | None
    n: int
    """The number of cells."""


@dataclass(frozen=True)
class Pairs:
    """The differences of pairs: their number, their mean and their standard deviation. For ratios, these are the differences of
    the logarithms."""

    n: int
    mean: float
    deviation: float

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.deviation / math.sqrt(self.n)


def mean_interval(values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> Mean:
    """The mean and its interval, for at least `FEWEST_MEANS` values. The interval is cut off at `least` and `most`, the smallest
    and the largest possible number."""
    mean = statistics.fmean(values)
    if len(values) < FEWEST_MEANS:
        return {"mean": mean, "low": None, "high": None}
    half = t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "low": max(mean - half, least), "high": min(mean + half, most)}


def geometric_interval(values: Sequence[float]) -> Typical:
    """The geometric mean and its interval, for at least `FEWEST_RATES` values of at least 0. With a value of 0, the geometric
    mean is 0 and has no interval."""
    n = len(values)
    if min(values) <= 0:
        return {"median": 0.0, "low": None, "high": None, "n": n}
    logs = [math.log(value) for value in values]
    mean = statistics.fmean(logs)
    if n < FEWEST_RATES:
        return {"median": math.exp(mean), "low": None, "high": None, "n": n}
    half = t_quantile(n - 1) * statistics.stdev(logs) / math.sqrt(n)
    return {"median": math.exp(mean), "low": math.exp(mean - half), "high": math.exp(mean + half), "n": n}


def rate_interval(cells: Sequence[Sequence[float]]) -> Typical:
    """The geometric mean over cells of the median of each cell, with its interval."""
    return geometric_interval([statistics.median(segments) for segments in cells])


def median_interval(values: Sequence[float]) -> Typical:
    """The median of paired ratios and its 95 % interval, for at least `FEWEST_RATES` values. The ends of the interval are values
    of the same rank from below and from above: the narrowest such pair that holds the median in at least 95 % of samples."""
    ordered, n = sorted(values), len(values)
    if n < FEWEST_RATES:
        return {"median": statistics.median(ordered), "low": None, "high": None, "n": n}
    below, rank = 0, 0
    ways = 1  # of the 2**n ways to lie on either side of the median, those with `rank` values below it
    while 40 * (below + ways) <= 2**n:  # 40 times 2.5 %
        below += ways
        ways = ways * (n - rank) // (rank + 1)
        rank += 1
    return {"median": statistics.median(ordered), "low": ordered[rank - 1], "high": ordered[n - rank], "n": n}


@cache
def t_quantile(freedom: int, alpha: float = 1 - LEVEL) -> float:
    """The value that Student's t exceeds, in one of both directions, with the probability `alpha`."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - alpha / 2))


# Pairs


def paired_differences(first: Sequence[float], second: Sequence[float]) -> Pairs:
    """The differences second - first of pairs: `first[i]` belongs to `second[i]`."""
    return pairs_of([after - before for before, after in zip(first, second, strict=True)])


def paired_ratios(first: Sequence[float], second: Sequence[float]) -> Pairs:
    """The logarithms of the ratios second / first of pairs. All values are above 0. `math.exp` of the mean is the geometric mean
    of the ratios."""
    return pairs_of([math.log(after / before) for before, after in zip(first, second, strict=True)])


def pairs_of(differences: Sequence[float]) -> Pairs:
    """The number, the mean and the standard deviation of these differences."""
    deviation = statistics.stdev(differences) if len(differences) > 1 else 0.0
    return Pairs(len(differences), statistics.fmean(differences), deviation)


def interval(pairs: Pairs, fewest: int = 2) -> tuple[float, float] | None:
    """The interval of the mean difference; None for fewer than `fewest` pairs."""
    if pairs.n < max(fewest, 2):
        return None
    half = t_quantile(pairs.n - 1) * pairs.error
    return pairs.mean - half, pairs.mean + half


def p_different(pairs: Pairs) -> float:
    """The probability of a mean at least this far from 0 if there is no difference: the two-sided t test."""
    return min(1.0, 2 * _above(abs(pairs.mean), pairs))


def p_equivalent(pairs: Pairs, margin: float) -> float:
    """The larger p value of two one-sided t tests (TOST): that the mean is above -margin, and that it is below +margin. A small
    value shows that the difference is within the margin."""
    return max(_above(pairs.mean + margin, pairs), _above(margin - pairs.mean, pairs))


def ratio_margin(share: float) -> float:
    """The margin of logarithms for ratios from 1 / (1 + share) to 1 + share."""
    return math.log1p(share)


def _above(distance: float, pairs: Pairs) -> float:
    """The one-sided p value of a mean that is `distance` above its hypothesis."""
    from scipy.special import stdtr

    if pairs.error == 0:
        return 0.0 if distance > 0 else 1.0 if distance < 0 else 0.5
    return float(stdtr(pairs.n - 1, -distance / pairs.error))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values of several tests, corrected by Holm's method. If those of at most `ALPHA` are called findings, the probability
    of any false finding is at most `ALPHA`, whether or not the tests are independent."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def smallest_effect(pairs: Pairs, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest mean difference that a two-sided t test of as many such pairs finds with the probability `power`."""
    from scipy.special import nctdtrinc

    return float(nctdtrinc(pairs.n - 1, 1 - power, t_quantile(pairs.n - 1, alpha))) * pairs.error


def pairs_needed(
    pairs: Pairs, margin: float, fewest: int = 2, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """The number of such pairs that would decide with the probability `power`: show a difference, or show that it is within the
    margin. It assumes that mean and deviation stay as they are. None if it is above `MOST_PAIRS`."""
    if not _is_decided(pairs, MOST_PAIRS, margin, alpha, power):
        return None
    needed = range(fewest, MOST_PAIRS + 1)
    return needed[bisect_left(needed, True, key=lambda n: _is_decided(pairs, n, margin, alpha, power))]


def _is_decided(pairs: Pairs, n: int, margin: float, alpha: float, power: float) -> bool:
    """Whether `n` such pairs show a difference, or show that it is within the margin, with the probability `power`."""
    if pairs.deviation == 0:
        return True
    error, freedom = pairs.deviation / math.sqrt(n), n - 1
    if _power(abs(pairs.mean) / error, freedom, t_quantile(freedom, alpha)) >= power:
        return True
    inside = [
        _power(distance / error, freedom, t_quantile(freedom, 2 * alpha))
        for distance in (margin + pairs.mean, margin - pairs.mean)
    ]
    return sum(inside) - 1 >= power


def _power(distance: float, freedom: int, beyond: float) -> float:
    """The probability that Student's t is above `beyond` if the true mean is `distance` standard errors above 0."""
    from scipy.special import nctdtr

    return 1 - float(nctdtr(freedom, min(max(distance, 0.0), FARTHEST), beyond))
