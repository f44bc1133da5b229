"""The steady state: trends and spreads of speeds are found, and noise is not taken for a trend."""

from __future__ import annotations

import time

import numpy as np
import pytest

from harness.timing.record import as_record, disturbance
from harness.timing.steady import FEWEST, SPREAD, drift, median_rate, spread, steady_from, steady_part, unsteady

STEADY = [100.0, 101.0, 99.0, 100.5, 99.5, 100.0]


def test_equal_speeds_are_steady_from_the_start():
    assert steady_from([5.0] * FEWEST) == 0 and steady_from(STEADY) == 0
    assert steady_part(STEADY) == STEADY and unsteady(STEADY) is None


def test_slow_first_segments_are_left_out():
    rates = [20.0, 60.0, 75.0, *STEADY]
    assert steady_from(rates) == 3
    assert steady_part(rates) == STEADY and median_rate(rates) == 100.0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_trend_is_never_steady(sign):
    rates = [100.0 + sign * 4 * number for number in range(10)]
    assert steady_from(rates) is None and steady_part(rates) == rates
    assert ("rose" if sign > 0 else "fell") in (unsteady(rates) or "")


def test_a_small_drift_is_no_trend():
    assert drift([100.0 + 0.1 * number for number in range(10)]) == 0


def test_a_wide_spread_is_never_steady():
    rates = [100.0, 150.0, 90.0, 160.0, 80.0, 140.0, 100.0, 155.0]
    assert spread(rates) > SPREAD and steady_from(rates) is None
    assert "spread by" in (unsteady(rates) or "")


def test_one_slow_segment_does_not_spoil_the_others():
    assert steady_from([100.0, 101.0, 50.0, 99.0, 100.0, 100.5, 99.5]) == 0


def test_too_few_segments_are_not_judged():
    assert steady_from([1.0] * (FEWEST - 1)) is None
    assert f"only {FEWEST - 1} segments" in (unsteady([1.0] * (FEWEST - 1)) or "")


def test_noise_is_seldom_taken_for_a_trend():
    random = np.random.default_rng(0)
    alarms = [drift(100 * np.exp(0.05 * random.normal(size=size))) != 0 for size in (5, 8, 10) for _ in range(700)]
    print(f"trends found in noise of 5 %: {np.mean(alarms):.1%}")
    assert np.mean(alarms) < 0.06


def test_the_trend_of_a_long_series_is_found_in_a_short_time():
    random = np.random.default_rng(2)
    noise = np.exp(0.02 * random.normal(size=20_000))
    start = time.process_time()
    assert drift(100 * noise) == 0 and drift(noise * np.linspace(1, 1.2, 20_000)) == pytest.approx(0.18, abs=0.02)
    assert time.process_time() - start < 2


def test_a_drift_of_a_fifth_is_found():
    random = np.random.default_rng(1)
    ramp = np.linspace(1, 1.2, 8)
    found = [unsteady(100 * ramp * np.exp(0.01 * random.normal(size=8))) is not None for _ in range(200)]
    assert np.mean(found) > 0.95


def test_a_result_keeps_all_segments_and_the_speeds_of_the_steady_state():
    record = as_record([20.0, 60.0, 75.0, *STEADY], 0.3)
    assert record == {
        "images_per_s": STEADY, "segment_rates": [20.0, 60.0, 75.0, *STEADY], "steady_from": 3, "shortest_segment": 0.3,
    }  # fmt: skip
    assert disturbance(record) is None


def test_a_speed_that_is_never_steady_has_a_reason():
    assert "fell by" in (disturbance(as_record([100.0, 90.0, 80.0, 70.0, 60.0, 50.0], 0.3)) or "")
    assert disturbance(as_record([100.0, 50.0])) is None, "segments of any length were asked for"
    assert disturbance({"images_per_s": [1.0, 9.0]}) is None, "older results do not keep all segments"
