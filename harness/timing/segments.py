"""Timed segments that are long enough to be trusted. Work that is too short is repeated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.timing.clock import Clock, Rate
from harness.timing.steady import FEWEST, steady_from

MOST = 10
"""The largest number of repeated segments. If the speed is not steady then, the report says so."""

REPEAT = "repeat"
"""The phase of repeated work."""

Work = Callable[[int], float]
"""A function that does a number of units of work and returns the number of items in them, such as pictures."""


def are_enough(rates: Sequence[Rate], shortest: float) -> bool:
    """Whether these segments are as many and as long as needed."""
    return len(rates) >= FEWEST and all(rate.usage.seconds >= shortest for rate in rates)


def repeated(clock: Clock, work: Work, units: int, shortest: float) -> list[Rate]:
    """The rates of `work` in segments of at least `shortest` seconds.

    `units` is a first guess of the number of units in a segment. It is doubled until a segment is long enough; the segments
    before do not count. There are at least `FEWEST` segments, and more until the speed is steady.
    """

    def timed(units: int) -> Rate:
        with clock.phase(REPEAT):
            items = work(units)
        return clock.rate(REPEAT, items)

    while (first := timed(units)).usage.seconds < shortest:
        units *= 2
    rates = [first]
    while len(rates) < FEWEST or (steady_from(rates) is None and len(rates) < MOST):
        rates.append(timed(units))
    return rates


def units_for(rates: Sequence[Rate], items: float, shortest: float) -> int:
    """The number of units of `items` items each that probably take `shortest` seconds, judging by the last of these rates."""
    return max(1, math.ceil(rates[-1] * shortest / items)) if rates else 1
