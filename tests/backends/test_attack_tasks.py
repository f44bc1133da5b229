"""In float64, a backend makes the same pictures as the reference in the tasks with attacks."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from harness import BatchNorm, Conv, Dense, Dropout, Flatten, GlobalAvgPool, MaxPool, Model, relu, swish
from harness.attack import Attack
from harness.data import Dataset
from harness.datasets.digits import digits
from harness.parity import certify
from harness.parity.probes import awkward_examples, deviation, generic_weights
from harness.pictures.inputs import LoadRequest
from harness.plugins import load_plugins
from harness.pretrained.entries import start_from
from harness.reference.backend import NumPy
from harness.storage.places import Places
from harness.task import Subject, TaskContext, TaskResult
from harness.tasks.adversarial import Adversarial
from harness.tasks.adversarial import Options as Attacking
from harness.tasks.ideal_image import IdealImage
from harness.tasks.ideal_image import Options as Imagining
from harness.worker.networks import builder_of, trained_network

ADVERSARIAL, IDEAL = Adversarial(), IdealImage()
CASES = {
    "ten steps": (ADVERSARIAL, Attacking(pictures=40)),
    "one step": (ADVERSARIAL, Attacking(pictures=40, method="fgsm")),
    "l2, from a random start": (ADVERSARIAL, Attacking(pictures=40, norm="l2", random_start=True)),
    "targeted, with the logit": (ADVERSARIAL, Attacking(pictures=40, target=3, objective="logit")),
    "ideal images": (IDEAL, Imagining(classes=(2, 7), steps=20)),
}
DEEP = Model(
    "deep",
    (12, 11, 3),
    trunk=(
        Conv(6, 3, stride=2, padding=((0, 1), (1, 1)), bias=False), BatchNorm(), swish,
        Conv(6, 3, padding=1, groups=6), BatchNorm(), relu, MaxPool(2), Dropout(0.5), GlobalAvgPool(), Flatten(),
    ),
    head=(Dense(5),),
)  # fmt: skip
ONE_LOGIT = replace(DEEP, name="one-logit", head=(Dense(1),))
BOTH_NORMS = (
    Attack(epsilon=1 / 16, step_size=1 / 16, steps=1),
    Attack(epsilon=1 / 16, step_size=1 / 64),
    Attack(norm="l2", epsilon=0.5, step_size=0.125),
    Attack(norm="l2", epsilon=0.5, step_size=0.125, random_start=True, targeted=True, goal="logit"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Dataset:
    return digits(LoadRequest(Places(None, tmp_path_factory.mktemp("cache"))))


def run(case: str, backend, data: Dataset, places: Places) -> TaskResult:
    task, options = CASES[case]
    plugins = load_plugins()
    start = start_from("two-block-cnn-digits", None, plugins.weights, plugins.models, places)
    build = builder_of(task, None, start)
    return task.run(TaskContext(backend, build, data, 3, options, start=trained_network(start)))


@pytest.mark.parametrize("case", CASES)
def test_the_pictures_are_those_of_the_reference(backend, mode, data, tmp_path, case):
    if mode == "compiled" and case not in ("ten steps", "ideal images"):
        pytest.skip("compilation takes minutes; two cases cover the compiler")
    places = Places(None, tmp_path, offline=True)
    expected = run(case, NumPy(precision="float64"), data, places)
    found = run(case, backend("cpu", mode, "float64"), data, places)
    apart = np.abs(found.arrays["made"] - expected.arrays["made"])
    off = (apart > 1e-6).any((1, 2, 3))  # pictures are stored in float32
    assert off.mean() <= 0.05, "two of 40 pictures may differ, because a pool takes another of equal values"
    for name in ("robust_accuracy", "success_rate", "vanished_gradients"):
        assert found.metrics.get(name) == expected.metrics.get(name), name
    for name in {"target_probability", "total_variation", "mean_perturbation"} & expected.metrics.keys():
        assert found.metrics[name] == pytest.approx(expected.metrics[name], rel=1e-3), name
    assert {n: found.evidence[n] for n in ("pictures", "model", "weights")} == {
        n: expected.evidence[n] for n in ("pictures", "model", "weights")
    }


@pytest.mark.parametrize("model", [DEEP, ONE_LOGIT], ids=lambda model: model.name)
def test_attacks_are_certified(backend, mode, model):
    if mode == "compiled" and model is ONE_LOGIT:
        pytest.skip("compilation takes minutes; the other network covers the compiler")
    found = certify(lambda precision: backend("cpu", mode, precision), Subject(model, attacks=BOTH_NORMS))
    print(found)
    assert found.verdict.is_equal and found.deviations["attack"] <= 1e-9
    left_out = [re.match(r"(\d+) of (\d+) attacked pixels", what) for what in found.excludes]
    assert all(int(count[1]) <= 0.001 * int(count[2]) for count in left_out if count)


LOOP_ATTACKS = {
    "linf": BOTH_NORMS[1],
    "l2": BOTH_NORMS[3],
    "free, smooth": Attack(norm="free", step_size=1 / 64, steps=8, targeted=True, goal="logit", variation=1 / 16),
}


@pytest.mark.parametrize("norm", LOOP_ATTACKS)
def test_the_loop_of_a_gpu_makes_the_pictures_of_the_reference(backend, monkeypatch, norm):
    """On a CPU, the backend uses a loop in Python. This test makes the backend use the compiled loop on the CPU."""
    if backend.name not in ("jax", "keras-on-jax"):
        pytest.skip("this backend has the same loop on every device")
    attack, reference, compiled = LOOP_ATTACKS[norm], NumPy(precision="float64"), []
    started, lax = backend("cpu", "default", "float64"), sys.modules["jax"].lax
    loop = lax.fori_loop
    monkeypatch.setattr(lax, "fori_loop", lambda *given: compiled.append(given) or loop(*given))
    monkeypatch.setattr(started, "device", "gpu")
    for module in ("backends.jax.backend", "backends.jax.layers"):
        if module in sys.modules:
            monkeypatch.setattr(sys.modules[module], "on_cpu", lambda: False)

    weights, examples = generic_weights(DEEP), awkward_examples(DEEP, 24)
    pictures = examples.pixels(examples.images)[3::4]  # noise only: other pictures have equal values in a pool
    given = pictures, examples.labels[3::4], attack, "softmax", attack.start_pictures(pictures, 1)
    expected = reference.perturb(reference.build(DEEP, weights), *given)
    found = started.perturb(started.build(DEEP, weights), *given)
    assert len(compiled) == 1, "XLA runs the loop"
    assert np.abs(expected - pictures).max() > 1e-3
    assert deviation(found, expected) <= 1e-9
