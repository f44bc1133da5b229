"""Reports in every format: of whole, partial and empty runs, and with names that try to break out."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from harness.plugins import load_plugins
from harness.report import Report
from harness.result import Cell, Result, not_checked

REPORTERS = load_plugins().reporters
CELL = Cell("scratch-cnn", "numpy", "default", "float64", "auto", "two-block-cnn", "digits", None, 0, {"epochs": 1})


def ok(cell: Cell = CELL, **changes) -> Result:
    found = Result(
        cell,
        "ok",
        metrics={"test_accuracy": 0.9, "train_accuracy": 0.95, "test_loss": 0.2},
        time={"first_step_s": 0.5, "total_s": 2.0, "images_per_s": [100.0, 110.0]},
        parameters={"total": 35914, "trainable": 35914, "frozen": 0, "buffers": 0},
        evidence={"device": "cpu"},
        versions={"numpy": "2.0"},
    )
    return replace(found, **changes)


def report(*results: Result) -> Report:
    return Report.of({"id": "run", "host": {"processor": "a processor", "cores": 2}}, results)


@pytest.mark.parametrize("name", list(REPORTERS))
@pytest.mark.parametrize(
    "results",
    [
        (),
        (ok(),),
        (Result(CELL, "failed", "it broke"),),
        (ok(), Result(replace(CELL, seed=1), "interrupted", "stopped")),
    ],
    ids=["none", "one", "all failed", "partial"],
)
def test_every_format_has_something_to_say_of_every_run(name, results):
    text = REPORTERS[name](report(*results))
    assert text.strip()
    for result in results:
        assert result.reason is None or result.reason in text


def test_failed_cells_are_counted_and_not_averaged():
    failed = Result(replace(CELL, seed=1), "failed", "it broke")
    (row,) = report(ok(), failed).summary
    assert (row["n"], row["cells"], row["test_accuracy"]["mean"]) == (1, 2, 0.9)
    assert "1 of 2" in REPORTERS["table"](report(ok(), failed))


NASTY = [
    "a|b",
    "new\nline",
    "`tick`",
    "<script>alert(1)</script>",
    "[red]x[/red]",
    "\x1b[31mred",
    "a\u202eb",
    "_*~#",
    "=1+1",
    "-2",
    "@x",
]


@pytest.mark.parametrize("nasty", NASTY)
def test_names_do_not_break_markdown(nasty):
    text = REPORTERS["markdown"](report(Result(replace(CELL, backend=nasty, model=nasty), "failed", nasty)))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1, "every row has as many columns"
    assert not re.search(r"(?<!\\)[<`\[]", text) and "\x1b" not in text and "\u202e" not in text


@pytest.mark.parametrize("nasty", NASTY)
def test_names_do_not_break_csv(nasty):
    text = REPORTERS["csv"](report(Result(replace(CELL, backend=nasty), "failed", nasty)))
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["reason"].removeprefix("'") == nasty
    assert not row["backend"].startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("nasty", NASTY)
def test_names_do_not_act_on_a_terminal(nasty):
    text = REPORTERS["table"](report(Result(replace(CELL, backend=nasty), "failed", nasty)))
    assert "\x1b" not in text and "\u202e" not in text


def test_csv_has_a_column_a_value():
    (row,) = csv.DictReader(io.StringIO(REPORTERS["csv"](report(ok()))))
    assert (row["metrics.test_accuracy"], row["time.images_per_s"]) == ("0.9", "[100.0, 110.0]")
    assert row["options.epochs"] == "1" and row["parity.verdict"] == "not-checked"


def test_what_should_be_known_is_said():
    other = ok(replace(CELL, seed=1), versions={"numpy": "3.0"}, warnings=["it ended badly"])
    text = " ".join(
        REPORTERS["table"](report(ok(evidence={"device": "cpu", "data_notes": ["2 left out"]}), other)).split()
    )
    assert "Warning: cells of numpy ran on different versions: numpy 2.0; numpy 3.0" in text
    assert "seed 1: it ended badly" in text and "2 left out" in text


def test_native_runs_are_told_apart_and_explained():
    native = ok(
        replace(CELL, semantics="native"),
        parity=not_checked("native semantics"),
        evidence={"device": "cpu", "own_ways": {"Adam": "epsilon 1e-7"}},
    )
    text = " ".join(REPORTERS["table"](report(ok(), native)).split())
    assert (
        "each framework's own optimiser and first weights" in text
        and "numpy went its own way: Adam: epsilon 1e-7" in text
    )
    assert len(report(ok(), native).summary) == 2
