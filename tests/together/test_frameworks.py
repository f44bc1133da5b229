"""All three frameworks in one environment: the run that the README shows, and what it must show."""

from __future__ import annotations

import json
import os
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


def test_left_to_their_own_ways_frameworks_say_so_and_claim_nothing(tmp_path):
    done = samebench("run", "--semantics", "native", "--set", "scratch-cnn.epochs=5", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "each framework's own optimiser and first weights" in done.stdout
    assert "keras went its own way: first weights: " in done.stdout
    cells = json.loads(samebench("report", tmp_path / "run", "--format", "json").stdout)["cells"]
    assert {cell["parity"]["verdict"].partition(":")[0] for cell in cells} == {"not-checked"}
    assert len({cell["evidence"]["weights"] for cell in cells}) == 3, "each has drawn its own"
    assert min(cell["metrics"]["test_accuracy"] for cell in cells) > 0.85


@pytest.mark.parametrize("model", ["two-block-cnn", "cifar-resnet"])
def test_cifar10_is_the_same_on_all_three(tmp_path, model):
    """The real pictures: losses of the first five steps within 1e-4, parameters equal, every verdict equal."""
    if not os.environ.get("SAMEBENCH_DATA_DIR"):
        pytest.skip("needs CIFAR-10's official batches in the folder that SAMEBENCH_DATA_DIR names")
    small = ["scratch-cnn.epochs=1", "scratch-cnn.train_limit=1024"]
    gentle = ["scratch-cnn.optimizer.lr=1e-4"]  # as in the first steps of a warm-up
    sets = [word for text in small + gentle for word in ("--set", text)]
    done = samebench("run", "--dataset", "cifar10", "--model", model, *sets, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    report = json.loads(samebench("report", tmp_path / "run", "--format", "json").stdout)
    (agreement,) = report["agreement"]
    assert {len(cell["evidence"]["first_losses"]) for cell in report["cells"]} == {5}
    assert agreement["first_losses_spread"] <= 1e-4 and not agreement["outliers"]
    assert {cell["parity"]["verdict"] for cell in report["cells"]} == {"equal"}


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
