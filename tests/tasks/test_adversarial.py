"""The tasks that change pictures, on the reference: their results, their files, and the cross-check."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import samebench, words
from refusals import has

from harness import Dense, Examples, Flatten, Model, relu
from harness.data import Dataset
from harness.datasets.digits import digits
from harness.pictures.inputs import LoadRequest
from harness.plugins import load_plugins
from harness.pretrained.entries import save_trained, start_from
from harness.reference.backend import NumPy
from harness.running.store import Store
from harness.storage.places import Places
from harness.task import TaskContext, TaskResult, Trained
from harness.tasks.adversarial import Adversarial
from harness.tasks.adversarial import Options as Attacking
from harness.tasks.common.victim import OWN_VIEW, at_once
from harness.tasks.ideal_image import IdealImage
from harness.tasks.ideal_image import Options as Imagining
from harness.worker.networks import trained_network

QUICK = ["--backend", "numpy", "--precision", "float64"]
FEW = ["--set", "adversarial.pictures=24", "--set", "ideal-image.steps=8"]
TASKS = ["--task", "adversarial", "--task", "ideal-image"]


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Places:
    return Places(None, tmp_path_factory.mktemp("cache"), offline=True)


@pytest.fixture(scope="module")
def data(places) -> Dataset:
    return digits(LoadRequest(places))


@pytest.fixture(scope="module")
def trained(places) -> Trained:
    plugins = load_plugins()
    return trained_network(start_from("two-block-cnn-digits", None, plugins.weights, plugins.models, places))


def run(task, options, data: Dataset, trained: Trained, seed: int = 0) -> TaskResult:
    build = lambda shape, classes: replace(trained.model, input_shape=shape)  # noqa: E731
    return task.run(TaskContext(NumPy(precision="float64"), build, data, seed, options, start=trained))


def test_the_default_epsilon_fits_the_pictures(data):
    """0.1 is usual for digits, and 8/255 for photos, in which 0.1 would be visible noise."""
    digits, photo = (8, 8, 1), (224, 224, 3)
    assert Attacking().attack(digits).epsilon == 0.1 and Attacking(norm="l2").attack(digits).epsilon == 0.5
    assert Attacking().attack(photo).epsilon == 8 / 255 and Attacking().attack(photo).step_size == 2 / 255
    assert Attacking(norm="l2").attack((32, 32, 3)).epsilon == pytest.approx(0.5)
    assert Attacking(norm="l2").attack(photo).epsilon == pytest.approx(3.5)
    assert Attacking(epsilon=0.3).attack(photo).epsilon == 0.3
    build = lambda shape, classes: Model("photos", photo, (Flatten(),), (Dense(2),))  # noqa: E731
    assert Adversarial().subjects(build, photo, 2, Attacking())[0].attacks[0].epsilon == 8 / 255


def test_a_larger_epsilon_leaves_less_accuracy_and_the_bound_holds(data, trained):
    found = run(Adversarial(), Attacking(pictures=48), data, trained)
    curve = [point["accuracy"] for point in found.metrics["robust_accuracy"]]
    assert curve == sorted(curve, reverse=True) and curve[0] > 0.9 > 0.4 > curve[-1]
    assert [point["epsilon"] for point in found.metrics["robust_accuracy"]] == [0, 0.025, 0.05, 0.1, 0.2]
    assert found.metrics["largest_perturbation"] == pytest.approx(0.1)
    assert 0 < found.metrics["mean_perturbation"] < 0.1
    change = found.arrays["made"] - found.arrays["original"]
    assert np.abs(change).max() <= 0.1 + 1e-6 and found.arrays["made"].min() >= 0 and found.arrays["made"].max() <= 1
    right = found.metrics["test_accuracy"] - found.metrics["robust_accuracy"][3]["accuracy"]
    assert found.metrics["success_rate"] == pytest.approx(right / found.metrics["test_accuracy"])
    assert found.metrics["vanished_gradients"] == 0 and len(found.rates) == 4


def test_several_steps_fool_more_often_than_one(data, trained):
    once = run(Adversarial(), Attacking(pictures=48, method="fgsm"), data, trained)
    often = run(Adversarial(), Attacking(pictures=48), data, trained)
    assert often.metrics["success_rate"] >= once.metrics["success_rate"] > 0


def test_a_targeted_attack_makes_the_network_predict_the_target(data, trained):
    found = run(Adversarial(), Attacking(pictures=32, target=8, epsilon=0.3, steps=20), data, trained)
    seen = found.arrays["after"].argmax(1)
    asked = found.arrays["before"].argmax(1) != 8
    assert (
        found.metrics["success_rate"] == pytest.approx((seen[asked] == 8).mean())
        and found.metrics["success_rate"] > 0.5
    )


def test_the_seed_chooses_the_pictures_and_all_of_a_batch_are_real(data, trained):
    first, again, other = (run(Adversarial(), Attacking(pictures=70), data, trained, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.arrays["made"], again.arrays["made"])
    assert first.evidence["pictures"] != other.evidence["pictures"]
    assert len(first.arrays["made"]) == 70 and len(np.unique(first.arrays["original"], axis=0)) == 70
    assert at_once(np.zeros((1, 224, 224, 3))) == 8 and at_once(np.zeros((1, 8, 8, 1))) == 64


def test_without_common_classes_the_predictions_are_the_labels(data, trained):
    strange = replace(data, classes=tuple(f"cat {number}" for number in range(10)))
    found = run(Adversarial(), Attacking(pictures=24), strange, trained)
    assert found.evidence["notes"] == [f"the network has no class 'cat 0': {OWN_VIEW}"]
    assert "test_accuracy" not in found.metrics, "it would be 1, whatever the network"
    assert found.metrics["robust_accuracy"][0]["accuracy"] == 1
    reordered = replace(data, classes=data.classes[::-1], test=Examples(data.test.images, 9 - data.test.labels, 16))
    told = run(Adversarial(), Attacking(pictures=24), reordered, trained)
    assert "notes" not in told.evidence and told.metrics["test_accuracy"] > 0.9, "classes go by their names"
    assert told.evidence["pictures"] != found.evidence["pictures"], "other labels are another experiment"


def test_names_of_classes_that_are_unknown_or_doubled_are_no_ground_for_labels(data, trained):
    """ImageNet has two classes "crane". If the names of the classes are not known, the message does not blame the dataset."""
    doubled = trained._replace(classes=("4", *data.classes[1:]))
    found = run(Adversarial(), Attacking(pictures=8), replace(data, classes=("4", *data.classes[1:])), doubled)
    assert found.evidence["notes"] == [f"2 classes of the network are named '4': {OWN_VIEW}"]
    found = run(Adversarial(), Attacking(pictures=8), data, trained._replace(unnamed="offline"))
    assert found.evidence["notes"] == [f"the names of the network's classes are not known (offline): {OWN_VIEW}"]


def test_a_network_without_gradients_is_not_fooled_and_this_is_reported(data):
    dead = Model("dead", (8, 8, 1), trunk=(Flatten(), Dense(4), relu), head=(Dense(10),))
    weights = {name: np.full(parameter.shape, -1.0, np.float32) for name, parameter in dead.parameters.items()}
    found = run(Adversarial(), Attacking(pictures=8), data, Trained(dead, weights, data.classes))
    assert found.metrics["vanished_gradients"] == 1 and found.metrics["largest_perturbation"] == 0
    assert found.metrics["success_rate"] == 0
    for norm in ("linf", "l2"):
        still = run(Adversarial(), Attacking(pictures=8, norm=norm), data, Trained(dead, weights, data.classes))
        assert np.array_equal(still.arrays["made"], still.arrays["original"])
    begun = run(Adversarial(), Attacking(pictures=8, random_start=True), data, Trained(dead, weights, data.classes))
    assert begun.metrics["vanished_gradients"] == 1 and begun.metrics["largest_perturbation"] > 0.05


def test_ideal_images_are_of_their_class_and_smoother_with_the_loss(data, trained):
    found = run(IdealImage(), Imagining(classes=(3, 8)), data, trained)
    assert found.metrics["classes"] == ["3", "8"] and found.metrics["least_probability"] > 0.9
    assert found.metrics["total_variation"] < 0.85 * found.metrics["plain_total_variation"]
    assert (found.arrays["original"][0] == found.arrays["original"][1]).all(), "all begin at the same noise"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("attacks") / "run"
    done = samebench("run", *QUICK, *TASKS, *FEW, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_keeps_pictures_judges_them_and_shows_them(finished):
    report = json.loads(samebench("report", finished, "--format", "json").stdout)
    attack, ideal = report["cells"]
    assert attack["parity"]["attack"] == 0.0 and attack["parity"]["verdict"] == "equal"
    assert attack["time"]["rate"] == "attacked images" and min(attack["time"]["images_per_s"]) > 0
    judged = {found["task"]: found for found in report["judgements"]}
    at = {point["epsilon"]: point["accuracy"] for point in attack["metrics"]["robust_accuracy"]}
    assert judged["adversarial"]["scores"]["numpy/default"]["numpy"]["accuracy"] == at[0.1]
    assert judged["ideal-image"]["scores"]["numpy/default"]["numpy"]["probability"] == pytest.approx(
        ideal["metrics"]["target_probability"]
    )
    table = words(samebench("report", finished, "--full").stdout)
    assert "robust accuracy" in table and "accuracy by epsilon" in table
    assert "that the backend of a column finds in the pictures of the backend of a row" in table
    page = samebench("report", finished, "--format", "gallery").stdout
    assert page.startswith("<!doctype html>") and page.count("<img") > 20 and "the change, 5 times" in page


def test_a_cross_check_is_not_repeated(finished):
    store = Store.open(finished)
    before = {path: path.stat().st_mtime_ns for path in store.judgements.glob("*.json")}
    assert len(before) == 2
    assert samebench("run", *QUICK, *TASKS, *FEW, "--out", finished).returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in store.judgements.glob("*.json")}
    next(iter(before)).write_text("{}")
    assert samebench("run", *QUICK, *TASKS, *FEW, "--out", finished).returncode == 0
    assert len(store.judged()) == 2, "what was damaged is judged anew"


def test_options_that_a_network_does_not_allow_are_refused_before_anything_runs(tmp_path):
    for option, values in {
        "adversarial.target=10": ["adversarial.target", "two-block-cnn", 0, 9, 10],
        "adversarial.target=-1": ["adversarial.target", 0, -1],
        "adversarial.epsilon=-0.1": ["adversarial.epsilon", 0, -0.1],
        "adversarial.epsilon=0": ["adversarial.epsilon", "0.0"],
        "adversarial.steps=0": ["adversarial.steps", 1, 0],
        "adversarial.step_share=1.5": ["adversarial.step_share", 0, 1, 1.5],
        "adversarial.norm=l1": ["adversarial.norm", "'linf'", "'l2'", "'l1'"],
        "ideal-image.classes=[1,12]": ["ideal-image.classes", "two-block-cnn", 0, 9, 12],
        "ideal-image.variation=0": ["ideal-image.variation", 0],
        "ideal-image.noise=2": ["ideal-image.noise", 0, 0.5, "2.0"],
    }.items():
        done = samebench("run", *QUICK, "--set", option, "--out", tmp_path / "run")
        assert done.returncode == 2, done.stderr
        for value in values:
            assert has(done.stderr, value), (option, value, done.stderr)
        assert not (tmp_path / "run").exists()


def test_a_network_that_was_trained_here_can_be_attacked(tmp_path, trained):
    save_trained(
        tmp_path / "mine.safetensors", trained.model, trained.weights, trained.classes,
        {"variant": "8x8x1", "source": "me", "licence": "mine", "trained_on": "digits"},
    )  # fmt: skip
    done = samebench(
        "run", *QUICK, "--task", "adversarial", *FEW, "--weights", tmp_path / "mine.safetensors", "--dataset", "digits",
        "--no-parity", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "trained on digits; mine; me" in words(samebench("report", tmp_path / "run", "--full").stdout)
