"""samebench compare on run folders: its output, its exit codes, and names that try to break a format."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from reports import NASTY
from runs import HOST, STEADY, cell, scaled, stored_run, timed

from harness.cli import main
from harness.result import Result as CellResult

SLOWER = ["--fail-if", "images_per_s:-10%"]


def compare(*words: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, words)])


@pytest.fixture
def base(tmp_path) -> Path:
    return stored_run(tmp_path / "base", timed(STEADY))


@pytest.fixture
def slower(tmp_path) -> Path:
    return stored_run(
        tmp_path / "slower", timed(scaled(0.85)), started="2026-11-30T11:00:00+00:00", finished="2026-11-30T11:05:00+00:00"
    )  # fmt: skip


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_sections_are_in_the_order_in_which_a_reader_needs_them(base, slower):
    done = compare(base, slower, *SLOWER)
    titles = ["1. Can the runs be compared?", "2. Cells", "3. Speeds", "4. Together", "5. Gates"]
    places = [done.stdout.index(title) for title in titles]
    assert places == sorted(places)
    said = words(done.stdout)
    assert (
        "Yes: the hardware, the data and the precision are the same." in said and "A had ended before B began." in said
    )
    assert "scratch-cnn numpy 100 85 0.850 (" in said and "slower" in said
    assert "Geometric mean of the ratios B / A: 0.850" in said


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        ([], 0),
        (SLOWER, 3),
        (["--fail-if", "images_per_s:-30%"], 0),
        (["--fail-if", "images_per_s:-30%", "--fail-if", "work_s:+10%"], 3),
        (["--fail-if", "test_accuracy:-0.01"], 0),
        (["--fail-if", "images_per_s"], 2),
        (["--fail-if", "image_per_s:-10%"], 2),
        (["--format", "html"], 2),
    ],
)
def test_exit_codes(base, slower, gates, code):
    done = compare(base, slower, *gates)
    assert done.exit_code == code, done.output
    assert bool(done.stdout) == (code != 2), "a wrong command prints no comparison"


def test_a_folder_that_is_no_run_is_bad_usage(base, tmp_path):
    done = compare(base, tmp_path / "nowhere")
    assert done.exit_code == 2 and "is not a run: there is no run.json in it" in done.stderr


def test_a_run_of_another_machine_has_no_verdict_and_fails_its_gate(base, tmp_path):
    other = stored_run(tmp_path / "other", timed(scaled(2.0), evidence={"host": HOST | {"processor": "another"}}))
    done = compare(base, other, *SLOWER)
    assert done.exit_code == 3 and "not judged: processor differs" in words(done.stdout) and "faster" not in done.stdout
    forced = compare(base, other, *SLOWER, "--force")
    assert forced.exit_code == 0 and "faster (forced: processor)" in words(forced.stdout)


def test_an_unfinished_run_says_so(base, tmp_path):
    half = stored_run(tmp_path / "half", timed(scaled(1.0)), finished=None)
    (half / "cells" / cell(seed=5).key / "result.json").unlink()
    done = compare(base, half, *SLOWER)
    said = words(done.stdout)
    assert done.exit_code == 3 and "5 of 6 cells ok; the run is not finished" in said
    assert "seed 5: ok in A, interrupted (not finished" in said and "5 pairs, and at least 6 are needed" in said


def test_failed_cells_do_not_hide(base, tmp_path):
    failed = [CellResult(one.cell, "crashed", "signal 11") for one in timed(STEADY)]
    done = compare(base, stored_run(tmp_path / "failed", failed), *SLOWER)
    assert done.exit_code == 3 and "no cell of the second run is ok: crashed: signal 11" in words(done.stdout)


def test_json_has_everything(base, slower):
    data = json.loads(compare(base, slower, *SLOWER, "--format", "json").stdout)
    assert data["schema"] == 1 and data["regressed"] and data["obstacles"] == [] and not data["same_run"]
    (row,) = data["rows"]
    assert row["verdict"] == "lower" and row["n"] == 6 and row["low"] < row["ratio"] < row["high"] < 0.9
    assert row["row"]["options"]["epochs"] == 1 and row["first"] == pytest.approx(100, rel=0.01)
    assert data["overall"]["ratio"] == pytest.approx(row["ratio"]) and data["overall"]["rows"] == 1
    (gate,) = data["gates"]
    assert gate["status"] == "regressed" and gate["change"]["ratio"] == row["ratio"]
    assert {one["name"] for one in data["conditions"]} >= {
        "processor",
        "number of cores",
        "memory",
        "system",
        "dataset",
        "precision",
    }
    assert {one["metric"] for one in data["others"]} == {"work_s", "first_step_s", "peak_bytes"}
    assert data["accuracies"][0]["verdict"] == "equivalent" and data["first"]["name"] == str(base)


def test_junit_has_a_case_for_each_gate_and_row(base, slower, tmp_path):
    file = tmp_path / "out.xml"
    done = compare(base, slower, *SLOWER, "--fail-if", "images_per_s:-30%", "--format", "junit", "-o", file)
    assert done.exit_code == 3 and done.stdout == ""
    (suite,) = ElementTree.parse(file).getroot()
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "1", "errors": "0", "skipped": "0",
    }  # fmt: skip
    regressed, passed, speed = suite
    assert regressed.get("name") == "images_per_s:-10%, scratch-cnn numpy/default, two-block-cnn on digits, float64"
    assert regressed.find("failure").get("type") == "regressed" and "lies below 0.9" in regressed.find("failure").text
    assert passed.find("failure") is None and "does not lie below 0.7" in passed.find("system-out").text
    assert speed.get("classname") == "samebench.speed" and "slower" in speed.find("system-out").text


def test_junit_skips_rows_without_a_verdict_and_fails_gates_without_a_measurement(base, tmp_path):
    few = stored_run(tmp_path / "few", timed(scaled(1.0))[:3])
    suite = ElementTree.fromstring(compare(base, few, *SLOWER, "--format", "junit").stdout)[0]
    gate, speed = suite
    assert gate.find("failure").get("type") == "not measured"
    assert "3 pairs, and at least 6 are needed" in speed.find("skipped").get("message")
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")


def test_a_file_that_cannot_be_written_is_bad_usage(base, slower, tmp_path):
    done = compare(base, slower, "-o", tmp_path / "no" / "out.txt")
    assert done.exit_code == 2 and "the comparison cannot be written to" in done.stderr


@pytest.mark.parametrize("nasty", [name for name in NASTY if "/" not in name])
def test_names_break_no_format(nasty, tmp_path):
    """A run may come from a stranger."""

    def named(speeds):
        return timed(speeds, model=nasty, evidence={"host": HOST | {"processor": nasty}, "dataset": nasty})

    first = stored_run(tmp_path / "first", named(STEADY), host=HOST | {"system": nasty})
    failed = CellResult(cell(model=nasty, seed=7), "failed", nasty)
    second = stored_run(tmp_path / "second", [*named(scaled(0.8)), failed])
    table = compare(first, second, *SLOWER).stdout
    assert "\x1b" not in table and "\u202e" not in table
    lines = compare(first, second, *SLOWER, "--format", "markdown").stdout.splitlines()
    starts = ("| ", "|:", "|-", "- ", "### ", "**")
    assert all(line.startswith(starts) for line in lines if line), lines
    widths = [
        line.replace("\\|", "").count("|") for line in lines if line.startswith("| condition") or "processor" in line
    ]
    assert len({*widths}) == 1 and "<script>" not in "".join(lines)
    suite = ElementTree.fromstring(compare(first, second, *SLOWER, "--format", "junit").stdout)[0]
    assert suite.get("failures") == "1" and len(suite) == 2
    assert json.loads(compare(first, second, *SLOWER, "--format", "json").stdout)["regressed"]
