"""Rules about bfloat16: convolutions and dense layers multiply in bfloat16; everything else stays in float32."""

from __future__ import annotations

import numpy as np

from harness.conformance.kit import AnyBackend, Kit, network, optional_rule
from harness.data import Batches, Examples
from harness.parity.probes import LIMITS, awkward_examples, generic_weights
from harness.recipe import SGD, Recipe
from harness.spec import Array, BatchNorm, Conv, Dense, Flatten, Model, Upto

MULTIPLYING: dict[str, tuple[Model, Upto]] = {
    "a convolution": (network(Conv(4, 3, padding=1)), "features"),
    "a convolution of each channel": (network(Conv(2, 3, groups=2)), "features"),
    "a dense layer": (network(Flatten(), flat=True), "logits"),
}
NORMED = network(BatchNorm())
LEARNING = network(Conv(4, 3))
JUDGED = Model("loss", (2, 2, 1), (Flatten(),), (Dense(3),))

NOT_ROUNDED = 1e-4
"""Products in bfloat16, which has 8 binary digits, deviate from the reference by more than this."""

OF_A_CHANGE = 0.1
"""The limit for changes of weights, whose gradients contain products in bfloat16. Changes that are lost, or rounded to
bfloat16, deviate by far more."""


@optional_rule
def check_bfloat16(kit: Kit) -> None:
    """With bfloat16, convolutions and dense layers multiply in bfloat16 and return float32, within 3e-2."""

    def observe(backend: AnyBackend) -> dict[str, Array]:
        found = {}
        for what, (model, upto) in MULTIPLYING.items():
            batches = Batches.in_order(awkward_examples(model, 8), 8)
            found[what] = backend.forward(backend.build(model, model.init(0)), batches, upto=upto)
            if backend.precision == "bfloat16":
                kit.demand(found[what].dtype == np.float32, f"the results of {what} came back as {found[what].dtype}")
        return found

    off = kit.agree(observe, "bfloat16", LIMITS["bfloat16"])
    for what, deviation in off.items():
        kit.demand(
            deviation > NOT_ROUNDED,
            f"{what} deviates from the reference by only {deviation:.1e}: it multiplies in float32, not in bfloat16",
        )


@optional_rule
def check_bfloat16_training(kit: Kit) -> None:
    """With bfloat16, weights, the optimiser's state, batch norm and the loss stay in float32. Small steps are kept."""
    given, backend = LEARNING.init(0), kit.backend("bfloat16")
    for name, tensor in backend.weights(backend.build(LEARNING, given)).items():
        kit.demand(tensor.dtype == np.float32, f"{name} came back as {tensor.dtype}, not as float32")
        kit.demand(np.array_equal(tensor, given[name]), f"{name} came back with other digits: keep weights in float32")
    kit.agree(_observe_float32_parts, "bfloat16", LIMITS["float32"])
    kit.agree(_observe_small_steps, "bfloat16", OF_A_CHANGE)


def _observe_float32_parts(backend: AnyBackend) -> dict[str, Array]:
    """A batch norm of pixels, and the loss of logits that bfloat16 holds exactly. No earlier product is rounded."""
    batches = Batches.in_order(awkward_examples(NORMED, 8), 8)
    net = backend.build(NORMED, generic_weights(NORMED))
    found = {"the output of a batch norm": backend.forward(net, batches, upto="features")}
    backend.trainer(net, Recipe(SGD(lr=0.0))).run(batches, np.zeros(1))
    weights = backend.weights(net)
    found |= {f"{name} after one step": weights[name] for name in weights if name.endswith(("mean", "variance"))}
    random, shapes = np.random.default_rng(0), JUDGED.parameters
    levels = random.integers(0, 5, (8, *JUDGED.input_shape)).astype(np.uint8)  # sums of products of quarters
    exact = {name: random.integers(-8, 9, shapes[name].shape).astype(np.float32) / 4 for name in shapes}
    examples = Examples(levels, (np.arange(8) % 3).astype(np.int32), pixel_max=4)
    trainer = backend.trainer(backend.build(JUDGED, exact), Recipe(SGD(lr=0.0)))
    return found | {"the loss": trainer.run(Batches.in_order(examples, 8), np.zeros(1), record=True)}


def _observe_small_steps(backend: AnyBackend) -> dict[str, Array]:
    """The changes of kernels after steps that are too small for bfloat16."""
    given, batches = LEARNING.init(0), Batches.shuffled(awkward_examples(LEARNING, 16), 8, 0, range(2))
    net = backend.build(LEARNING, given)
    backend.trainer(net, Recipe(SGD(lr=1e-4, momentum=0.9))).run(batches, np.full(len(batches), 1e-4))
    after = backend.weights(net)
    kernels = [name for name in given if name.endswith("kernel")]
    return {f"the change of {name}": after[name].astype(np.float64) - given[name] for name in kernels}
