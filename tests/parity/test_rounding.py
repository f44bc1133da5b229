"""Estimates of rounding errors hold for other orders of sums, and cause no false alarm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness import (
    Attack,
    AvgPool,
    BatchNorm,
    Branches,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Model,
    Normalize,
    Residual,
    relu,
    relu6,
    swish,
    tanh,
)
from harness.models.two_block_cnn import two_block_cnn
from harness.parity import certify
from harness.parity.attack import AttackTrial, certain, steps_of
from harness.parity.noise import rounding_reference
from harness.parity.probes import awkward_examples, generic_weights
from harness.parity.rounding import CERTAIN, Estimate, RunningErrors, quantum, rounded
from harness.reference.backend import Net, NumPy
from harness.reference.layers import LAYERS, Context
from harness.reference.losses import slope
from harness.spec import Layer
from harness.task import Subject

ROOM = Model(
    "room",
    (12, 12, 2),
    (
        Normalize((0.3,), (0.4,)),
        Conv(6, 3, padding=1),
        relu6,
        MaxPool(2),
        Residual((Conv(6, 3, padding=1, groups=2), BatchNorm(), swish)),
        Branches(((Conv(4, 1), relu), (AvgPool(3, stride=1, padding=1), tanh))),
        MaxPool(3, stride=2, padding=1),
        BatchNorm(),
        relu,
        GlobalAvgPool(),
    ),
    (Dense(5),),
)
"""One layer of each kind."""

PLAIN = two_block_cnn((8, 8, 1), 4)
TEN_STEPS = Attack(epsilon=0.1, step_size=0.025, steps=10)


def turned(kernel):
    """A kernel that is read from its last row, column and input to the first."""
    return kernel[::-1] if kernel.ndim == 2 else kernel[::-1, ::-1, ::-1]


def backwards(layer: Layer, context: Context, x):
    """The same layer, whose sums run from the last of their terms to the first."""
    pictures = (slice(None), slice(None, None, -1), slice(None, None, -1))[: x.ndim - 1]
    weights = {**context.weights, "kernel": turned(context.weights["kernel"])}
    done = LAYERS[type(layer)](layer, context._replace(weights=weights), x[pictures][..., ::-1])

    def back(dy):
        (dx,), own = done.backward(dy[pictures])
        return (dx[pictures][..., ::-1],), {**own, "kernel": turned(own["kernel"])}

    return done._replace(output=done.output[pictures], backward=back)


def by_turns(layer: Layer, context: Context, x):
    """The same layer with one order of sums in odd columns and the other order elsewhere, as in kernels of frameworks
    at the ends of rows."""
    if getattr(layer, "groups", 1) > 1:
        return LAYERS[type(layer)](layer, context, x)
    one, other = LAYERS[type(layer)](layer, context, x), backwards(layer, context, x)
    odd = np.arange(one.output.shape[-2])[:, None] % 2 == 1

    def back(dy):
        ((dx,), own), ((dx2,), _) = one.backward(dy), other.backward(dy)
        return (np.where(np.arange(dx.shape[-2])[:, None] % 2 == 1, dx2, dx),), own

    return one._replace(output=np.where(odd, other.output, one.output), backward=back)


class OtherNet(Net):
    layers = {**LAYERS, Conv: by_turns, Dense: by_turns}


class Other(NumPy):
    """A framework that is right, and adds up in another order."""

    network = OtherNet


@pytest.mark.parametrize("objective", ["softmax", "logit"])
@pytest.mark.parametrize("model", [PLAIN, ROOM, replace(ROOM, trunk=(*ROOM.trunk[:-1], Flatten()))])
def test_other_orders_of_sums_stay_within_the_estimate(model, objective):
    examples, weights = awkward_examples(model, 12), generic_weights(model)
    pixels = np.clip(
        examples.pixels(examples.images) + np.random.default_rng(1).normal(0, 0.05, examples.images.shape), 0, 1
    )
    other = Other(precision="float64").input_gradient(OtherNet(model, weights), pixels, examples.labels, objective)
    values, errors = RunningErrors(Net(model, weights)).input_gradient(pixels, examples.labels, objective)
    off = np.abs(other - values)
    assert off.any() or objective == "logit", "another order would round alike: the test proves nothing"
    assert (off <= CERTAIN * errors).all()
    assert np.median(errors) < 1e-11 * np.abs(values).max(), "an estimate that is far too large accuses nobody"


def test_what_is_estimated_for_float32_holds_for_float32():
    examples, weights = awkward_examples(PLAIN, 8), generic_weights(PLAIN)
    net = Net(PLAIN, weights)
    estimate = RunningErrors(net, 2.0**-23).input_gradient(examples.pixels(examples.images), examples.labels, "softmax")
    net.weights = {name: value.astype(np.float32) for name, value in net.weights.items()}
    pixels = examples.pixels(examples.images, np.float32)
    done = net.run(pixels)
    single = net.backward(done, slope("softmax", done["head.dense2"].output, examples.labels))["input"]
    assert single.dtype == np.float32
    assert (np.abs(single - estimate.values) <= CERTAIN * estimate.errors).all()


def test_a_backend_that_adds_up_in_another_order_is_equal():
    """Zeros that are left when terms cancel were taken for exact, and other signs of them for a difference."""
    for shape in ((8, 8, 1), (28, 28, 1)):
        attack = Attack(epsilon=0.05, step_size=0.0125, steps=10)
        found = certify(
            lambda precision: Other(precision="float64"),
            Subject(two_block_cnn(shape, 10), attacks=(attack,)),
            "float64",
        )
        assert found.verdict.is_equal and found.deviations["attack"] < 1e-12
        assert not any("attacked pixels" in what for what in found.excludes)


def test_sums_of_short_fractions_are_exact():
    assert quantum(np.array([0.0, 0.75, 3.0])) == 0.25 and quantum(np.array([2.0**-60, 1.0])) == 2.0**-60
    assert quantum(np.zeros(3)) == np.inf
    assert rounded(np.array(1000.0), 2.0**-52, 2.0**-16) == 0
    assert rounded(np.array(1000.0), 2.0**-52, 2.0**-50) > 0
    examples = awkward_examples(PLAIN, 8)
    errors = RunningErrors(Net(PLAIN, generic_weights(PLAIN)))
    steps = errors.run(examples.pixels(examples.images))
    assert not steps["trunk.maxpool2"].squares.any(), "two convolutions of short fractions have no errors"
    moved = errors.run(examples.pixels(examples.images) + 0.1)
    assert moved["trunk.conv1"].squares.any()


def test_terms_that_cancel_leave_an_error_beside_the_zero():
    """0.1 - 0.1 + 0.3 - 0.3 is zero in this order, and need not be in another."""
    model = Model("cancelling", (1, 1, 4), (Flatten(),), (Dense(2),))
    kernel = np.array([[1, 1], [-1, 1], [1, 1], [-1, 1]], np.float32)
    net = Net(model, {"head.dense1.kernel": kernel, "head.dense1.bias": np.zeros(2, np.float32)})
    pixels = np.array([0.1, 0.1, 0.3, 0.3]).reshape(1, 1, 1, 4)
    logits = RunningErrors(net).run(pixels)["head.dense1"]
    assert logits.output[0, 0] == 0 and 1e-17 < np.sqrt(logits.squares[0, 0]) < 1e-15


def test_a_kink_within_its_error_makes_what_lies_behind_it_unsure():
    model = Model("kink", (1, 1, 4), (Flatten(), Dense(1, name="sum"), relu), (Dense(2, name="head"),))
    weights = {name: np.ones(p.shape, np.float32) for name, p in model.parameters.items()}
    kernel, bias = (next(n for n in weights if "sum" in n and n.endswith(end)) for end in ("kernel", "bias"))
    weights[kernel][1::2], weights[bias][:] = -1, 0
    weights[next(n for n in weights if "head" in n and n.endswith("kernel"))][:, 1] = -1
    at_bend, beside = np.array([0.1, 0.1, 0.3, 0.3]), np.array([0.1, 0.1, 0.3, 0.2])
    pixels = np.stack([at_bend, beside]).reshape(2, 1, 1, 4)
    estimate = RunningErrors(Net(model, weights)).input_gradient(pixels, np.zeros(2, np.int32), "softmax")
    sure = estimate.certain().reshape(2, 4)
    assert not sure[0].any() and sure[1].all()


def test_equal_values_of_one_origin_tie_and_others_are_contested():
    """A batch norm makes the same of the same exact numbers, so that the pool takes the first, in every framework."""
    model = Model("tie", (2, 2, 1), (BatchNorm(), MaxPool(2), Flatten()), (Dense(2),))
    net, labels = Net(model, generic_weights(model)), np.zeros(2, np.int32)
    even = np.full((2, 2, 2, 1), 0.25)
    assert RunningErrors(net).input_gradient(even, labels, "softmax").certain().all()
    model = Model("contested", (2, 2, 2), (Conv(1, 1), MaxPool(2), Flatten()), (Dense(2),))
    even = np.full((2, 2, 2, 2), 0.1)
    assert not RunningErrors(Net(model, generic_weights(model))).input_gradient(even, labels, "softmax").certain().any()


def test_unsure_pixels_are_left_out_of_one_step_only():
    examples, net = awkward_examples(PLAIN, 32), Net(PLAIN, generic_weights(PLAIN))
    pixels = examples.pixels(examples.images)
    steps = list(steps_of(net, pixels, examples.labels, TEN_STEPS, "softmax", pixels))
    assert steps[0].certain.all(), "before the first step, all sums are exact"
    later = np.concatenate([step.certain for step in steps[1:]])
    assert 0 < (~later).mean() < 0.1
    assert AttackTrial(PLAIN, (TEN_STEPS,), 10, 8).attacked[0].left_out == 0, "others stand in for unsure pictures"


@pytest.mark.parametrize("norm", ["l2", "free"])
def test_a_direction_is_unsure_where_its_error_is_large(norm):
    attack = Attack(norm=norm, step_size=0.1, epsilon=1.0)
    gradient, pictures = np.ones((2, 2, 2, 1)), np.full((2, 2, 2, 1), 0.5)
    errors = np.stack([np.full((2, 2, 1), 1e-16), np.full((2, 2, 1), 1e-6)])
    assert certain(attack, pictures, Estimate(gradient, errors)).all((1, 2, 3)).tolist() == [True, False]
    nothing = np.zeros_like(gradient)
    assert certain(attack, pictures, Estimate(nothing, nothing)).all(), "no gradient at all moves nothing"
    assert not certain(attack, pictures, Estimate(nothing, errors)).any()


class FirstGradientOnly(NumPy):
    """Every step of a loop goes along the gradient of its first."""

    def run_attack(self, net, images, labels, attack, loss, start):
        first = self.input_gradient(net, start, labels, attack.objective(loss))
        for _ in range(attack.steps):
            start = attack.step(start, images, attack.slope(start, first))
        return start


class BoundAroundTheStart(NumPy):
    """The bound lies around the pictures that the step begins with, not around the originals."""

    def run_attack(self, net, images, labels, attack, loss, start):
        for _ in range(attack.steps):
            start = super().run_attack(net, start, labels, replace(attack, steps=1), loss, start)
        return start


class StepTooMany(NumPy):
    def run_attack(self, net, images, labels, attack, loss, start):
        steps = attack.steps + (attack.steps > 1)
        return super().run_attack(net, images, labels, replace(attack, steps=steps), loss, start)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("mutant", [FirstGradientOnly, BoundAroundTheStart, StepTooMany])
def test_a_loop_that_is_wrong_differs(mutant, norm):
    attack = Attack(norm=norm, epsilon=0.1, step_size=0.04, steps=10)
    found = certify(lambda precision: mutant(precision="float64"), Subject(PLAIN, attacks=(attack,)), "float64")
    assert found.verdict.is_different and found.deviations["attack"] > 1e-3


def test_noise_moves_what_cancels_and_nothing_that_is_exact():
    examples, weights = awkward_examples(PLAIN, 8), generic_weights(PLAIN)
    pixels = examples.pixels(examples.images)
    noisy = rounding_reference(seed=3)
    net, plain = noisy.build(PLAIN, weights), Net(PLAIN, weights)
    assert np.array_equal(net.run(pixels)["trunk.maxpool2"].output, plain.run(pixels)["trunk.maxpool2"].output)
    moved = net.run(pixels + 0.1)["trunk.conv1"].output - plain.run(pixels + 0.1)["trunk.conv1"].output
    assert 0 < np.abs(moved).max() < 1e-14
