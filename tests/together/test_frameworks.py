"""All three frameworks in one environment: the run that the README shows, and what it must show."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ALL = ("jax", "keras", "keras-on-jax", "keras-on-torch", "numpy", "pytorch")
PLAIN = Path(__file__).parent.parent / "plain_jax.py"


def samebench(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=1200, **options)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together") / "run"
    done = samebench("run", "--seeds", "3", "--out", folder)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    return json.loads(samebench("report", folder, "--format", "json").stdout)


def test_all_backends_are_there():
    found = json.loads(samebench("list", "backends", "--json").stdout)["backends"]
    assert {row["name"]: row["status"] for row in found} == dict.fromkeys(ALL, "available")


def test_every_cell_learns_the_digits(report):
    accuracies = {(cell["backend"], cell["seed"]): cell["metrics"]["test_accuracy"] for cell in report["cells"]}
    assert len(accuracies) == 9
    assert min(accuracies.values()) >= 0.97, accuracies


def test_means_lie_within_a_point_and_parameters_are_equal(report):
    means = {row["backend"]: row["test_accuracy"]["mean"] for row in report["summary"]}
    assert means.keys() == {"pytorch", "keras", "jax"}
    assert max(means.values()) - min(means.values()) <= 0.01, means
    assert {row["parameters"] for row in report["summary"]} == {35_914}


def test_every_number_carries_its_verdict(report):
    assert {cell["parity"]["verdict"] for cell in report["cells"]} == {"equal"}
    for cell in report["cells"]:
        exact = (cell["parity"][kind] for kind in ("logits", "gradients", "input_gradients", "trajectory"))
        assert max(exact) <= 1e-9
        assert cell["parity"]["timed"]["logits"] <= 1e-4


def test_the_run_itself_shows_that_all_saw_the_same(report):
    assert len(report["agreement"]) == 3
    for agreement in report["agreement"]:
        assert not agreement["outliers"]
        assert agreement["first_loss_spread"] <= 1e-4


def test_a_backend_in_one_file_outside_the_tree(tmp_path):
    file = Path(shutil.copy(PLAIN, tmp_path))
    assert len(file.read_text().splitlines()) < 200
    checked = samebench("check", file.name, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.splitlines()[-1] == "plain-jax: 46 passed"
    done = samebench(
        "run", "--backend", file.name, "--backend", "jax", "--set", "scratch-cnn.epochs=2", "--out", "run", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("plain_jax.py"))
    assert row.split()[-1] == "equal"
