"""Intervals and tests of pairs agree with SciPy's own, and keep their promises in simulations. All simulations have a seed."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from harness.metric import ends_of
from harness.report.stats import (
    MOST_PAIRS,
    Pairs,
    geometric_interval,
    holm,
    interval,
    mean_interval,
    p_different,
    p_equivalent,
    paired_differences,
    paired_ratios,
    pairs_needed,
    rate_interval,
    ratio_margin,
    smallest_effect,
)

LEVEL = (0.92, 0.97)
"""The share of intervals of 95 % that hold the true value in a simulation."""

MARGIN = ratio_margin(0.05)


# Intervals


def test_too_few_values_have_no_interval():
    for few in ([2.0], [1.0, 3.0]):
        assert mean_interval(few) == {"mean": 2.0, "low": None, "high": None}
    few = geometric_interval([1.0, 2.0, 4.0, 8.0, 16.0])
    assert few == {"median": pytest.approx(4.0), "low": None, "high": None, "n": 5}


def test_the_interval_of_a_mean_is_that_of_students_t():
    values = [1.0, 2.0, 4.0, 4.5]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = mean_interval(values)
    assert (found["low"], found["high"]) == pytest.approx((low, high)) and found["mean"] == np.mean(values)


def test_the_interval_of_a_share_is_from_0_to_1():
    ends = ends_of("share")
    assert mean_interval([0.9, 1.0, 1.0], *ends)["high"] == 1.0 and mean_interval([0.0, 0.0, 0.1], *ends)["low"] == 0.0
    assert mean_interval([0.9, 1.0, 1.0])["high"] > 1.0, "which is what is cut off"


def test_the_interval_of_rates_is_over_cells_and_not_over_their_segments():
    assert rate_interval([[1.0, 2.0, 9.0]] * 5) == {"median": pytest.approx(2.0), "low": None, "high": None, "n": 5}
    medians = [float(n) for n in range(1, 7)]
    found = rate_interval([[0.5, n, 99.0] for n in medians])
    logs = np.log(medians)
    low, high = np.exp(stats.t.interval(0.95, 5, logs.mean(), stats.sem(logs)))
    assert found == pytest.approx({"median": stats.gmean(medians), "low": low, "high": high, "n": 6})
    assert rate_interval([[2.0], [1.0] * 99])["median"] == pytest.approx(2**0.5), "a cell counts once"


def test_a_rate_of_0_has_no_interval():
    assert geometric_interval([0.0, *[1.0] * 9]) == {"median": 0.0, "low": None, "high": None, "n": 10}


def coverage(cells: int, spread: float, shape: str, repeats: int, seed: int) -> float:
    """The share of intervals that hold the true rate. The segments of a cell are an autoregressive process around the cell's own
    rate, so that they are not independent."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((repeats, cells))
    rates = 1000 * (np.exp(spread * noise) if shape == "log-normal" else 1 + spread * noise)
    steps, segments = random.standard_normal((5, repeats, cells)), [np.zeros((repeats, cells))]
    for step in steps:
        segments.append(0.8 * segments[-1] + 0.6 * step)
    measured = rates * np.exp(0.02 * np.stack(segments[1:]))
    held = 0
    for one in np.maximum(measured, 1e-3).transpose(1, 2, 0):
        found = rate_interval(one.tolist())
        held += found["low"] <= typical(spread, shape) <= found["high"]
    return held / repeats


def typical(spread: float, shape: str) -> float:
    """The true geometric mean of the rates of many cells."""
    if shape == "log-normal":
        return 1000.0
    grid = np.linspace(-6, 6, 20001)
    weights = np.exp(-(grid**2) / 2)
    return 1000 * math.exp(np.average(np.log(np.maximum(1 + spread * grid, 1e-6)), weights=weights))


COVERED = [
    (cells, spread, shape)
    for cells in (6, 10, 20)
    for spread, shape in ((0.02, "normal"), (0.2, "normal"), (0.05, "log-normal"), (0.4, "log-normal"))
]


@pytest.mark.parametrize(("cells", "spread", "shape"), COVERED)
def test_the_interval_of_rates_holds_the_true_rate(cells, spread, shape):
    assert LEVEL[0] <= coverage(cells, spread, shape, 1000, seed=cells) <= LEVEL[1]


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "spread", "shape"), COVERED)
def test_the_interval_of_rates_holds_the_true_rate_in_many_simulations(cells, spread, shape):
    share = coverage(cells, spread, shape, 20_000, seed=1)
    print(f"coverage with {cells} cells, {shape}, spread {spread:.0%}: {share:.1%}")
    assert LEVEL[0] <= share <= LEVEL[1]


def test_an_interval_over_pooled_segments_would_be_too_narrow():
    """The simulation notices a wrong interval."""
    random = np.random.default_rng(0)
    held, repeats = 0, 500
    for rates in 1000 * np.exp(0.05 * random.standard_normal((repeats, 6))):
        segments = np.repeat(rates, 5) * np.exp(0.02 * random.standard_normal(30))
        found = rate_interval([[one] for one in segments])
        held += found["low"] <= 1000 <= found["high"]
    assert held / repeats < 0.8


# Pairs

FIRST = [100.0, 104.0, 97.0, 101.0, 99.0, 108.0]
SECOND = [91.0, 97.0, 90.0, 88.0, 94.0, 99.0]


def test_a_ratio_of_pairs_has_the_interval_and_the_p_value_of_the_t_test_on_logarithms():
    pairs = paired_ratios(FIRST, SECOND)
    expected = stats.ttest_rel(np.log(SECOND), np.log(FIRST))
    low, high = expected.confidence_interval(0.95)
    assert interval(pairs) == pytest.approx((low, high)) and p_different(pairs) == pytest.approx(expected.pvalue)
    assert math.exp(pairs.mean) == pytest.approx(stats.gmean(np.divide(SECOND, FIRST)))
    assert interval(pairs, fewest=7) is None and interval(paired_ratios([1.0], [2.0])) is None


def test_the_speed_of_the_machine_cancels_in_pairs():
    slower_machine = [0.5, 1.0, 0.7, 2.0, 1.1, 0.9]
    changed = paired_ratios(np.multiply(FIRST, slower_machine), np.multiply(SECOND, slower_machine))
    same = paired_ratios(FIRST, SECOND)
    assert (changed.mean, changed.deviation) == pytest.approx((same.mean, same.deviation))


def test_equivalence_is_two_one_sided_tests():
    pairs = paired_differences([0.90, 0.91, 0.92, 0.93], [0.902, 0.909, 0.921, 0.931])
    one_sided = [
        stats.ttest_1samp([0.002, -0.001, 0.001, 0.001], edge, alternative=side).pvalue
        for edge, side in ((-0.01, "greater"), (0.01, "less"))
    ]
    assert p_equivalent(pairs, 0.01) == pytest.approx(max(one_sided)) and max(one_sided) < 0.05
    assert p_equivalent(Pairs(6, 0.02, 0.01), 0.01) > 0.5, "a mean beyond the margin is not equivalent"
    assert ratio_margin(0.05) == pytest.approx(-math.log(1 / 1.05))


def test_pairs_without_any_deviation_are_certain():
    same, slower = paired_ratios(FIRST, FIRST), paired_ratios(FIRST, [value / 2 for value in FIRST])
    assert (p_different(same), p_equivalent(same, MARGIN), pairs_needed(same, MARGIN, 6)) == (1.0, 0.0, 6)
    assert p_different(slower) < 1e-9 and p_equivalent(slower, MARGIN) > 0.99


def test_holm_corrects_as_published():
    """The example of Holm's procedure: the smallest p value is multiplied by the number of tests, the next by one less, and no
    corrected value is below an earlier one."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == [] and holm([0.02]) == [0.02]


@pytest.mark.parametrize("n", [6, 10, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 15])
def test_the_smallest_effect_is_found_in_8_of_10_simulations(n, alpha):
    random = np.random.default_rng(n)
    effect = smallest_effect(Pairs(n, 0.0, 1.0), alpha)
    samples = effect + random.standard_normal((4000, n))
    found = stats.ttest_1samp(samples, 0, axis=1).pvalue <= alpha
    assert found.mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("mean", "deviation"), [(0.1, 0.1), (0.04, 0.05), (0.0, 0.06), (0.02, 0.04)])
def test_the_needed_pairs_decide_in_at_least_8_of_10_simulations(mean, deviation):
    random = np.random.default_rng(7)
    needed = pairs_needed(Pairs(6, mean, deviation), MARGIN, fewest=6)
    shares = []
    for n in (needed, max(needed // 2, 3)):
        samples = mean + deviation * random.standard_normal((2000, n))
        pairs = [Pairs(n, one.mean(), one.std(ddof=1)) for one in samples]
        shares.append(np.mean([min(p_different(one), p_equivalent(one, MARGIN)) <= 0.05 for one in pairs]))
    assert shares[0] >= 0.78 and (needed <= 6 or shares[1] < 0.75), (needed, shares)


def test_more_noise_needs_more_pairs():
    needed = [pairs_needed(Pairs(6, 0.02, deviation), MARGIN, fewest=6) for deviation in (0.01, 0.05, 0.1, 0.2)]
    assert needed[0] == 6 and all(few < many for few, many in pairwise(needed)) and needed[-1] < MOST_PAIRS
    assert pairs_needed(Pairs(6, 0.02, 0.5), MARGIN) is None
    stricter = pairs_needed(Pairs(6, 0.02, 0.05), MARGIN, alpha=0.05 / 15)
    assert stricter > needed[1]
    assert pairs_needed(Pairs(6, -0.02, 0.05), MARGIN, 6) == needed[1], "the direction does not matter"
