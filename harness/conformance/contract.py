"""Rules about the contract: a backend's description of itself, and the exchange of networks and data."""

from __future__ import annotations

from functools import partial

import numpy as np

from harness.conformance.kit import AnyBackend, Kit, examples_of, network, observe_network, optional_rule, rule
from harness.data import Batches, Examples
from harness.errors import Unsupported
from harness.parity.probes import LIMITS, awkward_examples, generic_weights
from harness.recipe import SGD, Recipe
from harness.spec import NAME, Array, BatchNorm, Conv, Dense, Flatten, Layer, MaxPool, Model, Residual, relu, swish

NETWORK = network(Conv(4, 3, padding=1), BatchNorm(), relu, Residual((Conv(4, 1, groups=2),)), MaxPool(2))
SGD_1 = Recipe(SGD(lr=0.1))


@rule
def check_self_description(kit: Kit) -> None:
    """A backend has a name, the mode "default", the precision float64, and the versions of its packages."""
    kit.demand(
        bool(NAME.fullmatch(kit.type.name)), f"{kit.type.name!r} is not a valid name: use letters, digits, '_' and '-'"
    )
    kit.demand("default" in kit.type.modes, f"modes are {kit.type.modes}; one of them must be 'default'")
    kit.demand("float64" in kit.type.precisions, f"precisions are {kit.type.precisions}; one of them must be 'float64'")
    backend = kit.backend()
    kit.demand(backend.device in ("cpu", "gpu"), f"start() returned {backend.device!r}; it must be 'cpu' or 'gpu'")
    for package, version in (versions := backend.versions()).items():
        kit.demand(bool(package and version), f"versions() holds no version of {package!r}")
    kit.demand(bool(versions), "versions() is empty: name the packages that compute")


@rule
def check_weights_come_back(kit: Kit) -> None:
    """`weights` returns the weights that `build` was given, with the same names, axes and digits."""
    given, backend = generic_weights(NETWORK), kit.backend()
    returned = backend.weights(backend.build(NETWORK, given))
    kit.demand(set(returned) == set(given), f"names differ: {sorted(set(returned) ^ set(given))}")
    for name, tensor in given.items():
        found = returned[name]
        kit.demand(found.shape == tensor.shape, f"{name} has shape {found.shape}, but `build` was given {tensor.shape}")
        kit.demand(
            np.array_equal(found, tensor), f"{name} came back with other values: are its axes in samebench's order?"
        )


@rule
def check_weights_are_copies(kit: Kit) -> None:
    """The arrays that `weights` returns do not change when training continues."""
    backend = kit.backend()
    net = backend.build(NETWORK, generic_weights(NETWORK))
    before = backend.weights(net)
    kept = {name: tensor.copy() for name, tensor in before.items()}
    batches = Batches.shuffled(awkward_examples(NETWORK, 16), 8, 0, range(1))
    backend.trainer(net, SGD_1).run(batches, np.full(2, 0.1))
    for name, tensor in kept.items():
        kit.demand(np.array_equal(before[name], tensor), f"training changed {name} in an earlier result: return a copy")


@rule
def check_load(kit: Kit) -> None:
    """`load` replaces every tensor of a network, including statistics, also after prediction and training."""

    def observe(backend: AnyBackend) -> dict[str, Array]:
        batches = Batches.in_order(awkward_examples(NETWORK, 8), 4)
        net = backend.build(NETWORK, NETWORK.init(1))
        backend.forward(net, batches)
        backend.trainer(net, SGD_1).run(batches, np.full(2, 0.1))
        backend.load(net, generic_weights(NETWORK))
        return {"the logits after loading": backend.forward(net, batches), **backend.weights(net)}

    kit.agree(observe)


@rule
def check_two_networks(kit: Kit) -> None:
    """Two networks share nothing: the training of one does not change the other."""
    backend, given = kit.backend(), generic_weights(NETWORK)
    batches = Batches.in_order(awkward_examples(NETWORK, 8), 4)
    idle, busy = backend.build(NETWORK, given), backend.build(NETWORK, given)
    backend.trainer(busy, SGD_1).run(batches, np.full(2, 0.1))
    for name, tensor in backend.weights(idle).items():
        kit.demand(np.array_equal(tensor, given[name]), f"{name} of a network changed when another network was trained")


@rule
def check_rows(kit: Kit) -> None:
    """`forward` returns a row for each of `batches.rows` in their order, including the short last batch."""
    backend, examples = kit.backend(), awkward_examples(NETWORK, 9)
    net = backend.build(NETWORK, generic_weights(NETWORK))
    rows = np.array([7, 2, 2, 8, 0, 5, 1, 3, 6, 4])
    together = backend.forward(net, Batches(examples, rows, 4))
    alone = backend.forward(net, Batches(examples, np.arange(9), 9))
    off = np.abs(together - alone[rows]).max(1)
    kit.demand(
        off.max() < 1e-9,
        f"row {off.argmax()} (example {rows[off.argmax()]}) is off by {off.max():.1e}: are the rows in order?",
    )


@rule
def check_pixels(kit: Kit) -> None:
    """Integer pictures are divided by their `pixel_max`. Floating-point pictures are used unchanged."""
    levels = np.random.default_rng(0).integers(0, 17, (6, *NETWORK.input_shape))
    whole, real = examples_of(levels.astype(np.uint8), 16), examples_of((levels / 16).astype(np.float32), 16)

    def observe(backend: AnyBackend) -> dict[str, Array]:
        net = backend.build(NETWORK, generic_weights(NETWORK))
        return {
            "the logits of uint8 pictures with pixel_max 16": backend.forward(net, Batches.in_order(whole, 6)),
            "the logits of float32 pictures": backend.forward(net, Batches.in_order(real, 6)),
        }

    kit.agree(observe)


@rule
def check_features(kit: Kit) -> None:
    """`forward(upto="features")` returns the output of the trunk: pictures with channels last, or vectors."""

    def observe(backend: AnyBackend) -> dict[str, Array]:
        batches = Batches(awkward_examples(NETWORK, 5), np.arange(5), 3)
        return {
            "the features": backend.forward(backend.build(NETWORK, generic_weights(NETWORK)), batches, upto="features")
        }

    kit.agree(observe)


class CountingExamples(Examples):
    """Examples that count how often their pictures are read."""

    reads = 0

    def __getattribute__(self, name: str) -> object:
        if name == "images":
            CountingExamples.reads += 1
        return super().__getattribute__(name)


@rule
def check_uploads_once(kit: Kit) -> None:
    """Pictures are uploaded once, by `on_device`. New epochs, other networks and `forward` use them again.

    (This rule does not notice an `upload` that keeps the host's array and converts it at every step.)
    """
    plain = awkward_examples(NETWORK, 16)
    examples, backend, reads = CountingExamples(plain.images, plain.labels), kit.backend(), []
    CountingExamples.reads = 0
    for _ in range(2):
        net = backend.build(NETWORK, generic_weights(NETWORK))
        trainer = backend.trainer(net, SGD_1)
        for epoch in range(2):
            trainer.run(Batches.shuffled(examples, 8, 0, [epoch]), np.full(2, 0.1))
            reads.append(CountingExamples.reads)
        backend.forward(net, Batches.in_order(examples, 8))
        reads.append(CountingExamples.reads)
    kit.demand(reads[0] > 0, "the first epoch did not read the pictures at all")
    kit.demand(
        reads[-1] == reads[0],
        f"the first epoch read the pictures {reads[0]} times, and later ones {reads[-1] - reads[0]} times more: "
        "upload them once, with on_device",
    )


@rule
def check_device(kit: Kit) -> None:
    """A network's tensors are on the device that `start` returned."""
    backend = kit.backend()
    where = backend.device_of(backend.build(NETWORK, generic_weights(NETWORK)))
    kit.demand(where == backend.device, f"start() returned {backend.device!r}, but the tensors are on the {where}")


@rule
def check_unsupported_layer(kit: Kit) -> None:
    """For an unknown layer, `build` raises `Unsupported` with a reason."""

    class UnknownLayer(Layer):
        pass

    model, backend = network(UnknownLayer()), kit.backend()
    try:
        backend.build(model, generic_weights(model))
    except Unsupported as reason:
        kit.demand(bool(str(reason)), "Unsupported was raised without a reason")
    except Exception as error:
        kit.fail(f"build() raised {type(error).__name__}: {error}; it must raise Unsupported(reason)")
    else:
        kit.fail("build() made a network with an unknown layer; it must raise Unsupported(reason)")


@rule
def check_float64(kit: Kit) -> None:
    """In float64, the whole computation is float64. No constant, rate or statistic is rounded to float32."""
    kit.agree(
        partial(observe_network, model=network(Conv(3, 3, bias=False), BatchNorm(epsilon=1e-3), swish), loss="softmax")
    )
    backend = kit.backend()
    net = backend.build(NETWORK, generic_weights(NETWORK))
    outputs = backend.forward(net, Batches.in_order(awkward_examples(NETWORK, 4), 4))
    kit.demand(outputs.dtype == np.float64, f"logits came back as {outputs.dtype}")


@optional_rule
def check_float32(kit: Kit) -> None:
    """In float32, logits are float32 and within 1e-4 of the reference."""
    batches = Batches(awkward_examples(NETWORK, 12), np.arange(11), 4)
    backend = kit.backend("float32")
    outputs = backend.forward(backend.build(NETWORK, generic_weights(NETWORK)), batches)
    kit.demand(outputs.dtype == np.float32, f"logits came back as {outputs.dtype}")

    def observe(backend: AnyBackend) -> dict[str, Array]:
        return {"the logits": backend.forward(backend.build(NETWORK, generic_weights(NETWORK)), batches)}

    kit.agree(observe, "float32", LIMITS["float32"])


@optional_rule
def check_float32_products(kit: Kit) -> None:
    """In float32, convolutions and dense layers multiply with 24 binary digits, forward and backward: TF32 is off."""
    for what, product in _products(kit.backend("float32")).items():
        kit.demand(
            abs(product - FINE) < CLOSE,
            f"{what} multiplied 1 by 1 + 2^-12 and returned {product:.8f}, not {FINE:.8f}: it rounds its inputs. Switch TF32 off, "
            "or whatever multiplies with fewer digits",
        )


@optional_rule
def check_tf32_products(kit: Kit) -> None:
    """In tf32, convolutions and dense layers round their inputs to 11 binary digits: TF32 is on."""
    for what, product in _products(kit.backend("tf32")).items():
        kit.demand(
            abs(product - 1) < CLOSE,
            f"{what} multiplied 1 by 1 + 2^-12 and returned {product:.8f}, not 1: TF32 is not in use",
        )


FINE = 1 + 2.0**-12
"""A number that float32 holds exactly, and that TF32 and bfloat16 round to 1."""

CLOSE = 2.0**-15
"""Fast algorithms for convolutions round a little, but by less than this."""

CHANNELS = 32
IDENTITY = {
    "a convolution": Model("convolution", (16, 16, CHANNELS), (Conv(CHANNELS, 3, padding=1),), (Flatten(), Dense(2))),
    "a dense layer": Model("dense", (1, 1, 64), (Flatten(), Dense(64)), (Dense(2),)),
}
"""Networks whose layer multiplies each of its inputs by a number."""


def _products(backend: AnyBackend) -> dict[str, float]:
    """What the layers return for 1 times `FINE`, and the derivatives with respect to their inputs."""
    found = {}
    for what, model in IDENTITY.items():
        weights = {name: np.zeros(parameter.shape) for name, parameter in model.parameters.items()}
        kernels = [tensor for name, tensor in weights.items() if name.endswith("kernel")]
        center = kernels[0][1, 1] if kernels[0].ndim == 4 else kernels[0]
        np.fill_diagonal(center, FINE)
        kernels[1][0, 1] = 1.0  # the logit of class 1 is the first product
        net = backend.build(model, weights)
        ones = np.full((8, *model.input_shape), 255, np.uint8)
        examples = Examples(ones, np.ones(8, np.int32))
        found[what] = float(backend.forward(net, Batches.in_order(examples, 8), upto="features").reshape(-1)[0])
        pixels = np.ones((8, *model.input_shape), np.float32)
        gradient = backend.input_gradient(net, pixels, np.ones(8, np.int32), "logit")
        found[f"the backward pass of {what}"] = float(np.abs(gradient).max())
    return found
