"""Rules about layers. Each compares a layer with the reference in float64: its output, and the gradients of pixels and
tensors."""

from __future__ import annotations

import numpy as np

from harness.conformance.kit import AnyBackend, Kit, examples_of, network, optional_rule, rule
from harness.data import Batches
from harness.parity import EXACT_LIMIT
from harness.parity.probes import deviation, generic_weights
from harness.recipe import SGD, Recipe
from harness.reference.backend import NumPy
from harness.spec import (
    ACTIVATION_KINDS,
    Activation,
    Array,
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
    Residual,
    relu,
)


@optional_rule
def check_normalize(kit: Kit) -> None:
    """Normalize is (x - mean) / std, with a value for each channel or one for all."""
    kit.agree_on_network(network(Normalize((0.485, 0.3), (0.229, 0.4))))
    kit.agree_on_network(network(Normalize((0.5,), (0.25,))))


@rule
def check_dense(kit: Kit) -> None:
    """Dense is x @ kernel + bias, with a kernel of (inputs, outputs). The bias is optional."""
    kit.agree_on_network(Model("dense", (2, 2, 1), (Flatten(), Dense(5, bias=False)), (Dense(3),)))


@rule
def check_flatten(kit: Kit) -> None:
    """Flatten keeps the NHWC order: rows, then columns, then channels."""
    kit.agree_on_network(network(Flatten(), shape=(3, 4, 2), flat=True))


@rule
def check_convolution(kit: Kit) -> None:
    """A convolution is a cross-correlation, with any stride and the given padding of each side."""
    kit.agree_on_network(network(Conv(3, 3)))
    kit.agree_on_network(network(Conv(3, (3, 1), padding=((1, 1), (0, 0)), bias=False)))
    kit.agree_on_network(network(Conv(3, 3, stride=2, padding=((0, 1), (0, 1)))))
    kit.agree_on_network(network(Conv(3, 5, stride=(2, 3), padding=((1, 2), (2, 1)))))


@optional_rule
def check_convolution_groups(kit: Kit) -> None:
    """Each group has adjacent channels. With a group for each channel, a convolution is depthwise."""
    kit.agree_on_network(network(Conv(6, 3, padding=1, groups=2), shape=(6, 6, 4)))
    kit.agree_on_network(network(Conv(4, 3, stride=2, padding=((0, 1), (0, 1)), groups=4, bias=False), shape=(6, 6, 4)))
    kit.agree_on_network(network(Conv(8, 3, padding=1, groups=4), shape=(6, 6, 4)))


@rule
def check_max_pool(kit: Kit) -> None:
    """Max pooling pads the given sides with -infinity. Windows may overlap. A partial step at the end is dropped."""
    below_zero = Normalize((2.0,), (1.0,))
    kit.agree_on_network(network(below_zero, MaxPool(2), shape=(7, 7, 2)))
    kit.agree_on_network(network(below_zero, MaxPool(3, 2, padding=1)))
    kit.agree_on_network(network(below_zero, MaxPool(3, 2, padding=((0, 1), (0, 1)))))
    kit.agree_on_network(network(below_zero, MaxPool((2, 3), 1, padding=((1, 0), (0, 2)))))


@rule
def check_max_pool_ties(kit: Kit) -> None:
    """If several values of a window are the largest, the first in row-major order gets the gradient of the max pool."""
    flat = examples_of(np.full((3, 6, 6, 2), 128, np.uint8))
    for pool in (MaxPool(2), MaxPool(3, 2, padding=1)):
        model = network(pool)

        def observe(backend: AnyBackend, model: Model = model) -> dict[str, Array]:
            net = backend.build(model, generic_weights(model))
            return {
                "the gradient of even grey pixels": backend.input_gradient(
                    net, flat.pixels(flat.images), flat.labels, "softmax"
                )
            }

        kit.agree(observe)


@optional_rule
def check_avg_pool(kit: Kit) -> None:
    """Average pooling counts padded zeros in its divisor with `count_padding` only."""
    for count_padding in (False, True):
        kit.agree_on_network(network(AvgPool(2, count_padding=count_padding)))
        kit.agree_on_network(network(AvgPool(3, 1, padding=1, count_padding=count_padding)))
        kit.agree_on_network(
            network(AvgPool(3, 2, padding=((0, 1), (1, 0)), count_padding=count_padding), shape=(6, 5, 2))
        )


@optional_rule
def check_global_avg_pool(kit: Kit) -> None:
    """Global average pooling is the mean over rows and columns."""
    kit.agree_on_network(network(Conv(4, 3), GlobalAvgPool(), flat=True))


@rule
def check_activations(kit: Kit) -> None:
    """relu, relu6, swish, sigmoid and tanh are as defined, also for large values. The slopes of relu at 0, and of relu6
    at 0 and 6, are 0."""
    values = np.array([-800, -6, -3, -1, -0.0, 0.0, 1e-9, 1, 3, 6, 7, 800], np.float32)
    images = np.stack([np.roll(values, shift).reshape(3, 4, 1) for shift in range(3)])

    def observe(backend: AnyBackend) -> dict[str, Array]:
        seen: dict[str, Array] = {}
        examples = examples_of(images)
        for kind in ACTIVATION_KINDS:
            model = network(Activation(kind), shape=(3, 4, 1))
            net = backend.build(model, {name: w / 100 for name, w in generic_weights(model).items()})
            seen[kind] = backend.forward(net, Batches.in_order(examples, 3), upto="features")
            seen[f"the slope of {kind}"] = backend.input_gradient(net, images, examples.labels, "softmax")
        return seen

    kit.agree(observe)


@optional_rule
def check_batch_norm(kit: Kit) -> None:
    """In evaluation, a batch norm uses the running statistics and its epsilon. Scale and offset are optional."""
    for scale in (True, False):
        for centre in (True, False):
            kit.agree_on_network(network(Conv(4, 3, bias=False), BatchNorm(scale=scale, centre=centre, epsilon=1e-2)))
    kit.agree_on_network(network(Conv(4, 3, bias=False), BatchNorm()))


@optional_rule
def check_batch_norm_training(kit: Kit) -> None:
    """In training, a batch norm uses the mean and biased variance of the batch. Running statistics become
    momentum * old + (1 - momentum) * batch."""
    kit.agree_on_training(network(Conv(4, 3, bias=False), BatchNorm(momentum=0.8), relu), Recipe(SGD(lr=0.1)))
    kit.agree_on_training(network(Flatten(), Dense(6, bias=False), BatchNorm(), relu, flat=True), Recipe(SGD(lr=0.1)))


@optional_rule
def check_composites(kit: Kit) -> None:
    """A residual is the sum of its body and its shortcut. Branches are concatenated along the channels, in order."""
    kit.agree_on_network(network(Residual((Conv(2, 3, padding=1), relu))))
    kit.agree_on_network(network(Residual((Conv(3, 3, padding=1),), shortcut=(Conv(3, 1),)), relu))
    kit.agree_on_network(network(Branches(((Conv(3, 1),), (MaxPool(3, 1, padding=1), Conv(2, 1)), (relu,)))))


def _dropping(*rates: float) -> Model:
    """A network that shows its dropout masks: the kernel rows of dropped values have a gradient of zero."""
    return Model("dropout", (40, 40, 1), (Flatten(),), (*map(Dropout, rates), Dense(2)))


def _moves(backend: AnyBackend, model: Model, pictures: int, steps: int = 1) -> Array:
    """The change of each row of the kernel, relative to that of the bias, in a short training on white pictures."""
    white, weights = examples_of(np.full((pictures, 40, 40, 1), 255, np.uint8)), generic_weights(model)
    net = backend.build(model, weights)
    rows = np.tile(np.arange(pictures), steps)
    backend.trainer(net, Recipe(SGD(lr=1))).run(Batches(white, rows, pictures), np.full(steps, 2.0**-10))
    moved = {name: weights[name].astype(np.float64) - after for name, after in backend.weights(net).items()}
    found: Array = moved["head.dense1.kernel"][:, 0] / moved["head.dense1.bias"][0]
    return found


@optional_rule
def check_dropout_training(kit: Kit) -> None:
    """In training, dropout zeroes the share `rate` and divides the rest by 1 - rate. Every step, picture and layer has
    its own mask."""
    rate, backend = 0.25, kit.backend()
    once = _moves(backend, _dropping(rate), 1)
    share, kept = np.mean(once == 0), once[once != 0]
    margin = 5 * np.sqrt(0.25 / len(once))
    kit.demand(
        abs(share - rate) < margin,
        f"dropout at rate {rate} dropped the share {share:.3f}: is its rate the share that it keeps?",
    )
    kit.demand(
        np.allclose(kept, 1 / (1 - rate), rtol=1e-6),
        f"dropout multiplies the kept values by {kept.mean():.4f}, not by 1 / (1 - rate) = {1 / (1 - rate):.4f}",
    )
    for what, moves, expected in (
        ("two steps", _moves(backend, _dropping(rate), 1, steps=2), rate**2),
        ("two pictures", _moves(backend, _dropping(rate), 2), rate**2),
        ("two layers", _moves(backend, _dropping(rate, rate), 1), 1 - (1 - rate) ** 2),
    ):
        share = np.mean(moves == 0)
        kit.demand(
            abs(share - expected) < margin,
            f"{what} with dropout at rate {rate} left the share {share:.3f} of the rows without a gradient, not "
            f"{expected:.3f}: draw a mask for each step, picture and layer",
        )


@optional_rule
def check_dropout_evaluation(kit: Kit) -> None:
    """In evaluation, dropout has no effect: in `forward` and `input_gradient`, before and after training."""
    model = _dropping(0.5)
    grey = examples_of(np.random.default_rng(0).integers(0, 256, (4, 40, 40, 1), dtype=np.uint8))
    backend, weights = kit.backend(), generic_weights(model)
    net = backend.build(model, weights)
    batches = Batches.in_order(grey, 4)

    def evaluate() -> dict[str, Array]:
        backend.load(net, weights)
        gradient = backend.input_gradient(net, grey.pixels(grey.images), grey.labels % 2, "softmax")
        return {"logits": backend.forward(net, batches), "the gradient of the pixels": gradient}

    before = evaluate()
    trainer = backend.trainer(net, Recipe(SGD(lr=1)))
    trainer.run(Batches(examples_of(grey.images[:2]), np.arange(2), 2), np.full(1, 1e-3))
    for what, after in evaluate().items():
        kit.demand(
            deviation(after, before[what]) <= EXACT_LIMIT,
            f"{what} changed with the same weights: dropout is on in evaluation",
        )
    reference = NumPy(precision="float64")
    expected = reference.forward(reference.build(model, weights), batches)
    kit.demand(
        np.allclose(before["logits"], expected, atol=1e-9),
        "dropout changes the logits in evaluation: dropout is on in evaluation",
    )
