"""Whether one of two programs is slower, with statistical evidence."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from harness.report.stats import median_interval

PAIRS, MOST_PAIRS = 7, 31
CLEAR_PAIRS, CLEAR = 3, 1.5
"""This number of pairs is enough if all of them are above the floor by this factor."""


def is_slower(theirs: Callable[[], object], ours: Callable[[], object], what: str, floor: float) -> bool:
    """Whether the ratio of our speed to theirs is below the floor in two series of measurements, one after the other.

    A busy machine can slow one side for some seconds: pairs from 0.89 to 0.95 were followed by pairs around 0.99.
    """
    return all(is_slower_in_a_series(theirs, ours, what, floor) for _ in range(2))


def is_slower_in_a_series(theirs: Callable[[], object], ours: Callable[[], object], what: str, floor: float) -> bool:
    """Whether the ratio of our speed to theirs is below the floor, with statistical evidence.

    The median of paired ratios counts. On a busy machine, single pairs differ by a factor of two. While the median is
    below the floor, more pairs are measured. They stop when the median is above the floor, or when its 95 % interval is
    below the floor; then we are slower. If neither happens, the noise is too large, and nothing is proven. Three pairs
    are enough if we are much faster.
    """
    pair(theirs, ours)  # the first pair compiles
    ratios: list[float] = []
    slower = False
    for turn in range(MOST_PAIRS):
        ratios.append(pair(theirs, ours) if turn % 2 else 1 / pair(ours, theirs))
        if len(ratios) >= CLEAR_PAIRS and min(ratios) >= CLEAR * floor:
            break
        slower = len(ratios) >= PAIRS and median_interval(ratios)["high"] < floor
        if slower or (len(ratios) >= PAIRS and statistics.median(ratios) >= floor):
            break
    median, pairs = statistics.median(ratios), [round(each, 2) for each in sorted(ratios)]
    print(f"{what}: {median:.2f} of the speed without us, floor {floor} (pairs: {pairs})")
    return slower


def pair(first: Callable[[], object], second: Callable[[], object]) -> float:
    start = time.perf_counter()
    first()
    between = time.perf_counter()
    second()
    return (between - start) / (time.perf_counter() - between)
