"""foolbox, a well-known toolbox, makes the same pictures and accuracies with the same network object."""

from __future__ import annotations

import numpy as np
import pytest

from harness.attack import Attack
from harness.data import Batches, Examples
from harness.datasets.digits import digits
from harness.pictures.inputs import LoadRequest
from harness.plugins import load_plugins
from harness.pretrained.entries import start_from
from harness.storage.places import Places

NAMES = ("pytorch", "keras", "jax")
EPSILONS = (0.05, 0.1, 0.2)


@pytest.fixture(scope="module")
def attacked(backend, mode, tmp_path_factory):
    """A function that attacks pictures with a backend and with foolbox, and the accuracy of the network."""
    if backend.name not in NAMES or mode != "default":
        pytest.skip("foolbox supports PyTorch, TensorFlow and JAX, without samebench's modes")
    import foolboxes

    places, plugins = Places(None, tmp_path_factory.mktemp("cache"), offline=True), load_plugins()
    start = start_from("two-block-cnn-digits", None, plugins.weights, plugins.models, places)
    test = digits(LoadRequest(places)).test
    images, labels = test.pixels(test.images, np.float32), test.labels
    ours = backend("cpu")
    net = ours.build(start.model, start.load())
    theirs = foolboxes.perturb(backend.name, net)

    def accuracy(pictures):
        return float((ours.forward(net, Batches.in_order(Examples(pictures, labels), 256)).argmax(1) == labels).mean())

    def both(attack):
        return ours.perturb(net, images, labels, attack, "softmax", images), theirs(images, labels, attack)

    return both, accuracy


def test_pictures_of_one_step_are_the_same(attacked):
    both, _ = attacked
    for epsilon in EPSILONS:
        ours, theirs = both(Attack(epsilon=epsilon, step_size=epsilon, steps=1))
        assert (np.abs(ours - theirs) > 1e-6).mean() <= 0.001, epsilon


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_accuracies_after_ten_steps_are_the_same(attacked, norm):
    both, accuracy = attacked
    for epsilon in EPSILONS:
        size = epsilon if norm == "linf" else 5 * epsilon
        found = [accuracy(made) for made in both(Attack(norm=norm, epsilon=size, step_size=size / 4))]
        print(f"{norm}, epsilon {size}: {found[0]:.2%} ours, {found[1]:.2%} foolbox")
        assert abs(found[0] - found[1]) <= 0.005


def test_accuracies_after_ten_targeted_steps_are_the_same(attacked):
    both, accuracy = attacked
    ours, theirs = both(Attack(epsilon=0.1, step_size=0.025, targeted=True))
    assert abs(accuracy(ours) - accuracy(theirs)) <= 0.005 and accuracy(ours) >= 0.99, "the target is the true class"
