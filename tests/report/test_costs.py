"""The cost of a training with any number of steps, the step at which one backend overtakes another, the share of the peak, and the
drift of the machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reports import CELL, Kept, ok

from harness.report.summary import Report
from harness.report.text.costs import Cost, break_even, break_evens, costs, training_times
from harness.report.text.notes import run_warnings
from harness.report.text.results import report_tables
from harness.result import Result

BATCH = 50


def trained(backend: str, first_step: float, rate: float, seed: int = 0, **changes) -> Result:
    """A training whose first step ends after `first_step` seconds, with `rate` pictures per second afterwards."""
    cell = replace(CELL, backend=backend, seed=seed, options={"batch_size": BATCH})
    time = {
        "build_s": 0.0,
        "first_step_s": first_step,
        "total_s": 9.0,
        "rate": "training images",
        "images_per_s": [rate] * 5,
    }
    return ok(cell, time=time | changes)


def report(*results: Result) -> Report:
    return Report.of(Kept(results))


def seeds(count: int) -> list[Result]:
    """Two backends: one compiles nothing and takes 50 ms a step; the other compiles for 10 s and takes 25 ms a step."""
    return [
        trained(*both, seed)
        for seed in range(count)
        for both in (("eager", 0.0, 1000.0), ("compiled", 10.0 + seed / 10, 2000.0))
    ]


def test_a_cost_is_all_until_the_first_step_and_the_other_steps():
    found = report(trained("a", 1.5, 100.0, build_s=1.0, import_s=1.5, data_s=7.0))
    [cost] = costs(found, found.summary[0]).values()
    assert cost == Cost(4.0, 0.5) and cost.seconds(1) == 4.0 and cost.seconds(11) == 9.0


def test_only_undisturbed_trainings_have_a_cost():
    attack = replace(trained("a", 1.0, 100.0), time=trained("a", 1.0, 100.0).time | {"rate": "attacked images"})
    busy = trained("a", 1.0, 100.0, segment_seconds=[1.0] * 5, segment_own_s=[1.0] * 5, segment_others_s=[0.9] * 5)
    for result in (attack, busy):
        found = report(result)
        assert costs(found, found.summary[0]) == {}
        assert training_times(found, 10) == [] and not list(break_evens(found))


def test_the_backend_that_compiles_overtakes_the_other():
    [line] = break_evens(report(*seeds(6)))
    assert ": compiled overtakes eager after 411 steps (" in line and " to " in line
    [line] = break_evens(report(*seeds(2)))
    assert line.endswith("after 403 steps (n = 2).")


def test_both_take_as_long_at_the_break_even():
    first, second = {0: Cost(1.0, 0.5)}, {0: Cost(3.0, 0.25)}
    found = break_even(first, second)
    assert found["median"] == pytest.approx(9.0) and first[0].seconds(9) == second[0].seconds(9)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Cost(1.0, 0.5), Cost(0.5, 0.25)), (Cost(1.0, 0.5), Cost(2.0, 0.5)), (Cost(1.0, 0.5), Cost(2.0, 0.6)),
        (Cost(1.0, 0.5), Cost(2.0, 0.5 - 1e-9)),
    ],
)  # fmt: skip
def test_no_break_even_if_one_is_always_ahead_or_the_steps_are_alike(first, second):
    assert break_even({0: first}, {0: second}) is None


def test_no_break_even_if_seeds_contradict_each_other():
    assert break_even({0: Cost(1.0, 0.5), 1: Cost(3.0, 0.5)}, {0: Cost(2.0, 0.25), 1: Cost(2.0, 0.25)}) is None
    assert break_even({0: Cost(1.0, 0.5)}, {1: Cost(2.0, 0.25)}) is None, "no common seed"


def test_times_of_a_training_that_the_user_names():
    [table] = training_times(report(*seeds(6)), 10_000)
    assert table.headers[-2:] == ("10,000 steps", "n")
    assert [row[0] for row in table.rows] == ["compiled", "eager"], "the fastest first"
    assert table.rows[1][-2:] == ("8.3 min (8.3 to 8.3)", "6")
    [table] = training_times(report(*seeds(1)), 10)
    assert [row[0] for row in table.rows] == ["eager", "compiled"] and table.rows[0][-2:] == ("0.5 s", "1")


def test_the_share_of_the_peak_has_a_column_if_it_is_known():
    plain = trained("a", 1.0, 100.0)
    known = trained("b", 1.0, 200.0, flops=1e6, peak_flops=4e8)
    [table] = [table for table in report_tables(report(plain, known)) if "images/s" in table.headers]
    assert [row[table.headers.index("of peak")] for row in table.rows] == ["-", "50%"]
    assert not any("of peak" in table.headers for table in report_tables(report(plain)))
    assert report(known).summary[0]["peak_share"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("probes", "said"),
    [
        ([0.001 * (1 + 0.05 * turn) for turn in range(8)], "became slower during the run"),
        ([0.001 * (2 - 0.05 * turn) for turn in range(8)], "became faster during the run"),
        ([0.001, 0.0011, 0.00105, 0.001, 0.0011, 0.00105, 0.001, 0.0011], None),
        ([0.001, 0.002, 0.003], None),
    ],
)
def test_a_machine_that_changes_its_speed_is_named(probes, said):
    results = [
        trained("a", 1.0, 100.0, seed=seed, probe_s=[probe, probe * 1.2], turn=seed + 1)
        for seed, probe in reversed(list(enumerate(probes)))
    ]
    warnings = [line for line in run_warnings(report(*results)) if "machine" in line]
    assert len(warnings) == (said is not None) and all(said in line for line in warnings)
