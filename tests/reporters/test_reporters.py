"""Reports in every format: of complete, partial and empty runs, and with names that contain markup."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from reports import CELL, DIFFERS, NASTY, REPORTERS, TEXTS, certified, ok, report

from harness import Point, evaluate
from harness.result import Cell, Result
from harness.storage.sealed import read_sealed, write_sealed
from harness.text import one_line
from harness.verdict import Verdict, no_certificate


def evaluated(confusion: list[list[int]], classes: list[str], cell: Cell = CELL, **metrics) -> Result:
    """A result with these confusions."""
    truth, taken = np.indices(np.shape(confusion)).reshape(2, -1).repeat(np.ravel(confusion), axis=1)
    return ok(cell, metrics=evaluate("softmax", np.eye(len(classes))[taken], truth, classes).as_metrics() | metrics)


def curve(points: int) -> list[dict[str, float]]:
    return [Point(i + 1.0, 0.5, 0.4, 0.9, *((0.6, 0.8) if i else ())).as_json() for i in range(points)]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "results",
    [
        (),
        (ok(),),
        (Result(CELL, "failed", "it broke"),),
        (ok(), Result(replace(CELL, seed=1), "interrupted", "stopped")),
        (ok(), evaluated([[2, 1], [0, 3]], ["a", "b"], replace(CELL, seed=1), curve=curve(2))),
        (evaluated([[2, 0], [0, 0]], ["a", "b"], curve=[], per_class=[]),),
    ],
    ids=["none", "one", "all failed", "partial", "of two versions", "empty"],
)
def test_every_format_can_show_every_run(name, results):
    text = REPORTERS[name](report(*results))
    assert text.strip()
    for result in results:
        assert result.reason is None or result.reason in text


def test_failed_cells_are_counted_and_not_averaged():
    failed = Result(replace(CELL, seed=1), "failed", "it broke")
    (row,) = report(ok(), failed).summary
    assert (row["n"], row["cells"], row["test_accuracy"]["mean"]) == (1, 2, 0.9)
    assert "1 of 2" in REPORTERS["table"](report(ok(), failed))


TIME = {"total_s": 2.0, "first_step_s": 0.5, "images_per_s": [100.0]}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"time": TIME | {"rate": None}}, "time.rate"),
        ({"time": TIME | {"rate": " "}}, "time.rate"),
        ({"time": TIME | {"segment_seconds": 3.0}}, "time.segment_seconds"),
        ({"time": TIME | {"segment_others_s": True}}, "time.segment_others_s"),
        ({"time": TIME | {"segment_own_s": [10**400]}}, "time.segment_own_s[0]"),
        ({"metrics": {"test_accuracy": 10**400}}, "metrics.test_accuracy"),
        ({"metrics": {"pictures": -(10**400)}}, "metrics.pictures"),
        ({"evidence": {"device": "cpu", "disturbed": ["a timer"]}}, "evidence.disturbed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_invalid_stored_result_is_refused_with_the_path_of_its_problem(tmp_path, changes, path):
    write_sealed(tmp_path / "result.json", ok(**changes).as_json())
    with pytest.raises(ValueError, match=re.escape(path)):
        Result.from_json(read_sealed(tmp_path / "result.json"))


def test_confusions_are_left_out_if_a_seed_lacks_them():
    known = evaluated([[2, 1], [0, 3]], ["a", "b"])
    other = replace(known, cell=replace(CELL, seed=1), metrics=known.metrics | {"confusion": None})
    assert Result.from_json(other.as_json()) == other
    (row,) = report(known, other).summary
    assert "confusion" not in row and row["per_class_n"] == 2


def test_only_a_numeric_train_limit_has_a_column():
    odd = ok(replace(CELL, options={"train_limit": "many"}))
    assert "9" in REPORTERS["learning-curve"](report(odd, ok(replace(CELL, options={"train_limit": 9}))))


@pytest.mark.parametrize("verdicts", list(itertools.permutations(["not-checked: no reference", DIFFERS, "equal"])))
def test_the_verdict_of_a_row_is_the_worst_of_its_seeds(verdicts):
    results = [ok(replace(CELL, seed=seed), parity=certified(verdict)) for seed, verdict in enumerate(verdicts)]
    (row,) = report(*results).summary
    assert row["parity"].text == DIFFERS
    (row,) = report(*(result for result in results if not result.verdict.is_different)).summary
    assert row["parity"] == Verdict.not_checked("no reference")
    for name in ("table", "markdown", "evaluation", "gallery", "learning-curve"):
        assert "losses of a network" in REPORTERS[name](report(*results))


def test_a_failed_cell_that_differs_is_reported():
    failed = Result(CELL, "failed", "it broke", parity=certified(DIFFERS))
    assert report(failed).summary[0]["parity"].text == DIFFERS
    assert "losses of a network" in REPORTERS["table"](report(failed))
    proven = Result(CELL, "failed", "it broke", parity=certified())
    assert report(proven).summary[0]["parity"] == Verdict.not_checked(), "a cell that failed proves nothing"


def test_the_table_of_deviations_has_the_largest_of_all_experiments():
    other = ok(replace(CELL, options={"epochs": 2}), parity=certified(steps=5))
    for results in itertools.permutations([ok(parity=certified(logits=3e-10)), other]):
        said = [" ".join(line.split()) for line in REPORTERS["table"](report(*results)).splitlines()]
        assert "numpy default 20 3e-10 1e-15 1e-15 1e-07 1e-07 1e-04" in said


def seeds(*accuracies: float, rates=(100.0, 110.0, 400.0), **metrics) -> list[Result]:
    """A finished cell for each accuracy."""
    return [
        ok(
            replace(CELL, seed=seed),
            metrics={"test_accuracy": accuracy, **metrics},
            time={"first_step_s": 0.5, "images_per_s": [rate + seed for rate in rates]},
        )
        for seed, accuracy in enumerate(accuracies)
    ]


def test_two_seeds_have_no_interval():
    results = seeds(0.3, 0.46, macro_f1=0.4, overfitting_gap=0.1, test_loss=0.2)
    (row,) = report(*results).summary
    names = ("test_accuracy", "macro_f1", "overfitting_gap", "test_loss", "images_per_s", "first_step_s")
    assert [(row[name]["low"], row[name]["high"]) for name in names] == [(None, None)] * 6
    assert row["images_per_s"]["median"] == pytest.approx((110 * 111) ** 0.5)
    for name in ("table", "markdown", "evaluation"):
        text = REPORTERS[name](report(*results))
        assert "38.00%" in text and not re.search(r"\d \([\d.]+ to |±", text)


def test_every_interval_is_shown_in_one_form():
    three, six = report(*seeds(0.9, 0.95, 1.0)), report(*seeds(*[0.9, 0.95, 1.0] * 2))
    assert "95.00% (82.58 to 100.00)" in REPORTERS["table"](three), "no accuracy is above 1"
    assert "111 (n = 3)" in REPORTERS["table"](three) and " to 11" not in REPORTERS["table"](three)
    assert "112 (111 to 114)" in REPORTERS["table"](six)
    assert "95.00% (82.58 to 100.00)" in REPORTERS["evaluation"](three)
    curve = report(*(replace(r, cell=replace(r.cell, options={"train_limit": 9})) for r in three.results))
    assert "95.00% (82.58 to 100.00)" in REPORTERS["learning-curve"](curve)


def test_the_footer_explains_intervals_and_rates():
    text = " ".join(REPORTERS["table"](report(ok())).split())
    assert "mean over seeds, for at least 3 seeds" in text and "geometric mean over cells, for at least 6 cells" in text
    assert "in the first step only" not in text and "Rates do not include the first step" in text


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, ""),
        ({"version": "1.2.3"}, ", samebench 1.2.3."),
        (
            {"version": "1.2.3", "commit": "0123456789abcdef", "changed": True},
            ", samebench 1.2.3 (012345678, changed).",
        ),
    ],
)
def test_the_footer_names_samebench(known, said):
    text = " ".join(REPORTERS["table"](report(ok(provenance={"samebench": known}))).split())
    assert said in text and ("samebench" in text) == bool(known)


@pytest.mark.parametrize("nasty", NASTY)
def test_names_do_not_break_markdown(nasty):
    text = REPORTERS["markdown"](report(Result(replace(CELL, backend=nasty, model=nasty), "failed", nasty)))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1, "every row has as many columns"
    plain = re.sub(r"(`+).+?\1", "code", text)
    assert not re.search(r"(?<!\\)[<`\[]", plain) and "\x1b" not in text and "\u202e" not in text
    assert not re.search(r"@someone|\$|&lt|://|www|:tada:|#12", plain), "a website would make something of it"


@pytest.mark.parametrize("nasty", NASTY)
def test_names_do_not_break_csv(nasty):
    text = REPORTERS["csv"](report(Result(replace(CELL, backend=nasty), "failed", nasty)))
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["reason"].removeprefix("'") == one_line(nasty)
    assert not row["backend"].startswith(("=", "+", "-", "@", "＝"))
    assert text.count("\n") == 1 and "\r" not in text and "\x1b" not in text


@pytest.mark.parametrize("nasty", NASTY)
def test_names_do_not_act_on_a_terminal(nasty):
    bad = Result(replace(CELL, backend=nasty), "failed", nasty)
    good = evaluated([[2, 1], [0, 3]], [nasty, "b"], replace(CELL, backend=nasty, mode=nasty), curve=curve(2))
    for name in ("table", "evaluation"):
        text = REPORTERS[name](report(bad, good))
        assert "\x1b" not in text and "\u202e" not in text


def test_csv_has_the_rate_of_the_row_with_its_interval():
    first, *_ = csv.DictReader(io.StringIO(REPORTERS["csv"](report(*seeds(*[0.9] * 6)))))
    rate = {end: float(first[f"row.images_per_s.{end}"]) for end in ("low", "median", "high")}
    assert 110 < rate["low"] < rate["median"] < rate["high"] < 115 and first["row.images_per_s.n"] == "6"
    (alone,) = csv.DictReader(io.StringIO(REPORTERS["csv"](report(ok()))))
    assert "row.images_per_s.low" not in alone, "a column without a value is left out"
    assert alone["row.images_per_s.n"] == "1"


def test_csv_has_a_column_for_each_value():
    (row,) = csv.DictReader(io.StringIO(REPORTERS["csv"](report(ok()))))
    assert (row["metrics.test_accuracy"], row["time.images_per_s"]) == ("0.9", "105.0")
    assert row["options.epochs"] == "1" and row["parity.verdict"] == "not-checked"


def test_reports_show_warnings_and_problems():
    other = ok(replace(CELL, seed=1), versions={"numpy": "3.0"}, warnings=["it ended badly"])
    text = " ".join(
        REPORTERS["table"](report(ok(evidence={"device": "cpu", "data_notes": ["2 left out"]}), other)).split()
    )
    assert "Warning: cells of numpy ran on different versions: numpy 2.0; numpy 3.0" in text
    assert "seed 1: it ended badly" in text and "2 left out" in text


def test_native_runs_are_separate_and_explained():
    native = ok(
        replace(CELL, semantics="native"),
        parity=no_certificate("native semantics"),
        evidence={"device": "cpu", "own_ways": {"Adam": "epsilon 1e-7"}},
    )
    text = " ".join(REPORTERS["table"](report(ok(), native)).split())
    assert (
        "each framework's own optimiser and first weights" in text and "Specific to numpy: Adam: epsilon 1e-7" in text
    )
    assert len(report(ok(), native).summary) == 2


def lines(*results: Result) -> list[str]:
    return [" ".join(line.split()) for line in REPORTERS["evaluation"](report(*results)).splitlines()]


def test_backends_are_side_by_side_with_means_of_each_class():
    said = lines(
        evaluated([[3, 1], [0, 4]], ["cat", "dog"]),
        evaluated([[4, 0], [2, 2]], ["cat", "dog"], replace(CELL, seed=1)),
        evaluated([[4, 0], [0, 4]], ["cat", "dog"], replace(CELL, backend="jax"), overfitting_gap=0.25),
    )
    assert "class count numpy/default jax/default" in said
    assert "cat 4 83.3% 87.5% 82.9% 100.0% 100.0% 100.0%" in said
    assert (
        said.count("numpy/default: what was taken for what, over 2 seeds; a row is the truth, a column the prediction")
        == 1
    )
    assert "a cat 7 1" in said and "b dog 2 6" in said
    assert "a cat 4 ." in said
    assert "jax default 1 100.00% 100.00% 25.00% 35,914 35,914 0 0" in said
    (numpy, jax) = report(evaluated([[3, 1], [0, 4]], ["cat", "dog"]), ok(replace(CELL, backend="jax"))).summary
    assert numpy["confusion"] == [[3, 1], [0, 4]] and "confusion" not in jax


def test_a_class_without_pictures_has_dashes():
    assert "emu 0 0.0% - -" in lines(evaluated([[3, 1, 1], [0, 4, 0], [0, 0, 0]], ["cat", "dog", "emu"]))


def test_seeds_with_other_classes_are_not_averaged():
    said = lines(
        evaluated([[3, 1], [0, 4]], ["cat", "dog"]), evaluated([[9, 0], [0, 9]], ["cat", "emu"], replace(CELL, seed=1))
    )
    assert "By class: the mean over 1 seed; count is that of the pictures in the test split" in said
    assert "a cat 3 1" in said and not any("emu" in line for line in said)


def test_with_many_classes_the_most_frequent_confusions_are_listed():
    confusion = np.diag([5] * 37)
    confusion[0, 2], confusion[3, 1] = 2, 7
    names = ["Abyssinian", "Bengal", "a very long name of a breed of cats", *map(str, range(34))]
    said = lines(evaluated(confusion.tolist(), names))
    start = said.index("0 taken for Bengal, 7 times")
    assert said[start : start + 2] == [
        "0 taken for Bengal, 7 times",
        "Abyssinian taken for a very long name of a b…, 2 times",
    ]
    assert "numpy/default: what was taken for what, over 1 seed: nothing was confused" in lines(
        evaluated(np.diag([5] * 37).tolist(), names)
    )


def test_less_frequent_confusions_are_counted():
    said = lines(evaluated((np.ones((21, 21), int) * 2).tolist(), [str(i) for i in range(21)]))
    assert "and 410 more pairs, 820 times together" in said


def test_a_long_learning_curve_is_shortened_but_keeps_its_ends():
    said = lines(evaluated([[2, 0], [0, 2]], ["a", "b"], curve=curve(100)))
    start = said.index("numpy/default: the learning curve of seed 0, 20 of its 100 points")
    assert said[start + 1] == "epoch training loss train loss train accuracy validation loss validation accuracy"
    assert said[start + 3] == "1 0.5000 0.4000 90.00% - -"
    assert said[start + 22] == "100 0.5000 0.4000 90.00% 0.6000 80.00%"


def test_experiments_with_other_options_are_not_mixed():
    said = lines(ok(), ok(replace(CELL, options={"epochs": 2})))
    assert "scratch-cnn: two-block-cnn on digits, float64, epochs=1" in said
    assert "scratch-cnn: two-block-cnn on digits, float64, epochs=2" in said


def test_missing_parts_are_named():
    assert "numpy/default: its cells hold no classes, no confusions, no learning curve." in lines(ok())
    assert "numpy/default: no cell has finished." in lines(Result(CELL, "failed", "it broke"))


def test_pytest_benchmark_compares_the_speeds_of_two_runs(tmp_path):
    """pytest-benchmark itself reads both files. A benchmark of the same name is in both."""
    pytest.importorskip("pytest_benchmark")
    slow = ok(time=TIME | {"images_per_s": [50.0, 40.0, 20.0]})
    fast = ok(time=TIME | {"images_per_s": [500.0]})
    files = [tmp_path / "before.json", tmp_path / "after.json"]
    for file, result in zip(files, (slow, fast)):
        file.write_text(
            REPORTERS["pytest-benchmark"](report(result, Result(replace(CELL, seed=1), "failed", "it broke")))
        )
    command = [
        sys.executable,
        "-m",
        "pytest_benchmark",
        "compare",
        *map(str, files),
        "--columns",
        "min,max,median,outliers,rounds",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("scratch-cnn[numpy-default]")]
    assert "time in ms" in done.stdout
    assert {line[1]: (line[2], line[-1]) for line in lines} == {
        "(0/before)": ("20.0000", "3"),
        "(0/after)": ("2.0000", "1"),
    }


def test_pytest_benchmark_gets_the_time_of_an_image_and_the_verdict():
    result = ok(time=TIME | {"images_per_s": [50.0, 40.0, 20.0]}, parity=certified())
    (found,) = json.loads(REPORTERS["pytest-benchmark"](report(result)))["benchmarks"]
    assert found["stats"]["data"] == [0.02, 0.025, 0.05] and found["stats"]["median"] == 0.025
    assert found["stats"]["rounds"] == 3 and found["stats"]["stddev_outliers"] == 1
    about = found["extra_info"]
    assert (about["backend"], about["task"], about["verdict"]) == ("numpy", "scratch-cnn", "equal")


def test_a_row_without_a_speed_is_no_benchmark():
    failed = json.loads(REPORTERS["pytest-benchmark"](report(Result(CELL, "failed", "it broke"))))
    assert failed["benchmarks"] == []
