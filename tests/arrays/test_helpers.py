"""The helpers that backends may use, in NumPy, beside the reference, which does not use them."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from harness import (
    SGD,
    Adam,
    AdamW,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Model,
    Normalize,
    Recipe,
    Residual,
    Unsupported,
    apply_layer,
    moment_count,
    picture_losses,
    relu,
    relu6,
    sigmoid,
    swish,
    tanh,
    update_direction,
    window_places,
)
from harness.arrays.operations import NUMPY
from harness.reference.layers import LAYERS, Context
from harness.reference.losses import cross_entropy
from harness.reference.optimizers import TensorOptimizer
from harness.spec import Parameter

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.normal(0, 4, (5, 6, 7, 3))
ASYMMETRIC = ((0, 1), (1, 0))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "layer",
    [
        Normalize((0.5, 0.25, 0.4), (0.25, 0.3, 0.5)), Normalize((0.5,), (0.25,)),
        BatchNorm(), BatchNorm(scale=False, momentum=0.7), BatchNorm(centre=False, epsilon=1e-3),
        relu, relu6, swish, sigmoid, tanh, GlobalAvgPool(), Flatten(), Add(), Concat(),
        MaxPool(2), MaxPool(3, 2, padding=ASYMMETRIC), AvgPool((2, 3)), AvgPool(3, 1, padding=ASYMMETRIC),
        AvgPool(3, 1, padding=1, count_padding=True),
    ],
    ids=str,
)  # fmt: skip
def test_layers(layer, training):
    inputs = (PICTURES, PICTURES[::-1]) if isinstance(layer, Add | Concat) else (PICTURES,)
    tensors = layer.parameters(PICTURES.shape[1:])
    weights = {name: RANDOM.uniform(0.5, 1.5, tensor.shape) for name, tensor in tensors.items()}
    expected = LAYERS[type(layer)](layer, Context(weights, training, RANDOM), *inputs)
    output, statistics = apply_layer(NUMPY, layer, weights, inputs, training)
    assert output == pytest.approx(expected.output, abs=1e-12) and output.shape == expected.output.shape
    assert statistics.keys() == expected.statistics.keys()
    assert all(statistics[name] == pytest.approx(value) for name, value in expected.statistics.items())


def test_dense_layers():
    vectors, weights = RANDOM.normal(size=(5, 4)), {"kernel": RANDOM.normal(size=(4, 2)), "bias": RANDOM.normal(size=2)}
    for layer, plus in ((Dense(2), weights["bias"]), (Dense(2, bias=False), 0)):
        assert apply_layer(NUMPY, layer, weights, (vectors,), True)[0] == pytest.approx(
            vectors @ weights["kernel"] + plus
        )


@pytest.mark.parametrize("layer", [Conv(4, 3), Dropout(0.5)], ids=str)
def test_what_frameworks_do_by_themselves_is_declined(layer):
    with refused(Unsupported, "unsupported-layer", type(layer).__name__):
        apply_layer(NUMPY, layer, {}, (PICTURES,), False)


def test_places_of_a_window_are_slices():
    window = MaxPool(2, 1).window
    places = list(window_places(NUMPY, window, PICTURES))
    assert len(places) == 4 and all(np.shares_memory(place, PICTURES) for place in places)
    assert np.array_equal(places[1], PICTURES[:, :5, 1:])


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(("loss", "columns"), [("softmax", 3), ("sigmoid", 1)])
def test_losses(loss, columns, size):
    logits, labels = size * RANDOM.normal(size=(20, columns)), np.arange(20) % max(columns, 2)
    assert picture_losses(NUMPY, loss, logits, labels) == pytest.approx(
        cross_entropy(loss, logits, labels)[0], abs=1e-9
    )


def test_minus_the_logit_of_a_label():
    logits = np.array([[1.0, -2.0], [3.0, 4.0]])
    assert picture_losses(NUMPY, "logit", logits, np.array([1, 0])).tolist() == [2, -3]
    assert picture_losses(NUMPY, "logit", logits[:, :1], np.array([1, 0])).tolist() == [-1, 3]


@pytest.mark.parametrize(
    ("optimizer", "moments"),
    [
        (SGD(weight_decay=0.1), 0),
        (SGD(momentum=0.9, l1=0.01), 1),
        (SGD(momentum=0.9, nesterov=True, weight_decay=0.1, decoupled=True), 1),
        (Adam(weight_decay=0.1, beta1=0.8), 2),
        (AdamW(l1=0.01, decay_on="all"), 2),
    ],
)
@pytest.mark.parametrize("role", ["kernel", "bias"])
def test_updates(optimizer, moments, role):
    parameter, weight = Parameter((4, 3), role), RANDOM.normal(size=(4, 3))
    reference, expected, kept = TensorOptimizer(optimizer, parameter), weight, (np.zeros_like(weight),) * moments
    assert moment_count(optimizer) == moments
    for step in range(1, 5):
        gradient = RANDOM.normal(size=weight.shape)
        expected = reference.step(expected, gradient, 0.1)
        direction, kept = update_direction(NUMPY, optimizer, optimizer.decays(parameter), weight, gradient, kept, step)
        weight = weight - 0.1 * direction
        assert len(kept) == moments and weight == pytest.approx(expected, abs=1e-12)


MODEL = Model("split", (4, 4, 2), (Conv(2, 1), BatchNorm(), Residual((Conv(2, 1),))), (Flatten(), Dense(3)))


def test_a_model_runs_its_nodes_in_order_and_lets_go_of_what_is_read():
    alive, order = set(), []

    class Value:
        def __init__(self, name):
            self.name = name
            alive.add(name)

        def __del__(self):
            alive.discard(self.name)

    def apply(node, *inputs):
        assert tuple(value.name for value in inputs) == node.inputs
        order.append((node.name, len(alive)))
        return Value(node.name)

    assert MODEL.run(apply, Value(MODEL.INPUT)).name == "head.dense1"
    assert [name for name, _ in order] == [node.name for node in MODEL.nodes]
    assert max(count for _, count in order) == 3, "the pixels, which the caller holds, and what a residual adds"
    assert MODEL.run(apply, Value(MODEL.INPUT), "features").name == MODEL.end("features")
    empty = Model("empty", (4,), (), (Dense(3),))
    assert empty.run(None, "pixels", "features") == "pixels"


def test_what_learns():
    learned = Recipe(SGD()).learned(MODEL)
    assert learned == tuple(name for name in MODEL.parameters if not name.endswith(("mean", "variance")))
    head = Recipe(SGD(), rates=(("trunk", 0.0),)).learned(MODEL)
    assert head == ("head.dense1.kernel", "head.dense1.bias")
