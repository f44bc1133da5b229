"""Estimates of rounding errors hold for other orders of sums, and cause no false alarms."""

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
"""A network with layers of each kind."""

PLAIN = two_block_cnn((8, 8, 1), 4)
TEN_STEPS = Attack(epsilon=0.1, step_size=0.025, steps=10)


def reversed_kernel(kernel):
    """The kernel with its rows, columns and inputs in reverse order."""
    return kernel[::-1] if kernel.ndim == 2 else kernel[::-1, ::-1, ::-1]


def backwards(layer: Layer, context: Context, x):
    """The layer with sums in reverse order."""
    pictures = (slice(None), slice(None, None, -1), slice(None, None, -1))[: x.ndim - 1]
    weights = {**context.weights, "kernel": reversed_kernel(context.weights["kernel"])}
    done = LAYERS[type(layer)](layer, context._replace(weights=weights), x[pictures][..., ::-1])

    def back(dy):
        (dx,), own = done.backward(dy[pictures])
        return (dx[pictures][..., ::-1],), {**own, "kernel": reversed_kernel(own["kernel"])}

    return done._replace(output=done.output[pictures], backward=back)


def by_turns(layer: Layer, context: Context, x):
    """The layer with sums in reverse order in odd columns only. Kernels of frameworks also change the order within a
    row."""
    if getattr(layer, "groups", 1) > 1:
        return LAYERS[type(layer)](layer, context, x)
    forwards, reverse = LAYERS[type(layer)](layer, context, x), backwards(layer, context, x)
    odd = np.arange(forwards.output.shape[-2])[:, None] % 2 == 1

    def back(dy):
        ((dx,), own), ((dx2,), _) = forwards.backward(dy), reverse.backward(dy)
        return (np.where(np.arange(dx.shape[-2])[:, None] % 2 == 1, dx2, dx),), own

    return forwards._replace(output=np.where(odd, reverse.output, forwards.output), backward=back)


class OtherNet(Net):
    layers = {**LAYERS, Conv: by_turns, Dense: by_turns}


class Other(NumPy):
    """A correct framework whose sums have another order."""

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
    assert off.any() or objective == "logit", "the other order makes no difference, so the test proves nothing"
    assert (off <= CERTAIN * errors).all()
    assert np.median(errors) < 1e-11 * np.abs(values).max(), "the estimate is so large that no backend could differ"


def test_the_estimate_for_float32_holds_for_float32():
    examples, weights = awkward_examples(PLAIN, 8), generic_weights(PLAIN)
    net = Net(PLAIN, weights)
    estimate = RunningErrors(net, 2.0**-23).input_gradient(examples.pixels(examples.images), examples.labels, "softmax")
    net.weights = {name: value.astype(np.float32) for name, value in net.weights.items()}
    pixels = examples.pixels(examples.images, np.float32)
    done = net.run(pixels)
    single = net.backward(done, slope("softmax", done["head.dense2"].output, examples.labels))["input"]
    assert single.dtype == np.float32
    assert (np.abs(single - estimate.values) <= CERTAIN * estimate.errors).all()


def test_a_backend_with_another_order_of_sums_is_equal():
    """Once, zeros from terms that cancel counted as exact, so another sign counted as a difference."""
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


def test_a_zero_from_terms_that_cancel_has_an_error():
    """0.1 - 0.1 + 0.3 - 0.3 is zero in this order, but not in every order."""
    model = Model("cancelling", (1, 1, 4), (Flatten(),), (Dense(2),))
    kernel = np.array([[1, 1], [-1, 1], [1, 1], [-1, 1]], np.float32)
    net = Net(model, {"head.dense1.kernel": kernel, "head.dense1.bias": np.zeros(2, np.float32)})
    pixels = np.array([0.1, 0.1, 0.3, 0.3]).reshape(1, 1, 1, 4)
    logits = RunningErrors(net).run(pixels)["head.dense1"]
    assert logits.output[0, 0] == 0 and 1e-17 < np.sqrt(logits.squares[0, 0]) < 1e-15


def test_a_value_within_its_error_of_a_kink_makes_gradients_uncertain():
    model = Model("kink", (1, 1, 4), (Flatten(), Dense(1, name="sum"), relu), (Dense(2, name="head"),))
    weights = {name: np.ones(p.shape, np.float32) for name, p in model.parameters.items()}
    kernel, bias = (next(n for n in weights if "sum" in n and n.endswith(end)) for end in ("kernel", "bias"))
    weights[kernel][1::2], weights[bias][:] = -1, 0
    weights[next(n for n in weights if "head" in n and n.endswith("kernel"))][:, 1] = -1
    at_kink, beside = np.array([0.1, 0.1, 0.3, 0.3]), np.array([0.1, 0.1, 0.3, 0.2])
    pixels = np.stack([at_kink, beside]).reshape(2, 1, 1, 4)
    estimate = RunningErrors(Net(model, weights)).input_gradient(pixels, np.zeros(2, np.int32), "softmax")
    certain = estimate.certain().reshape(2, 4)
    assert not certain[0].any() and certain[1].all()


def test_equal_values_with_the_same_origin_are_certain_and_others_are_not():
    """A batch norm maps equal exact values to equal values, so in every framework the pool takes the first."""
    model = Model("tie", (2, 2, 1), (BatchNorm(), MaxPool(2), Flatten()), (Dense(2),))
    net, labels = Net(model, generic_weights(model)), np.zeros(2, np.int32)
    even = np.full((2, 2, 2, 1), 0.25)
    assert RunningErrors(net).input_gradient(even, labels, "softmax").certain().all()
    model = Model("contested", (2, 2, 2), (Conv(1, 1), MaxPool(2), Flatten()), (Dense(2),))
    even = np.full((2, 2, 2, 2), 0.1)
    assert not RunningErrors(Net(model, generic_weights(model))).input_gradient(even, labels, "softmax").certain().any()


def test_uncertain_pixels_are_excluded_from_a_single_step_only():
    examples, net = awkward_examples(PLAIN, 32), Net(PLAIN, generic_weights(PLAIN))
    pixels = examples.pixels(examples.images)
    steps = list(steps_of(net, pixels, examples.labels, TEN_STEPS, "softmax", pixels))
    assert steps[0].certain.all(), "before the first step, all sums are exact"
    later = np.concatenate([step.certain for step in steps[1:]])
    assert 0 < (~later).mean() < 0.1
    assert AttackTrial(PLAIN, (TEN_STEPS,), 10, 8).attacked[0].left_out == 0, "certain pictures replace the others"


@pytest.mark.parametrize("norm", ["l2", "free"])
def test_a_direction_with_a_large_error_is_uncertain(norm):
    attack = Attack(norm=norm, step_size=0.1, epsilon=1.0)
    gradient, pictures = np.ones((2, 2, 2, 1)), np.full((2, 2, 2, 1), 0.5)
    errors = np.stack([np.full((2, 2, 1), 1e-16), np.full((2, 2, 1), 1e-6)])
    assert certain(attack, pictures, Estimate(gradient, errors)).all((1, 2, 3)).tolist() == [True, False]
    nothing = np.zeros_like(gradient)
    assert certain(attack, pictures, Estimate(nothing, nothing)).all(), "a gradient of exactly zero moves nothing"
    assert not certain(attack, pictures, Estimate(nothing, errors)).any()


class FirstGradientOnly(NumPy):
    """All steps use the gradient of the first step."""

    def run_attack(self, net, images, labels, attack, loss, start):
        first = self.input_gradient(net, start, labels, attack.objective(loss))
        for _ in range(attack.steps):
            start = attack.step(start, images, attack.slope(start, first))
        return start


class BoundAroundTheStart(NumPy):
    """The bound is around the pictures before each step, not around the originals."""

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
def test_a_wrong_loop_differs(mutant, norm):
    attack = Attack(norm=norm, epsilon=0.1, step_size=0.04, steps=10)
    found = certify(lambda precision: mutant(precision="float64"), Subject(PLAIN, attacks=(attack,)), "float64")
    assert found.verdict.is_different and found.deviations["attack"] > 1e-3


def test_noise_changes_inexact_values_and_no_exact_values():
    examples, weights = awkward_examples(PLAIN, 8), generic_weights(PLAIN)
    pixels = examples.pixels(examples.images)
    noisy = rounding_reference(seed=3)
    net, plain = noisy.build(PLAIN, weights), Net(PLAIN, weights)
    assert np.array_equal(net.run(pixels)["trunk.maxpool2"].output, plain.run(pixels)["trunk.maxpool2"].output)
    moved = net.run(pixels + 0.1)["trunk.conv1"].output - plain.run(pixels + 0.1)["trunk.conv1"].output
    assert 0 < np.abs(moved).max() < 1e-14
