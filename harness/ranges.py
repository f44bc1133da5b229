"""Ranges of numbers: the values that an option may have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from harness.errors import OutOfRange


class Range(NamedTuple):
    """The numbers from `low` to `high`. An end can be left out of the range. NaN and infinity are in no range."""

    low: float = -math.inf
    high: float = math.inf
    without_low: bool = False
    without_high: bool = False

    def __contains__(self, value: Any) -> bool:
        if not isinstance(value, int) and not math.isfinite(value):
            return False
        above = value > self.low if self.without_low else value >= self.low
        below = value < self.high if self.without_high else value <= self.high
        return bool(above and below)

    def __str__(self) -> str:
        low = f"{'above' if self.without_low else 'at least'} {self.low:.12g}"
        high = f"{'below' if self.without_high else 'at most'} {self.high:.12g}"
        ends = [text for end, text in ((self.low, low), (self.high, high)) if math.isfinite(end)]
        if len(ends) == 2 and not self.without_low:
            return f"from {self.low:.12g} to {'below ' if self.without_high else ''}{self.high:.12g}"
        return " and ".join(ends) or "a finite number"


AT_LEAST_0, AT_LEAST_1, ABOVE_0 = Range(0), Range(1), Range(0, without_low=True)
"""Numbers without an upper end."""

FACTOR = Range(0, 1, without_low=True)
"""A factor that makes nothing larger."""
SHARE, BELOW_1 = Range(0, 1), Range(0, 1, without_high=True)
"""A share of a whole, and one that leaves something over."""


def check_ranges(options: object, **ranges: Range) -> None:
    """Raise `OutOfRange` unless these fields of a dataclass lie in their ranges. None is in every range."""
    for name, allowed in ranges.items():
        value = getattr(options, name)
        for place, number in _numbers(name, value):
            if number is not None and number not in allowed:
                raise OutOfRange(type(options).__name__, place, f"must be {allowed}, not {number}")


def _numbers(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, tuple | list):
        return [(f"{name}[{place}]", number) for place, number in enumerate(value)]
    return [(name, value)]
