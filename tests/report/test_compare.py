"""Two runs: their conditions, the pairs of their cells, and verdicts that keep their promises in simulations."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
from refusals import refused
from reports import Kept
from runs import HOST, STEADY, cell, finished, scaled, timed

from harness.errors import UsageError
from harness.report.compare import FORMATS, Comparison, Gate
from harness.report.compare.changes import Change, judged, overall
from harness.report.compare.matching import Row, match, name_of
from harness.report.compare.measures import SPEED
from harness.report.summary import Report
from harness.result import Result


class Run(Kept):
    """A stored run with a record."""

    def __init__(self, results, **record) -> None:
        super().__init__(results)
        self.run = {
            "id": "run",
            "host": HOST,
            "started": "2026-11-30T10:00:00",
            "finished": "2026-11-30T11:00:00",
        } | record


def compared(first, second, *gates: str, force: bool = False, **record) -> Comparison:
    reports = Report.of(Run(first)), Report.of(Run(second, **record))
    return Comparison.of(*reports, ("runs/a", "runs/b"), [Gate.from_text(text) for text in gates], force)


def verdicts(found: Comparison) -> list[str | None]:
    return [change.verdict for change in found.speeds]


def said(found: Comparison, name: str = "table") -> str:
    return " ".join(FORMATS[name](found).split())


# Pairs


def test_cells_are_paired_by_their_seed():
    first, second = timed(STEADY), timed(STEADY)
    (row,) = match(first, second[::-1])
    assert [(pair.first.cell.seed, pair.second.cell.seed) for pair in row.pairs] == [(n, n) for n in range(6)]


def test_cells_of_one_seed_are_paired_in_the_order_in_which_they_ran():
    def ran(*orders):
        return [timed([100.0 + order], time={"turn": order})[0] for order in orders]

    (row,) = match(ran(4, 1), ran(2, 7))
    assert [(pair.first.time["turn"], pair.second.time["turn"]) for pair in row.pairs] == [(1, 2), (4, 7)]
    assert [pair.repeat for pair in row.pairs] == [0, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"task": "adversarial"}, {"backend": "other"}, {"mode": "compiled"}, {"model": "lenet5"}, {"dataset": "mnist"},
        {"weights": "some"}, {"semantics": "native"}, {"options": {"epochs": 2}},
    ],
    ids=str,
)  # fmt: skip
def test_cells_of_different_experiments_are_never_paired(change):
    rows = match([finished(cell())], [finished(cell(**change))])
    assert len(rows) == 2 and not any(row.pairs for row in rows)


def test_a_backend_file_is_paired_by_its_name_and_not_by_its_folder():
    rows = match([finished(cell("/base/mine.py"))], [finished(cell("/new/mine.py"))])
    assert len(rows) == 1 and rows[0].pairs


# Verdicts


@pytest.mark.parametrize(
    ("speeds", "verdict", "word"),
    [(scaled(0.85), "lower", "slower"), (scaled(1.2), "higher", "faster"), (scaled(1.01), "equivalent", "equivalent")],
)
def test_verdicts(speeds, verdict, word):
    found = compared(timed(STEADY), timed(speeds))
    assert verdicts(found) == [verdict] and word in said(found)


def test_a_noisy_row_is_undecided_and_says_how_many_pairs_would_decide():
    found = compared(timed(STEADY), timed(scaled(0.96, noise=0.06)))
    (change,) = found.speeds
    assert change.verdict == "undecided" and change.would_decide > 6 and change.smallest_effect > 0.05
    assert f"undecided: n = {change.would_decide} would decide" in said(found)


def test_too_few_pairs_have_no_interval_and_no_verdict_but_undecided():
    found = compared(timed(STEADY[:5]), timed(scaled(0.5)[:5]))
    (change,) = found.speeds
    assert change.verdict == "undecided" and change.limits is None and change.value == pytest.approx(0.5, rel=0.01)
    assert "undecided: 5 pairs, and at least 6 are needed" in said(found)


def test_ratios_without_any_deviation_were_not_measured():
    found = compared(timed(STEADY), timed([speed / 2 for speed in STEADY]))
    (change,) = found.speeds
    assert change.verdict is None and change.limits is None and change.p_different is None
    assert "not judged: all pairs have exactly the same ratio, which no measurement has" in said(found)


def test_the_ratio_is_that_of_the_pairs():
    """The speed of the machine differs between seeds, but not between the runs."""
    machine = [1.0, 0.5, 2.0, 1.5, 0.7, 1.0]
    first = [speed * 100 for speed in machine]
    second = [speed * 90 * noise for speed, noise in zip(machine, (1.01, 0.99, 1.0, 1.01, 0.99, 1.0), strict=True)]
    (change,) = compared(timed(first), timed(second)).speeds
    assert change.verdict == "lower" and change.value == pytest.approx(0.9, rel=0.01)
    assert change.limits[0] > 0.88 and change.limits[1] < 0.92


def test_a_disturbed_row_is_shown_and_marked_and_not_judged():
    second = timed(scaled(0.5))
    second[3].evidence["disturbed"] = "it stalled"
    found = compared(timed(STEADY), second)
    (change,) = found.speeds
    assert (change.verdict, change.not_judged, change.limits) == (None, "disturbed", None)
    assert "0.500" in said(found) and "not judged: disturbed" in said(found)
    assert found.overall.value is None and found.accuracies[0].verdict == "equivalent"


def test_verdicts_are_corrected_for_the_number_of_rows():
    slightly = [
        speed * (1 + step) for speed, step in zip(STEADY, (-0.16, -0.01, -0.13, -0.02, -0.15, -0.03), strict=True)
    ]
    assert verdicts(compared(timed(STEADY), timed(slightly))) == ["lower"]
    steady = [result for number in range(10) for result in timed(scaled(1, 0.1), f"other-{number}")]
    others = [result for number in range(10) for result in timed(scaled(1, -0.1), f"other-{number}")]
    alone, *rest = compared(timed(STEADY) + steady, timed(slightly) + others).speeds
    assert alone.verdict == "undecided" and len(rest) == 10 and alone.limits[1] < 1, "its own interval is not corrected"


def test_the_geometric_mean_is_over_matched_rows_and_common_seeds():
    first = timed(STEADY) + timed(STEADY, "two") + timed(STEADY, "only-here")
    second = timed(scaled(0.5)) + timed(scaled(2.0), "two")
    found = compared(first, second).overall
    assert found.value == pytest.approx(1.0, rel=0.01) and (found.rows, found.pairs.n) == (2, 6)
    fewer = compared(first, second[:-1])
    assert fewer.overall.rows == 2 and fewer.overall.pairs.n == 5 and fewer.overall.limits is None
    assert "without an interval: n = 5" in said(fewer)


def test_accuracies_are_compared_in_points_with_a_margin_of_one_point():
    def accuracy(value, step=0.0005):
        results = timed(STEADY, accuracy=value)
        for result in results:
            result.metrics["test_accuracy"] += step * (-1) ** result.cell.seed
        return results

    first = [replace(one, time=one.time | {"total_s": 7.0}) for one in accuracy(0.9)]
    for value, verdict in ((0.902, "equivalent"), (0.87, "lower"), (0.93, "higher")):
        (change,) = compared(first, accuracy(value, -0.0005)).accuracies
        assert change.verdict == verdict and change.value == pytest.approx(value - 0.9, abs=0.002)
    (change,) = compared(first[:2], accuracy(0.5)[:2]).accuracies
    assert change.verdict == "undecided" and change.limits is None


def test_changes_of_parity_are_shown():
    equal = {"verdict": "equal", "steps": 20, "timed": {"limit": 1e-4, "logits": 0.0, "losses": 0.0}, "excludes": []} | dict.fromkeys(
        ("logits", "gradients", "input_gradients", "trajectory", "attack"), 1e-15
    )  # fmt: skip
    differs = equal | {"verdict": "differs: logits of net: 1.0e-03, limit 1e-09", "logits": 1e-3}
    first, second = ([replace(one, parity=parity) for one in timed(STEADY)] for parity in (equal, differs))
    found = compared(first, second)
    assert "Verdicts of parity that have changed" in said(found) and "differs: logits of net" in said(found)
    assert found.as_json()["parity"][0]["largest_second"] == 1e-3
    assert "no verdict has changed; the largest deviation from the reference is 1e-15 in A and 1e-15 in B" in said(
        compared(first, [replace(one, parity=equal) for one in timed(scaled(1.0))])
    )


# Conditions


def on(second: list[Result], **changes) -> list[Result]:
    """The same cells with another machine or other data."""
    host = HOST | {name: value for name, value in changes.items() if name in HOST}
    rest = {name: value for name, value in changes.items() if name not in HOST}
    return [replace(one, evidence=one.evidence | {"host": host} | rest) for one in second]


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"processor": "another"}, "processor"), ({"cores": 4}, "number of cores"), ({"memory_bytes": 2**30}, "memory"),
        ({"system": "Darwin 24"}, "system"), ({"device": "gpu"}, "device"), ({"dataset": "e" * 16}, "dataset"),
        ({"model": "another"}, "network"), ({"order_rule": "1"}, "order of the pictures"),
    ],
    ids=str,
)  # fmt: skip
def test_there_is_no_verdict_across_hardware_or_data_unless_it_is_forced(change, obstacle):
    known = {"device": "cpu", "model": "m", "order_rule": "0"}
    first, second = on(timed(STEADY), **known), on(timed(scaled(0.5)), **known | change)
    found = compared(first, second, "images_per_s:-10%")
    assert (
        found.conditions.obstacles == [obstacle] and verdicts(found) == [None] and found.accuracies[0].verdict is None
    )
    assert f"No: {obstacle} differs" in said(found) and f"not judged: {obstacle} differs" in said(found)
    assert found.overall.value is None and found.has_regressed
    forced = compared(first, second, "images_per_s:-10%", force=True)
    assert verdicts(forced) == ["lower"] and f"FORCED: {obstacle} differs" in said(forced)
    text = FORMATS["markdown"](forced)
    lines = [line for line in text.splitlines() if "slower" in line or "equivalent |" in line or "FAILED" in line]
    lines += [line for line in text.splitlines() if line.startswith("- Geometric mean")]
    assert len(lines) == 3 and all("forced" in line.lower() and obstacle in line for line in lines), lines


def test_the_same_machine_is_known_by_stable_facts():
    second = on(timed(scaled(0.99)), memory_bytes=HOST["memory_bytes"] - 4096, system="Linux 6.2", python="3.12.1")
    found = compared(timed(STEADY), second, host={"processor": "where the run was started"})
    assert found.conditions.obstacles == [] and verdicts(found) == ["equivalent"]
    assert "kernel 6.1 6.2 no" in said(found) and "Python 3.11.7 3.12.1 no" in said(found)
    assert "hostname" not in json.dumps(found.as_json())


def test_a_limit_of_threads_is_a_setting_and_no_other_machine():
    """The process of a cell sees only the cores that it may use."""
    found = compared(timed(STEADY), on(timed(scaled(0.5)), cores=1))
    assert found.conditions.obstacles == [] and verdicts(found) == ["lower"] and "cores in use 2 1 no" in said(found)
    other = compared(timed(STEADY), on(timed(scaled(0.5)), cores=1), host=HOST | {"cores": 1})
    assert other.conditions.obstacles == ["number of cores"], "the second run was started on a machine with one core"


def test_rows_of_another_precision_are_shown_and_not_judged():
    first, second = timed(STEADY, precision="float32"), timed(scaled(2.0), precision="bfloat16")
    found = compared(first, second)
    assert verdicts(found) == [None] and found.conditions.obstacles == ["precision"]
    assert verdicts(compared(first, second, force=True)) == ["higher"]
    both = compared(first, second + timed(scaled(1.0), precision="float32"))
    assert [bool(row.pairs) for row in both.rows] == [True, False], "the same precision is a better match"


def test_other_versions_are_listed_and_judged():
    second = [replace(one, versions={"numpy": "3"}, settings={"threads": "1"}) for one in timed(scaled(0.5))]
    found = compared(timed(STEADY), second)
    assert verdicts(found) == ["lower"] and "numpy 2 3 no" in said(found) and "threads unknown 1 unknown" in said(found)


def test_results_that_do_not_know_their_data_are_compared_and_say_so():
    first = timed(STEADY)
    for result in first:
        del result.evidence["dataset"]
    found = compared(first, timed(scaled(0.5)))
    assert verdicts(found) == ["lower"] and "the runs do not say dataset" in said(found)


def probed(speeds, factor, device: float = 0.001) -> list[Result]:
    return [
        replace(one, time=one.time | {"probe_s": [factor * (0.1 + device * one.cell.seed), factor * 0.1]})
        for one in timed(speeds)
    ]


def test_drift_probes_show_a_change_of_the_machine():
    found = compared(probed(STEADY, 1.0), probed(scaled(0.99), 1.01))
    assert found.conditions.drift.second / found.conditions.drift.first == pytest.approx(1.01)
    assert verdicts(found) == ["equivalent"] and "drift probe" in said(found)
    slower = compared(probed(STEADY, 1.0), probed(scaled(0.85), 1.2))
    assert verdicts(slower) == [None] and slower.conditions.obstacles == ["speed of the machine"]
    assert slower.accuracies[0].verdict == "equivalent", "accuracies do not depend on the speed of the machine"
    assert "no drift probes" in said(compared(timed(STEADY), timed(scaled(0.9))))


@pytest.mark.parametrize("probe", [[], "fast", [0.0, 0.0], {"before": 1}, None])
def test_strange_probes_are_ignored(probe):
    first = [replace(one, time=one.time | {"probe_s": probe}) for one in timed(STEADY)]
    assert compared(first, probed(scaled(0.9), 1.0)).conditions.drift is None


def test_a_run_compared_with_itself_finds_nothing():
    found = compared(timed(STEADY), timed(STEADY), "images_per_s:-10%", force=True)
    assert found.is_one_run and verdicts(found) == [None] and found.has_regressed
    assert "A and B are the same run, or copies of it" in said(found)
    assert "nothing was measured: both runs have the same measurement" in said(found)


def test_runs_without_a_common_cell_say_why():
    first, second = timed(STEADY), timed(STEADY, options={"epochs": 2, "optimizer.lr": 0.1})
    found = compared(first, second)
    assert "no cell is in both runs, so nothing can be compared" in said(found)
    assert "Rows of scratch-cnn numpy/default do not match: option epochs 1 in A, 2 in B." in said(found)
    assert (
        "Only in A: scratch-cnn numpy/default" in said(found)
        and "Only in B" in said(found)
        and "3. Speeds" not in said(found)
    )
    assert compared([], []).as_json()["rows"] == [] and "nothing can be compared" in said(compared([], []))


def test_cells_that_changed_their_status_are_named():
    second = timed(scaled(1.0))
    second[2] = Result(second[2].cell, "failed", "out of luck")
    found = compared(timed(STEADY), second)
    assert "seed 2: ok in A, failed (out of luck) in B" in said(found)
    (change,) = found.speeds
    assert change.n == 5 and change.verdict == "undecided"
    nothing = compared(timed(STEADY), [Result(one.cell, "oom", "too large") for one in second])
    assert "no cell has finished in both runs" in said(nothing)
    assert "not judged: no cell of the second run is ok: oom: too large" in said(nothing)


def seconds(rows: int) -> float:
    """The processor time of a comparison of so many rows in all formats."""
    first, second = (
        [one for number in range(rows) for one in timed(speeds, options={"epochs": number})] for speeds in (STEADY, scaled(1.0))
    )  # fmt: skip
    reports = [Report.of(Run(results)) for results in (first, second)]
    start = time.process_time()
    found = Comparison.of(*reports, ("a", "b"))
    assert all(layout(found) for layout in FORMATS.values()) and {*verdicts(found)} == {"equivalent"}
    return time.process_time() - start


def test_the_time_of_a_comparison_grows_with_its_rows():
    assert seconds(160) < 2 * 8 * max(seconds(20), seconds(20))


# Gates


def outcomes(first, second, *gates, **options) -> list[tuple[str, str]]:
    return [(one.status, one.message) for one in compared(first, second, *gates, **options).gates]


@pytest.mark.parametrize(
    ("factor", "noise", "gate", "status"),
    [
        (0.85, 0.005, "images_per_s:-10%", "regressed"),
        (0.95, 0.005, "images_per_s:-10%", "passed"),
        (0.85, 0.1, "images_per_s:-10%", "passed"),
        (0.85, 0.005, "images_per_s:-10", "regressed"),
        (0.95, 0.005, "images_per_s:-10", "passed"),
        (1.3, 0.005, "images_per_s:+20%", "regressed"),
        (0.7, 0.005, "work_s:+10%", "regressed"),
        (0.95, 0.005, "work_s:+10%", "passed"),
    ],
)
def test_a_gate_fails_only_on_evidence(factor, noise, gate, status):
    (found,) = outcomes(timed(STEADY), timed(scaled(factor, noise)), gate)
    assert found[0] == status, found
    if noise == 0.1:
        assert "contains the limit 0.9: no evidence of a regression" in found[1]


def test_a_gate_for_an_accuracy_is_in_absolute_points():
    first = timed(STEADY, accuracy=0.9)
    for accuracy, status in ((0.895, "passed"), (0.85, "regressed")):
        (found,) = outcomes(
            first[:3], timed(STEADY, accuracy=accuracy, time={"total_s": 7.0})[:3], "test_accuracy:-0.01"
        )
        assert found[0] == status, found


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (timed(scaled(1.0))[:5], "5 pairs, and at least 6 are needed"),
        ([], "it is not in the second run"),
        ([Result(one.cell, "crashed", "signal 11") for one in timed(STEADY)], "no cell of the second run is ok: crashed: signal 11"),
        (timed(scaled(1.0), evidence={"disturbed": "busy"}), "disturbed"),
        (timed(scaled(1.0), time={"images_per_s": []}), "no cell of the second run has images/s"),
        (timed([0.001, *STEADY[1:]], time={"images_per_s": [0.0]}), "a ratio of images/s needs values above 0"),
        (on(timed(scaled(1.0)), cores=64), "number of cores differs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_gate_that_measures_nothing_fails_with_the_reason(second, reason):
    ((status, message),) = outcomes(timed(STEADY), second, "images_per_s:-10%")
    assert status == "not measured" and reason in message


def test_a_gate_without_any_row_fails():
    failed = [Result(one.cell, "failed", "it broke") for one in timed(STEADY)]
    assert outcomes(failed, timed(STEADY), "images_per_s:-10%") == [
        ("not measured", "no cell of the first run has measured images_per_s")
    ]


def test_a_row_that_is_new_has_no_gate():
    found = outcomes(timed(STEADY), timed(scaled(1.0)) + timed(STEADY, "new"), "images_per_s:-10%")
    assert [status for status, _ in found] == ["passed"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("images_per_s", "wrong-form"), ("images_per_s:10%", "wrong-form"), (":-10%", "wrong-form"), ("images_per_s:-x", "wrong-form"),
        ("images_per_s:-0%", "out-of-range"), ("images_per_s:-100%", "out-of-range"), ("a:-1e999", "out-of-range"),
    ],
)  # fmt: skip
def test_a_gate_that_makes_no_sense_is_refused(text, code):
    with refused(UsageError, code, "--fail-if", text):
        Gate.from_text(text)


def test_an_unknown_metric_suggests_a_known_one():
    with refused(UsageError, "unknown-name", "'image_per_s'", "'images_per_s'"):
        compared(timed(STEADY), timed(STEADY), "image_per_s:-10%")


# Simulations

ROWS = 15


def simulated(random: np.random.Generator, noise: float, true: float = 0.0, pairs: int = 6) -> list[Change]:
    """Judged changes of 15 rows, of which the first has a true change. `noise` is the standard deviation of the logarithm of the
    ratio of a pair."""
    row = Row(name_of(timed([100.0])[0]), (), (), ())
    drawn = noise * random.standard_normal((ROWS, pairs))
    drawn[0] += true
    places = [(seed, 0) for seed in range(pairs)]
    return judged([Change(row, SPEED, True, places, tuple(one)) for one in drawn.tolist()])


def false_alarms(repeats: int, noise: float) -> float:
    """The share of comparisons of a run with another of equal speed in which any row is called faster or slower."""
    random = np.random.default_rng(1)
    return np.mean([
        any(change.verdict in ("higher", "lower") for change in simulated(random, noise)) for _ in range(repeats)
    ])  # fmt: skip


def found_slowdowns(repeats: int, noise: float) -> float:
    """The share of comparisons that call the one row slower that is slower by 15 %."""
    random = np.random.default_rng(2)
    return np.mean([simulated(random, noise, math.log(0.85))[0].verdict == "lower" for _ in range(repeats)])


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.05])
def test_equal_runs_have_few_false_alarms(noise):
    assert false_alarms(300, noise) <= 0.05


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.05])
def test_a_slowdown_of_15_percent_is_found_with_6_pairs(noise):
    assert found_slowdowns(300, noise) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.01, 0.03, 0.05])
def test_false_alarms_and_slowdowns_in_many_simulations(noise):
    alarms, found = false_alarms(5000, noise), found_slowdowns(5000, noise)
    print(
        f"15 rows, 6 pairs, noise of a pair {noise:.0%}: {alarms:.1%} false alarms, {found:.1%} of slowdowns by 15 % found"
    )
    assert alarms <= 0.055 and found >= 0.9


def test_without_the_correction_there_would_be_false_alarms():
    """The simulation notices a missing correction."""
    random = np.random.default_rng(1)
    alarms = [
        any(change.limits[0] > 1 or change.limits[1] < 1 for change in simulated(random, 0.05)) for _ in range(200)
    ]
    assert np.mean(alarms) > 0.3


def test_the_geometric_mean_of_equal_runs_holds_1():
    random = np.random.default_rng(3)
    held = []
    for _ in range(1000):
        turns = 0.03 * random.standard_normal(6)  # a change of the machine that all rows of a turn share
        row = Row(name_of(timed([100.0])[0]), (), (), ())
        rows = turns + 0.02 * random.standard_normal((4, 6))
        changes = [
            replace(Change(row, SPEED, True, [(n, 0) for n in range(6)], tuple(one)), verdict="undecided") for one in rows.tolist()
        ]  # fmt: skip
        low, high = overall(changes).limits
        held.append(low <= 1 <= high)
    assert 0.92 <= np.mean(held) <= 0.97
