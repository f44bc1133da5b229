"""Cells in a row have the same basis. Other pictures, packages, machines or rules make separate rows, in every format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from reports import CELL, DIFFERS, REPORTERS, Kept, attacked, certified, judged, kept_pictures, ok, report, shown

from harness.report.summary import Report
from harness.result import Result
from harness.tasks.common import fitting
from harness.worker.cell import run_cell

START = dict.fromkeys(("name", "variant", "preprocessing", "trained_on", "licence", "source"), "x") | {
    "hash": "sha256:1"
}
SETTINGS = {"epochs": 1, "batch_size": 4}


def resting_on(seed: int, backend: str = "numpy", **evidence) -> Result:
    told = {"device": "cpu", "dataset": "d" * 16, "order_rule": "0" * 16} | evidence
    return ok(replace(CELL, seed=seed, backend=backend), evidence=told, metrics={"test_accuracy": 0.1 * (seed + 1)})


def in_rows(*results: Result) -> list[list[int]]:
    return [row["seeds"] for row in report(*results).summary]


def pictures_in(folder, random) -> None:
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(10):
            Image.fromarray(random.integers(0, 255, (8, 8), np.uint8)).save(folder / name / f"{number}.png")


def test_pictures_that_were_replaced_are_not_averaged_with_the_new_ones(tmp_path):
    cell = replace(CELL, dataset=f"folder:{tmp_path}/insects", options=SETTINGS | {"data.size": 8})
    random, results = np.random.default_rng(0), []
    for seed in range(3):
        if seed < 2:
            pictures_in(tmp_path / "insects", random)
        results.append(run_cell(replace(cell, seed=seed), tmp_path / "artifacts"))
    assert [result.status for result in results] == ["ok"] * 3, results[0].reason
    (first, second) = report(*results).summary
    assert (first["seeds"], second["seeds"]) == ([0], [1, 2]) and first["apart"].keys() == {"dataset"}
    said = shown("table", *results)
    assert f"seed 0: dataset {results[0].evidence['dataset'][:8]}" in said
    assert f"seeds 1-2: dataset {results[1].evidence['dataset'][:8]}" in said
    assert "run all of them again with a new --out" in said


@pytest.mark.parametrize(
    "fault",
    [
        ("shuffled", lambda original: lambda examples, size, seed, epochs: original(examples, size, seed + 1, epochs)),
        ("init", lambda original: lambda model, seed: original(model, seed + 1)),
    ],
    ids=["order of batches", "first weights"],
)
def test_a_change_of_a_rule_of_the_harness_is_noticed(tmp_path, monkeypatch, fault):
    name, other = fault
    cell = replace(CELL, options={"epochs": 1, "batch_size": 4, "train_limit": 8})
    before = run_cell(cell, tmp_path)
    owner = fitting.Batches if name == "shuffled" else fitting.Model
    monkeypatch.setattr(owner, name, other(getattr(owner, name)))
    assert in_rows(before, run_cell(replace(cell, seed=1), tmp_path)) == [[0], [1]]


@pytest.mark.parametrize(
    "change",
    [
        {"evidence": {"dataset": "e" * 16}},
        {"evidence": {"model": "another"}},
        {"evidence": {"order_rule": "1" * 16}},
        {"evidence": {"tuning_order_rule": "1" * 16}},
        {"evidence": {"augmentation_rule": "1" * 16}},
        {"evidence": {"start": START | {"hash": "sha256:2"}}},
        {"evidence": {"backend_code": "b"}},
        {"evidence": {"device": "gpu"}},
        {"evidence": {"host": {"processor": "another", "cores": 2}}},
        {"evidence": {"host": {"processor": "one", "cores": 3}}},
        {"evidence": {"host": {"processor": "one", "cores": 2, "python": "3.99"}}},
        {"versions": {"numpy": "3.0"}},
        {"settings": {"threads": "3"}},
    ],
    ids=str,
)
def test_each_difference_in_the_basis_makes_a_separate_row(change):
    known = {
        "model": "m", "tuning_order_rule": "0", "augmentation_rule": "0", "start": START,
        "backend_code": "a", "host": {"processor": "one", "cores": 2, "python": "3.11"},
    }  # fmt: skip
    results = [replace(resting_on(seed, **known), settings={"threads": "2"}) for seed in range(3)]
    assert in_rows(*results) == [[0, 1, 2]]
    results[1] = replace(results[1], **{name: getattr(results[1], name) | more for name, more in change.items()})
    assert in_rows(*results) == [[0, 2], [1]]
    assert "differ in more than their seed have separate rows" in shown("table", *results)


@pytest.mark.parametrize(
    "change", [{"pictures": 32}, {"robust_accuracy": [{"epsilon": 0.3, "accuracy": 0.5}]}], ids=str
)
def test_attacks_of_another_size_are_not_averaged(change):
    """The default of an option may change in the next version."""
    before, after = attacked(), attacked(seed=1)
    assert in_rows(before, after) == [[0, 1]]
    assert in_rows(before, replace(after, metrics=after.metrics | change)) == [[0], [1]]


def test_values_that_old_results_lack_make_no_separate_rows():
    old = ok(replace(CELL, seed=5), evidence={"device": "cpu"}, versions={})
    assert in_rows(old, resting_on(0), resting_on(1)) == [[5, 0, 1]]
    failed = Result(replace(CELL, seed=6), "failed", "it broke")
    assert in_rows(failed, resting_on(0), resting_on(1, dataset="e" * 16)) == [[6, 0], [1]]


def of_two_data_sets() -> list[Result]:
    """Results of two backends: seed 0 on a dataset, seeds 1 and 2 on another dataset."""
    return [
        resting_on(seed, backend, dataset=("d" if seed == 0 else "e") * 16)
        for backend in ("numpy", "mine")
        for seed in range(3)
    ]


def test_tables_do_not_compare_rows_of_different_data():
    for name in ("table", "markdown", "evaluation"):
        said = shown(name, *of_two_data_sets())
        for data, accuracy in (("dddddddd", "10.00%"), ("eeeeeeee", "25.00%")):
            table = said.partition(f"on digits, float64, dataset {data}")[2].partition("on digits, float64")[0]
            assert table.count(accuracy) == 2, "one row for each backend"
        assert "20.00%" not in said, "the mean over both datasets"


def test_rows_of_a_backend_name_their_differences():
    results = [resting_on(0), replace(resting_on(1), versions={"numpy": "3.0"})]
    for name in ("table", "markdown"):
        said = shown(name, *results)
        assert "kept apart" in said and "seed 0, numpy 2.0" in said and "seed 1, numpy 3.0" in said
    assert "numpy/default/seed 1" in shown("evaluation", *results)
    assert "kept apart" not in shown("table", resting_on(0), resting_on(1))


def test_json_and_csv_have_the_same_rows():
    results = of_two_data_sets()
    rows = json.loads(REPORTERS["json"](report(*results)))["summary"]
    assert [(row["seeds"], row["apart"]) for row in rows] == [
        ([0], {"dataset": "d" * 16}), ([1, 2], {"dataset": "e" * 16}),
    ] * 2  # fmt: skip
    found = list(csv.DictReader(io.StringIO(REPORTERS["csv"](report(*results)))))
    assert [line["row"] for line in found] == ["1", "2", "2", "3", "4", "4"]
    assert found[1]["kept_apart"] == f"dataset {'e' * 16}"


def test_a_learning_curve_has_a_line_for_each():
    results = [replace(r, cell=replace(r.cell, options={"train_limit": 9})) for r in of_two_data_sets()[:3]]
    said = shown("learning-curve", *results)
    assert "10.00%" in said and "25.00%" in said and "seeds 1-2, dataset eeeeeeee" in said
    few, many = (replace(CELL, options={"train_limit": 9, "epochs": epochs}) for epochs in (1, 5))
    said = shown("learning-curve", ok(few, metrics={"test_accuracy": 0.7}), ok(many, metrics={"test_accuracy": 0.1}))
    assert "70.00%" in said and "10.00%" in said and "epochs=5" in said, "nor do other options take its place"


def test_scores_of_other_pictures_are_not_averaged():
    results = [attacked(backend, seed) for seed in (0, 1) for backend in ("one", "two")]
    cases = judged(results)
    for result in results[2:]:
        result.evidence["dataset"] = "e" * 16
        for judge in cases[result.cell.comparison_key]["judges"].values():
            judge["scores"][result.cell.key] = {"accuracy": 0.9, "probability": 0.9}
    for result in results[:2]:
        result.evidence["dataset"] = "d" * 16
    found = Report.of(Kept(results, judged=cases)).judgements
    assert [(one["n"], one["seeds"], one["scores"]["one/default"]["numpy"]["accuracy"]) for one in found] == [
        (1, [0], 0.5), (1, [1], 0.9),
    ]  # fmt: skip
    said = REPORTERS["table"](Report.of(Kept(results, judged=cases))).split("\n\n")
    first, second = (table for table in said if "in the pictures of the backend of a row" in " ".join(table.split()))
    assert "dataset dddddddd" in first and "50.00%" in first and "90.00%" not in first
    assert "dataset eeeeeeee" in second and "90.00%" in second and "50.00%" not in second


def test_makers_with_different_pictures_have_separate_matrices():
    results = [attacked("one", dataset="d"), attacked("two")]
    results[0].evidence["dataset"], results[1].evidence["dataset"] = "d" * 16, "e" * 16
    found = Report.of(Kept(results, judged=judged(results))).judgements
    assert [list(one["scores"]) for one in found] == [["one/default"], ["two/default"]]
    assert [one["apart"] for one in found] == [None, None], "unlike pictures made of unlike ones say nothing"


def test_the_gallery_shows_pictures_of_one_group_in_one_table():
    results = [attacked("one"), attacked("two")]
    results[0].evidence["dataset"], results[1].evidence["dataset"] = "d" * 16, "e" * 16
    page = REPORTERS["gallery"](
        Report.of(Kept(results, pictures={result.cell.key: kept_pictures() for result in results}))
    )
    assert page.count("<h2>") == 2 and page.count("<b>original</b>") == 2 * 3


@pytest.mark.parametrize("verdict", ["equal", DIFFERS])
@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"subjects": "s", "backend_code": "a", "versions": {"numpy": "2.0"}}, None),
        ({}, None),
        ({"subjects": "t"}, "another network or recipe"),
        ({"backend_code": "b"}, "another code of the backend"),
        ({"versions": {"numpy": "3.0"}}, "another numpy 3.0"),
    ],
)
def test_a_certificate_does_not_apply_to_a_cell_with_other_code(verdict, about, reason):
    """A certificate is stored by the configuration, and made again when the run is resumed."""
    result = resting_on(0, subjects="s", backend_code="a")
    (row,) = report(replace(result, parity=certified(verdict, about=about))).summary
    assert row["parity"].text == (f"not-checked: its certificate is of {reason}" if reason else verdict)
