"""Timed segments: they are as long as needed, and short work is repeated."""

from __future__ import annotations

import copy
import json
import time

import numpy as np
import pytest

from harness import Rate
from harness.timing.clock import Clock
from harness.timing.load import Usage
from harness.timing.segments import MOST, REPEAT, are_enough, repeated, units_for
from harness.timing.steady import FEWEST

SHORTEST = 0.02


def rate(seconds: float, items: float = 100.0) -> Rate:
    return Rate(items, Usage(seconds, seconds, None, None))


class Sleeper:
    """Work that takes the same time for each unit. The speed of each call may be changed."""

    def __init__(self, unit: float = 0.001, speeds: tuple[float, ...] = ()) -> None:
        self.unit, self.speeds, self.asked = unit, list(speeds), []

    def __call__(self, units: int) -> float:
        self.asked.append(units)
        speed = self.speeds.pop(0) if self.speeds else 1.0
        end = time.perf_counter() + units * self.unit / speed
        while time.perf_counter() < end:
            pass
        return 10.0 * units


def test_a_rate_is_a_number_that_knows_its_segment():
    one = rate(2.0)
    assert one == 50.0 and (one.count, one.usage.seconds) == (100.0, 2.0)
    assert json.dumps([one]) == "[50.0]" and np.median([one, one]) == 50.0
    assert copy.deepcopy(one).usage == one.usage


def test_own_segments_are_enough_if_they_are_many_and_long():
    assert are_enough([rate(1.0)] * FEWEST, 1.0)
    assert not are_enough([rate(1.0)] * (FEWEST - 1), 1.0)
    assert not are_enough([*[rate(1.0)] * FEWEST, rate(0.5)], 1.0)


def test_the_length_of_a_segment_is_doubled_until_it_is_long_enough():
    clock, work = Clock(), Sleeper()
    rates = repeated(clock, work, 1, SHORTEST)
    lengths = list(dict.fromkeys(work.asked))
    assert lengths == [2**power for power in range(len(lengths))]
    assert all(rate.usage.seconds >= SHORTEST for rate in rates[:1])
    assert FEWEST <= len(rates) <= MOST and work.asked.count(lengths[-1]) == len(rates)
    assert all(rate.count == 10 * lengths[-1] for rate in rates), "segments that were too short do not count"
    assert len(clock.phases[REPEAT]) == len(work.asked), "but their time is part of the phase"


def test_a_speed_that_is_not_steady_has_more_segments():
    work = Sleeper(SHORTEST, speeds=(0.2, 0.4, 0.7))
    assert len(repeated(Clock(), work, 1, SHORTEST)) > FEWEST
    work = Sleeper(SHORTEST, speeds=tuple(1.0 + 0.3 * number for number in range(2 * MOST)))
    assert len(repeated(Clock(), work, 4 * MOST, SHORTEST)) == MOST, "there is an end"


@pytest.mark.parametrize(("seconds", "units"), [(1.0, 2), (0.001, 2000), (100.0, 1)])
def test_the_first_guess_comes_from_the_last_own_segment(seconds, units):
    assert units_for([rate(5.0), rate(seconds)], 100.0, 2.0) == units


def test_without_own_segments_the_first_guess_is_one_unit():
    assert units_for([], 100.0, 2.0) == 1
