"""The reference agrees with finite differences and with numbers computed by hand."""

import numpy as np
import pytest
from refusals import refused

from harness import (
    SGD,
    Adam,
    AdamW,
    AvgPool,
    BatchNorm,
    Branches,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Model,
    Normalize,
    Parameter,
    Residual,
    Unsupported,
    relu,
    relu6,
    sigmoid,
    swish,
    tanh,
)
from harness.parity.probes import generic_weights
from harness.reference.backend import Net, NumPy
from harness.reference.losses import cross_entropy
from harness.reference.optimizers import TensorOptimizer
from harness.spec import Layer

LAYERS = {
    "normalize": (Normalize((0.1, 0.2), (0.5, 2.0)),),
    "conv": (Conv(3, (3, 2), stride=(2, 1), padding=((0, 1), (1, 0))),),
    "groups": (Conv(4, 3, padding=1, groups=2, bias=False),),
    "depthwise": (Conv(4, 3, padding=1, groups=2),),
    "batch norm": (Conv(3, 3), BatchNorm(epsilon=0.1)),
    "batch norm without scale": (BatchNorm(scale=False),),
    "batch norm without centre": (BatchNorm(centre=False),),
    "activations": (Conv(3, 1), relu, Conv(3, 1), relu6, Conv(3, 1), swish, Conv(3, 1), sigmoid, Conv(3, 1), tanh),
    "max pool": (MaxPool(3, 2, padding=((1, 0), (0, 1))),),
    "avg pool": (AvgPool(3, 2, padding=1), AvgPool(2, 1, padding=((0, 1), (0, 1)), count_padding=True)),
    "global": (Conv(4, 3), GlobalAvgPool()),
    "dense": (Flatten(), Dense(5, bias=False), BatchNorm()),
    "residual": (Residual((Conv(2, 3, padding=1), tanh)), Residual((Conv(3, 1),), (Conv(3, 1, bias=False),))),
    "branches": (Branches(((Conv(2, 1),), (tanh,), (MaxPool(3, 1, padding=1), Conv(1, 1)))),),
}


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_gradients_agree_with_finite_differences(layers, loss):
    classes = 3 if loss == "softmax" else 1
    head = (
        (Dense(classes),)
        if isinstance(layers[0], Flatten) or layers[-1] == GlobalAvgPool()
        else (Flatten(), Dense(classes))
    )
    model = Model("test", (6, 5, 2), layers, head)
    net, random = Net(model, generic_weights(model)), np.random.default_rng(1)
    pixels, labels = random.normal(size=(4, 6, 5, 2)), random.integers(0, max(classes, 2), 4)
    training = frozenset(node.name for node in model.nodes)

    def value():
        return cross_entropy(loss, net.run(pixels, training)[model.end()].output, labels)[0].mean()

    done = net.run(pixels, training)
    gradients = net.backward(done, cross_entropy(loss, done[model.end()].output, labels)[1] / 4)
    assert gradients.keys() == {name for name, p in model.parameters.items() if p.trainable} | {"input"}
    for name, gradient in gradients.items():
        tensor = pixels if name == "input" else net.weights[name]
        for place in random.integers(0, tensor.shape, (4, tensor.ndim)):
            at, step = tuple(place), 1e-6
            original = tensor[at]
            tensor[at] = original + step
            above = value()
            tensor[at] = original - step
            below = value()
            tensor[at] = original
            assert gradient[at] == pytest.approx((above - below) / (2 * step), abs=2e-8), (name, at)


def test_the_first_of_equal_values_gets_the_gradient():
    model = Model("test", (2, 2, 1), (MaxPool(2), Flatten()), (Dense(1, bias=False),))
    backend = NumPy(precision="float64")
    net = backend.build(model, {"head.dense1.kernel": np.ones((1, 1))})
    gradient = backend.input_gradient(net, np.full((1, 2, 2, 1), 0.5), np.zeros(1, int), "sigmoid")
    assert gradient[0, :, :, 0] == pytest.approx(np.array([[1 / (1 + np.exp(-0.5)), 0], [0, 0]]))


@pytest.mark.parametrize(("activation", "kinks"), [(relu, [0.0]), (relu6, [0.0, 6.0])])
def test_slopes_are_zero_at_the_kinks_of_relu_and_relu6(activation, kinks):
    net = Net(Model("test", (1, len(kinks), 1), (activation, Flatten()), ()), {})
    done = net.run(np.array(kinks).reshape(1, 1, -1, 1))
    assert not net.backward(done, np.ones((1, len(kinks))))["input"].any()


def test_running_variance_is_biased():
    model = Model("test", (1, 1, 1), (BatchNorm(), Flatten()), ())
    net = Net(model, model.init(0))
    values = np.array([0.0, 0.1, 0.2, 0.15]).reshape(4, 1, 1, 1)
    statistics = net.run(values, frozenset(["trunk.batchnorm1"]))["trunk.batchnorm1"].statistics
    assert statistics["variance"] == pytest.approx(0.9 + 0.1 * values.var())
    assert statistics["mean"] == pytest.approx(0.1 * values.mean())


def test_dropout_drops_its_share_and_scales_the_rest():
    net = Net(Model("test", (100, 100, 1), (Dropout(0.25), Flatten()), ()), {})
    output = net.run(np.ones((1, 100, 100, 1)), frozenset(["trunk.dropout1"]))["trunk.flatten1"].output
    assert np.unique(output) == pytest.approx([0, 4 / 3])
    assert (output == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert np.array_equal(net.run(np.ones((1, 100, 100, 1)))["trunk.flatten1"].output, np.ones((1, 10_000)))


def test_losses():
    assert cross_entropy("softmax", np.array([[5.0, 1, -2]]), np.array([0]))[0] == pytest.approx([0.019045008])
    assert cross_entropy("softmax", np.array([[1e4, 0]]), np.array([1]))[0] == pytest.approx([1e4])
    assert cross_entropy("sigmoid", np.array([[2.0], [2.0], [-1e4]]), np.array([1, 0, 1]))[0] == pytest.approx(
        [0.126928, 2.126928, 1e4]
    )


def moved(optimizer, gradients, rates, role="kernel", start=0.0):
    tensor = TensorOptimizer(optimizer, Parameter((1,), role))
    weight = np.full(1, start)
    for gradient, lr in zip(gradients, rates, strict=True):
        weight = tensor.step(weight, np.full(1, gradient), lr)
    return weight[0]


def test_sgd_by_hand():
    assert moved(SGD(momentum=0.5), [1, 1, 1], [1, 1, 0.1]) == pytest.approx(-(1 + 1.5 + 0.175))
    assert moved(SGD(momentum=0.5, nesterov=True), [1, 1], [1, 1]) == pytest.approx(-(1.5 + 1.75))


def test_adam_by_hand():
    """With a constant gradient g, both corrected moments are constant, and every step is lr * g / (|g| + epsilon)."""
    for gradient in (1.0, 1e-6, -1e-8):
        expected = -3 * 0.1 * gradient / (abs(gradient) + 1e-8)
        assert moved(Adam(), [gradient] * 3, [0.1] * 3) == pytest.approx(expected)


def test_decay_and_l1_by_hand():
    assert moved(SGD(weight_decay=0.1), [0], [1], start=2.0) == pytest.approx(1.8)
    assert moved(SGD(weight_decay=0.1, momentum=0.9), [0, 0], [1, 1], start=2.0) == pytest.approx(
        1.8 - 0.9 * 0.2 - 0.18
    )
    assert moved(SGD(weight_decay=0.1, momentum=0.9, decoupled=True), [0, 0], [1, 1], start=2.0) == pytest.approx(1.62)
    assert moved(AdamW(weight_decay=0.1), [0], [1], start=2.0) == pytest.approx(1.8)
    assert moved(SGD(l1=0.1), [0], [1], start=-2.0) == pytest.approx(-1.9)
    assert moved(SGD(l1=0.1), [0], [1], start=0.0) == 0
    assert moved(SGD(l1=0.1, weight_decay=0.1), [0], [1], role="bias", start=2.0) == 2.0


def test_an_unknown_layer_is_unsupported():
    class UnknownLayer(Layer):
        pass

    model = Model("test", (2, 2, 1), (UnknownLayer(), Flatten()), (Dense(2),))
    with refused(Unsupported, "unsupported-layer", "UnknownLayer"):
        NumPy(precision="float64").build(model, model.init(0))
