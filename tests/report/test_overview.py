"""The overview: a table, a sentence that sums it up, and a line for each exception."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reports import CELL, DIFFERS, NASTY, REPORTERS, Kept, attacked, certified, judged, ok

from harness import Overview, report_overview
from harness.report.summary import Report
from harness.report.text.overview import LONGEST, MOST
from harness.report.text.tables import seeds_text
from harness.result import Result

TASKS = ("scratch-cnn", "feature-extraction", "fine-tuning")


def done(backend: str = "a", seed: int = 0, rate: float = 100.0, task: str = "scratch-cnn", **changes) -> Result:
    time = {"first_step_s": 0.5, "warm_up_s": 0.25, "train_s": 1.25, "eval_s": 9.0, "total_s": 12.0}
    cell = replace(CELL, task=task, backend=backend, seed=seed, **changes.pop("cell", {}))
    found = {
        "time": time | {"rate": "training images", "images_per_s": [rate]}, "parity": certified(),
        "memory": {"peak_rss_bytes": 300 * 2**20, "peak_device_bytes": None},
    }  # fmt: skip
    return ok(cell, **found | changes)


def overview(*results: Result, **kept) -> Overview:
    return report_overview(Report.of(Kept(results, **kept), full=False))


def printed(*results: Result, **kept) -> list[str]:
    return REPORTERS["table"](Report.of(Kept(results, **kept), full=False)).splitlines()


def three(*tasks: str, **changes) -> list[Result]:
    """Every task on three backends. The last backend is the fastest."""
    return [done(name, rate=100.0 * rank, task=task, **changes) for task in tasks for rank, name in enumerate("abc", 1)]


def test_there_is_a_row_for_each_task_and_backend():
    found = overview(*three(*TASKS))
    assert found.table.headers == (
        "task",
        "backend",
        "test accuracy",
        "time",
        "images/s",
        "memory",
        "parameters",
        "same",
    )
    assert [row[:2] for row in found.table.rows[:4]] == [("scratch-cnn", "a"), ("", "b"), ("", "c"), (TASKS[1], "a")]
    assert found.table.rows[0][2:] == ("90.00%", "2.0 s", "100", "300 MiB", "35,914", "yes")
    title = "3 tasks on 3 backends, two-block-cnn on digits, float64, seed 0, 9 of 9 cells finished, on the CPU of a processor"
    assert found.table.title == title


def test_facts_that_differ_between_tasks_stand_in_the_legend():
    other = {"dataset": "digits:5-9", "weights": "two-block-cnn-digits04"}
    found = overview(*three("scratch-cnn"), *three("fine-tuning", cell=other))
    assert "on 3 backends, two-block-cnn, float64, " in found.table.title
    assert "dataset: digits (scratch-cnn), digits:5-9 (fine-tuning)" in found.legend
    found = overview(*three("scratch-cnn"), *three("fine-tuning", cell=other | {"model": "lenet5"}))
    assert "network: two-block-cnn (scratch-cnn), lenet5 (fine-tuning)" in found.legend


def test_seeds_are_averaged_and_named():
    results = [
        done(name, seed, metrics={"test_accuracy": 0.9 + 0.01 * seed}, memory={"peak_rss_bytes": seed * 2**30})
        for name in "ab" for seed in range(1, 4)
    ]  # fmt: skip
    found = overview(*results)
    assert found.table.rows[0][2] == "92.00% (89.52 to 94.48)" and found.table.rows[0][5] == "3,072 MiB"
    assert ", seeds 1-3, 6 of 6 cells finished" in found.table.title


def test_memory_is_that_of_the_device_if_it_has_its_own():
    one = done(memory={"peak_rss_bytes": 2**30, "peak_device_bytes": 20 * 2**30})
    assert overview(one).table.rows[0][5] == "20.0 GiB"
    assert overview(done(memory={"peak_rss_bytes": None})).table.rows[0][5] == "-"


def test_a_long_training_is_shown_in_minutes():
    time = {"first_step_s": 0.0, "train_s": 150.0, "total_s": 200.0, "images_per_s": []}
    row = overview(done(time=time)).table.rows[0]
    assert row[3] == "2.5 min" and row[4] == "-"


def test_tasks_with_other_headlines_share_a_column():
    found = overview(*three("scratch-cnn"), attacked("a"), attacked("b"), attacked("c"))
    assert found.table.headers[2] == "result" and found.table.rows[3][2] == "50.00%"
    assert "result: test accuracy (scratch-cnn), robust accuracy at epsilon 0.1 (adversarial)" in found.legend


def test_experiments_and_modes_are_named_by_their_differences():
    few, many = ({"options": {"epochs": n, "batch_size": 8}} for n in (1, 5))
    found = overview(*three("scratch-cnn", cell=few), *three("scratch-cnn", cell=many))
    assert [row[0] for row in found.table.rows[::3]] == ["scratch-cnn, epochs=1", "scratch-cnn, epochs=5"]
    compiled = overview(*three("scratch-cnn"), done("a", cell={"mode": "compiled"}))
    assert {row[1] for row in compiled.table.rows} == {"a/default", "b/default", "c/default", "a/compiled"}
    apart = overview(done("a", versions={"numpy": "1"}), done("a", 1, versions={"numpy": "2"}))
    assert apart.table.rows[0][1] == "a (seed 0, numpy 1)"


@pytest.mark.parametrize(
    ("results", "answer"),
    [
        (three(*TASKS), "All 3 backends computed the same; c had the highest speed in 3 of 3 tasks (fewer than 6 seeds, so not tested)."),
        ([done("a"), done("b", rate=50.0)], "Both backends computed the same; a had the highest speed (fewer than 6 seeds, so not tested)."),
        ([done("a")], "a computed the same as the reference."),
        ([done("a", parity=certified(DIFFERS))], "a computed something else."),
        ([ok()], "Nothing is proven: there are no certificates."),
        ([Result(CELL, "failed", "it broke")], "No cell has finished."),
        ([], "No cell has finished."),
        (
            [done("a"), done("b", rate=50.0, parity=certified(DIFFERS))],
            "1 of 2 rows is proven the same, b computed something else; a had the highest speed (fewer than 6 seeds, so not tested).",
        ),
        (
            [*three("scratch-cnn"), *three("fine-tuning"), done("a", task="mine", rate=5.0), done("c", task="mine")],
            "All 3 backends computed the same; c had the highest speed in 3 of 3 tasks (fewer than 6 seeds, so not tested).",
        ),
        (
            [done("a", seed, rate) for seed, rate in enumerate((100.0, 90.0))] + [done("b", seed, 80.0) for seed in range(2)],
            "Both backends computed the same; a had the highest speed (fewer than 6 seeds, so not tested).",
        ),
        (
            [done("a", seed, 100.0 + seed) for seed in range(6)] + [done("b", seed, 80.0 + seed % 3) for seed in range(6)],
            "Both backends computed the same; a was the fastest.",
        ),
        (
            [done("a", seed, (50.0, 200.0)[seed % 2]) for seed in range(6)] + [done("b", seed, 90.0) for seed in range(6)],
            "Both backends computed the same; a had the highest speed (not certain).",
        ),
        (
            [
                done(name, seed, rate + seed, task=task)
                for task in ("scratch-cnn", "fine-tuning") for name, rate in (("a", 50.0), ("b", 90.0)) for seed in range(6)
            ],
            "Both backends computed the same; b was fastest in 2 of 2 tasks.",
        ),
        (
            [done("a"), done("b", rate=1.0), done("a", rate=1.0, task="fine-tuning"), done("b", task="fine-tuning")],
            "Both backends computed the same; a and b had the highest speed in 1 of 2 tasks (fewer than 6 seeds, so not tested).",
        ),
    ],
)  # fmt: skip
def test_a_sentence_sums_up_the_run(results, answer):
    assert overview(*results).answer == answer


def test_disturbed_speeds_are_marked_and_not_compared():
    slow = done("b", evidence={"device": "cpu", "disturbed": "a timer went off"})
    found = overview(done("a"), slow, *three("fine-tuning"))
    assert found.table.rows[1][4] == "100*"
    assert found.answer.endswith(
        "c had the highest speed in 1 of the 1 tasks with stable speeds (fewer than 6 seeds, so not tested)."
    )
    assert found.exceptions == ["* Unstable: scratch-cnn on b, seed 0: a timer went off"]


def test_disturbances_that_differ_in_their_numbers_share_a_line():
    busy = [
        done(name, seed, evidence={"device": "cpu", "disturbed": f"others used {cores} cores for 2 s"})
        for name, seed, cores in (("a", 0, "1.5"), ("a", 1, "0.9"), ("b", 0, "1.0"), ("b", 1, "11"))
    ]
    assert overview(*busy).exceptions == ["* Unstable: scratch-cnn, seeds 0-1: others used 0.9 to 11 cores for 2 s"]


def test_exceptions_of_several_backends_share_a_line():
    excluded = certified() | {"excludes": ["dropout masks"]}
    found = overview(*three(*TASKS[:2], parity=excluded), *three(TASKS[2]))
    assert found.exceptions == ["Not proven: scratch-cnn and feature-extraction: dropout masks"]
    some = overview(*(replace(r, parity=excluded) if r.cell.backend != "a" else r for r in three(*TASKS)))
    assert some.exceptions == ["Not proven: scratch-cnn, feature-extraction and fine-tuning on b and c: dropout masks"]
    odd = overview(done("a", parity=excluded), done("b"), done("a", task="x"), done("b", task="x", parity=excluded))
    assert odd.exceptions == ["Not proven: scratch-cnn on a; x on b: dropout masks"]


def test_the_worst_comes_first():
    failed = [Result(replace(CELL, backend="c", seed=seed), "oom", "needs 5 GB") for seed in range(3)]
    found = overview(
        done("a", warnings=["it ended badly"]), done("b", parity=certified(DIFFERS)), *failed,
        done("d", parity=certified("not-checked: no reference")),
    )  # fmt: skip
    assert found.exceptions == [
        "Differs: scratch-cnn on b: losses of a network: 1e-3, limit 1e-9",
        "Failed: scratch-cnn on c, seeds 0-2: oom: needs 5 GB",
        "Not proven: scratch-cnn on d: no reference",
        "Warning: scratch-cnn on a, seed 0: it ended badly",
    ]
    assert found.table.rows[2][2:] == ("-", "-", "-", "-", "-", "oom")
    declined = overview(done("a"), Result(replace(CELL, backend="b"), "unsupported", "not this one"))
    assert declined.exceptions == ["Not run: scratch-cnn on b, seed 0: unsupported: not this one"]
    assert [row[-1] for row in found.table.rows] == ["yes", "no", "oom", "not proven"]


def test_warnings_of_the_run_and_problems_of_judges_are_shown():
    results = [attacked("one"), attacked("two")]
    cases = judged(results)
    for case in cases.values():
        case["judges"]["two/default"] = {"problem": "timeout"}
    assert "two/default could not judge: timeout" in overview(*results, judged=cases).exceptions
    mixed = overview(done("a", versions={"numpy": "1"}), done("a", 1, versions={"numpy": "2"}))
    assert any("ran on different versions" in line for line in mixed.exceptions)


def test_exceptions_are_lines_and_few():
    many = [Result(replace(CELL, backend=f"b{n}"), "failed", f"reason {n}\n{'x' * 500}") for n in range(30)]
    found = overview(*many)
    assert len(found.exceptions) == MOST + 1 and found.exceptions[-1] == f"and {30 - MOST} more"
    assert all(len(line) <= LONGEST and "\n" not in line for line in found.exceptions)


def test_a_quick_run_on_three_backends_fits_a_screen():
    """Five tasks with usual exclusions and disturbed speeds: at most 30 lines, including the two lines of the command."""
    rough = {
        "parity": certified() | {"excludes": ["dropout masks"]},
        "evidence": {"device": "cpu", "disturbed": "a timer"},
    }
    lines = printed(*three(*TASKS, **rough), *(attacked(name) for name in "abc"), *three("ideal-image"))
    assert len(lines) + 2 <= 30 and all(len(line) <= 112 for line in lines)


def test_all_tables_are_there_in_full_only():
    short, whole = (REPORTERS["table"](Report.of(Kept(three(*TASKS)), full=full)) for full in (False, True))
    assert "largest deviation" in whole and "largest deviation" not in short and short.count("backend ") == 1


@pytest.mark.parametrize("nasty", NASTY)
def test_names_do_not_act_on_a_terminal(nasty):
    text = "\n".join(printed(done(nasty), Result(replace(CELL, backend=nasty, seed=1), "failed", nasty)))
    assert "\x1b" not in text and "\u202e" not in text


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ([3], "seed 3"),
        ([0, 1], "seeds 0-1"),
        ([5, 3, 4], "seeds 3-5"),
        ([0, 2, 3, 4, 9], "seeds 0, 2-4, 9"),
        ([1, 1], "seed 1"),
    ],
)
def test_seeds_are_short(seeds, text):
    assert seeds_text(seeds) == text
