"""The run of the README, with all three frameworks in one environment."""

from __future__ import annotations

import json
from functools import partial

import command
import pytest

ALL = ("jax", "keras", "keras-on-jax", "keras-on-torch", "numpy", "pytorch")
samebench = partial(command.samebench, timeout=1200)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together") / "run"
    done = samebench("run", "--out", folder)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    return json.loads(samebench("report", folder, "--format", "json").stdout)


def test_all_backends_are_available():
    found = json.loads(samebench("list", "backends", "--json").stdout)["backends"]
    assert {row["name"]: row["status"] for row in found} == dict.fromkeys(ALL, "available")


LEAST = {"scratch-cnn": 0.97, "feature-extraction": 0.9, "fine-tuning": 0.93}


def test_every_cell_learns_the_digits(report):
    accuracies = {
        (cell["task"], cell["backend"], cell["seed"]): cell["metrics"]["test_accuracy"]
        for cell in report["cells"]
        if cell["task"] in LEAST
    }
    assert len(report["cells"]) == 5 * 3 and len(accuracies) == 3 * 3
    assert all(accuracy >= LEAST[task] for (task, _, _), accuracy in accuracies.items()), accuracies


@pytest.mark.parametrize("task", LEAST)
def test_means_are_within_a_point_and_parameters_are_equal(report, task):
    rows = [row for row in report["summary"] if row["task"] == task]
    means = {row["backend"]: row["test_accuracy"]["mean"] for row in rows}
    assert means.keys() == {"pytorch", "keras", "jax"}
    assert max(means.values()) - min(means.values()) <= 0.01, means
    counts = {"scratch-cnn": (35_914, 35_914), "feature-extraction": (20_101, 1_285), "fine-tuning": (20_101, 19_781)}
    assert {(row["parameters"], row["parameter_counts"]["trainable"]) for row in rows} == {counts[task]}


def test_features_are_the_same(report):
    spreads = {agreement["task"]: agreement["features_spread"] for agreement in report["agreement"]}
    assert spreads["scratch-cnn"] is None
    assert max(spreads["feature-extraction"], spreads["fine-tuning"]) <= 1e-5


def test_every_cell_has_an_equal_verdict(report):
    assert {cell["parity"]["verdict"] for cell in report["cells"]} == {"equal"}
    for cell in report["cells"]:
        kinds = ("gradients", "trajectory") if cell["task"] in LEAST else ("attack",)
        exact = (cell["parity"][kind] for kind in ("logits", "input_gradients", *kinds))
        assert max(exact) <= 1e-9
        assert cell["parity"]["timed"]["logits"] <= 1e-4


def test_the_backends_agree_in_the_run_itself(report):
    assert len(report["agreement"]) == 5
    for agreement in report["agreement"]:
        assert not agreement["outliers"]
        assert agreement["task"] not in LEAST or agreement["first_loss_spread"] <= 1e-4
        assert agreement["task"] != "adversarial" or agreement["accuracy_spread"] <= 0.005


def test_native_semantics_are_described_and_not_certified(tmp_path):
    scratch = ["--task", "scratch-cnn", "--set", "scratch-cnn.epochs=5", "--set", "segment_s=0"]
    done = samebench("run", "--semantics", "native", *scratch, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "native semantics: each framework's own optimiser and first weights" in " ".join(done.stdout.split())
    assert "Specific to keras: first weights: " in samebench("report", tmp_path / "run", "--full").stdout
    cells = json.loads(samebench("report", tmp_path / "run", "--format", "json").stdout)["cells"]
    assert {cell["parity"]["verdict"].partition(":")[0] for cell in cells} == {"not-checked"}
    assert len({cell["evidence"]["weights"] for cell in cells}) == 3, "each framework draws its own weights"
    assert min(cell["metrics"]["test_accuracy"] for cell in cells) > 0.85
