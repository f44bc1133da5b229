"""Attacks on the reference: the rules of each norm, invalid attacks, and gradients of zero."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

from harness import Attack, Dense, Flatten, Model, relu
from harness.attack import changed_by, total_variation, variation_slope
from harness.errors import SpecError
from harness.models.two_block_cnn import two_block_cnn
from harness.reference.backend import NumPy

LINEAR = Model("linear", (2, 2, 1), trunk=(Flatten(),), head=(Dense(2),))
KERNEL = np.array([[1.0, 0], [-2, 0], [0, 0], [4, 0]])
FGSM = Attack(epsilon=0.1, step_size=0.1, steps=1)


def perturbed(attack: Attack, images, labels=None, model=LINEAR, weights=None, start=None):
    reference = NumPy(precision="float64")
    weights = weights or {"head.dense1.kernel": KERNEL, "head.dense1.bias": np.zeros(2)}
    labels = np.zeros(len(images), np.int32) if labels is None else labels
    net = reference.build(model, weights)
    return reference.perturb(net, images, labels, attack, "softmax", images if start is None else start)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).uniform(0.3, 0.7, (6, 8, 8, 1))


@pytest.fixture
def network():
    model = two_block_cnn((8, 8, 1), 4)
    return {"model": model, "weights": model.init(1), "labels": np.arange(6, dtype=np.int32) % 4}


def test_fgsm_moves_each_pixel_with_a_gradient_by_epsilon():
    grey = np.full((1, 2, 2, 1), 0.5)
    moved = perturbed(FGSM, grey).ravel() - 0.5
    assert moved == pytest.approx([-0.1, 0.1, 0, -0.1]), (
        "a higher loss means a lower logit; a pixel without a gradient does not move"
    )
    assert perturbed(replace(FGSM, targeted=True), grey).ravel() - 0.5 == pytest.approx([0.1, -0.1, 0, 0.1])
    assert perturbed(replace(FGSM, goal="logit"), grey).ravel() - 0.5 == pytest.approx([-0.1, 0.1, 0, -0.1])


def test_pixels_stay_from_0_to_1():
    edge = np.array([0.05, 0.95, 0.5, 0.0]).reshape(1, 2, 2, 1)
    assert perturbed(FGSM, edge).ravel() == pytest.approx([0, 1, 0.5, 0])


def test_a_step_of_l2_has_the_step_size_and_the_change_is_at_most_epsilon():
    grey = np.full((1, 2, 2, 1), 0.5)
    one = perturbed(Attack(norm="l2", epsilon=1.0, step_size=0.1, steps=1), grey) - grey
    assert np.linalg.norm(one) == pytest.approx(0.1)
    assert one.ravel() / 0.1 == pytest.approx(-KERNEL[:, 0] / math.sqrt(21))
    many = perturbed(Attack(norm="l2", epsilon=0.25, step_size=0.1, steps=9), grey) - grey
    assert np.linalg.norm(many) == pytest.approx(0.25)


def test_a_picture_does_not_depend_on_the_rest_of_its_batch(pictures, network):
    for norm in ("linf", "l2", "free"):
        attack = Attack(norm=norm, epsilon=0.1, step_size=0.03, steps=4)
        together = perturbed(attack, pictures, **network)
        alone = perturbed(attack, pictures[2:3], **(network | {"labels": network["labels"][2:3]}))
        assert np.allclose(together[2:3], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_bound_holds_and_more_steps_raise_the_loss(pictures, network, norm):
    model, weights, labels = network["model"], network["weights"], network["labels"]
    reference, losses = NumPy(precision="float64"), []
    from harness.data import Batches, Examples
    from harness.reference.losses import mean_loss

    for steps in (1, 3, 10):
        attack = Attack(
            norm=norm, epsilon=0.1 if norm == "linf" else 0.5, step_size=0.02 if norm == "linf" else 0.1, steps=steps
        )
        found = perturbed(attack, pictures, **network)
        change = found - pictures
        size = np.abs(change).max() if norm == "linf" else np.sqrt((change**2).sum((1, 2, 3))).max()
        assert size <= attack.epsilon * (1 + 1e-12)
        net = reference.build(model, weights)
        logits = reference.forward(net, Batches.in_order(Examples(found, labels), 6))
        losses.append(mean_loss("softmax", logits, labels))
    assert losses == sorted(losses)


def test_a_random_start_depends_on_the_seed_and_is_within_epsilon(pictures):
    for norm in ("linf", "l2"):
        attack = Attack(norm=norm, epsilon=0.1, random_start=True)
        first, again, other = (
            attack.start_pictures(pictures, 3),
            attack.start_pictures(pictures, 3),
            attack.start_pictures(pictures, 4),
        )
        assert (first == again).all() and (first != other).any()
        change = first - pictures
        size = np.abs(change).max() if norm == "linf" else np.sqrt((change**2).sum((1, 2, 3))).max()
        assert 0.01 < size <= 0.1 + 1e-12
    assert (Attack().start_pictures(pictures, 3) == pictures).all()


def test_the_slope_of_the_variation_is_its_derivative():
    pictures = np.random.default_rng(0).uniform(size=(2, 4, 3, 2))
    slope, small = variation_slope(pictures), 1e-6
    for at in [(0, 0, 0, 0), (1, 3, 2, 1), (0, 2, 0, 1), (1, 1, 2, 0)]:
        up, down = pictures.copy(), pictures.copy()
        up[at] += small
        down[at] -= small
        numeric = (total_variation(up) - total_variation(down))[at[0]] / (2 * small)
        assert slope[at] == pytest.approx(numeric, abs=1e-6)
    assert np.abs(variation_slope(np.full((1, 5, 5, 1), 0.3))).max() < 1e-9, "a uniform picture has the least variation"


def test_variation_makes_an_ideal_image_smoother(pictures, network):
    attack = Attack(norm="free", step_size=0.02, steps=40, targeted=True, goal="logit")
    rough = perturbed(attack, pictures, **network)
    smooth = perturbed(replace(attack, variation=0.05), pictures, **network)
    assert total_variation(smooth).mean() < total_variation(rough).mean()


def test_a_gradient_of_zero_moves_nothing():
    dead = Model("dead", (2, 2, 1), trunk=(Flatten(), Dense(3), relu), head=(Dense(2),))
    weights = {name: np.zeros(parameter.shape) - 1 for name, parameter in dead.parameters.items()}
    grey = np.full((1, 2, 2, 1), 0.5)
    for norm in ("linf", "l2", "free"):
        assert (perturbed(Attack(norm=norm), grey, model=dead, weights=weights) == grey).all()


def test_each_step_computes_one_gradient(pictures):
    calls = []
    changed_by(Attack(steps=7), pictures, pictures, lambda x: (calls.append(1), x)[1])
    assert len(calls) == 7


@pytest.mark.parametrize(
    ("options", "code", "values"),
    [
        ({"epsilon": -0.1}, "out-of-range", ["epsilon", 0, -0.1]),
        ({"epsilon": float("nan")}, "out-of-range", ["epsilon", "nan"]),
        ({"step_size": -1.0}, "out-of-range", ["step_size", -1.0]),
        ({"steps": 0}, "out-of-range", ["steps", 1, 0]),
        ({"norm": "l1"}, "unknown-name", ["norm", "linf, l2, free", "'l1'"]),
        ({"goal": "los"}, "unknown-name", ["goal", "loss, logit", "'los'"]),
        ({"norm": "free", "random_start": True}, "conflicting-options", ["random_start", "'free'"]),
    ],
)
def test_invalid_attacks_are_refused(options, code, values):
    with refused(SpecError, code, *values):
        Attack(**options)


@pytest.mark.parametrize(
    ("change", "code", "values"),
    [
        (lambda x: np.where(x > 0.5, np.nan, x), "out-of-range", ["picture 0", "nan"]),
        (lambda x: x * 255, "out-of-range", [0, 1]),
        (lambda x: (x * 255).astype(np.uint8), "wrong-type", ["uint8"]),
        (lambda x: x[0], "wrong-shape", [(8, 8, 1)]),
    ],
)
def test_invalid_pictures_are_refused(pictures, network, change, code, values):
    with refused(SpecError, code, *values):
        perturbed(FGSM, change(pictures), **network)


def test_labels_below_zero_are_refused(pictures, network):
    with refused(SpecError, "wrong-classes", 0, -1):
        perturbed(FGSM, pictures, **(network | {"labels": network["labels"] - 1}))
