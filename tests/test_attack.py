"""Attacks on the reference: what each rule does, what is refused, and what happens where there is no gradient."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

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


def test_fgsm_moves_each_pixel_by_epsilon_against_its_logit_or_not_at_all():
    grey = np.full((1, 2, 2, 1), 0.5)
    moved = perturbed(FGSM, grey).ravel() - 0.5
    assert moved == pytest.approx([-0.1, 0.1, 0, -0.1]), (
        "a raised loss is a lower logit; without a gradient nothing moves"
    )
    assert perturbed(replace(FGSM, targeted=True), grey).ravel() - 0.5 == pytest.approx([0.1, -0.1, 0, 0.1])
    assert perturbed(replace(FGSM, goal="logit"), grey).ravel() - 0.5 == pytest.approx([-0.1, 0.1, 0, -0.1])


def test_pixels_stay_pixels():
    edge = np.array([0.05, 0.95, 0.5, 0.0]).reshape(1, 2, 2, 1)
    assert perturbed(FGSM, edge).ravel() == pytest.approx([0, 1, 0.5, 0])


def test_steps_of_l2_have_their_length_and_the_change_has_its_bound():
    grey = np.full((1, 2, 2, 1), 0.5)
    one = perturbed(Attack(norm="l2", epsilon=1.0, step_size=0.1, steps=1), grey) - grey
    assert np.linalg.norm(one) == pytest.approx(0.1)
    assert one.ravel() / 0.1 == pytest.approx(-KERNEL[:, 0] / math.sqrt(21))
    many = perturbed(Attack(norm="l2", epsilon=0.25, step_size=0.1, steps=9), grey) - grey
    assert np.linalg.norm(many) == pytest.approx(0.25)


def test_a_picture_does_not_depend_on_the_others_of_its_batch(pictures, network):
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


def test_a_random_start_is_drawn_by_the_seed_and_within_the_bound(pictures):
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
    assert np.abs(variation_slope(np.full((1, 5, 5, 1), 0.3))).max() < 1e-9, "an even picture is as smooth as can be"


def test_variation_makes_an_ideal_image_smoother(pictures, network):
    attack = Attack(norm="free", step_size=0.02, steps=40, targeted=True, goal="logit")
    rough = perturbed(attack, pictures, **network)
    smooth = perturbed(replace(attack, variation=0.05), pictures, **network)
    assert total_variation(smooth).mean() < total_variation(rough).mean()


def test_without_any_gradient_nothing_moves():
    dead = Model("dead", (2, 2, 1), trunk=(Flatten(), Dense(3), relu), head=(Dense(2),))
    weights = {name: np.zeros(parameter.shape) - 1 for name, parameter in dead.parameters.items()}
    grey = np.full((1, 2, 2, 1), 0.5)
    for norm in ("linf", "l2", "free"):
        assert (perturbed(Attack(norm=norm), grey, model=dead, weights=weights) == grey).all()


def test_the_gradient_is_asked_once_a_step(pictures):
    asked = []
    changed_by(Attack(steps=7), pictures, pictures, lambda x: (asked.append(1), x)[1])
    assert len(asked) == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epsilon": -0.1}, "epsilon of an attack is a number of at least 0, not -0.1"),
        ({"epsilon": float("nan")}, "not nan"),
        ({"step_size": -1.0}, "step_size"),
        ({"steps": 0}, "takes 1 step or more, not 0"),
        ({"norm": "l1"}, "no norm 'l1' of attacks; there are linf, l2, free"),
        ({"goal": "los"}, "no goal 'los'"),
        ({"norm": "free", "random_start": True}, "leave random_start out"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    with pytest.raises(SpecError, match=said):
        Attack(**options)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: np.where(x > 0.5, np.nan, x), "number 0 has values from nan to nan"),
        (lambda x: x * 255, "numbers from 0 to 1"),
        (lambda x: (x * 255).astype(np.uint8), "floating-point numbers from 0 to 1, not uint8"),
        (lambda x: x[0], r"not \(8, 8, 1\)"),
    ],
)
def test_pictures_that_make_no_sense_are_refused(pictures, network, change, said):
    with pytest.raises(SpecError, match=said):
        perturbed(FGSM, change(pictures), **network)


def test_labels_below_zero_are_refused(pictures, network):
    with pytest.raises(SpecError, match="numbers of classes, from 0, not -1"):
        perturbed(FGSM, pictures, **(network | {"labels": network["labels"] - 1}))
