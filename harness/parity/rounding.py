"""References that round otherwise: how far rounding alone can move a result.

Whatever they do not agree on with the reference, no recipe decides, and no backend can be held to it.
"""

from __future__ import annotations

import numpy as np

from harness.data import Examples
from harness.reference.backend import Net, NumPy, NumPyTrainer
from harness.reference.layers import LAYERS, Applied, Apply, Context, Gradients
from harness.spec import Array, Layer, Weights

DOUBLE, SINGLE = 2.0**-52, 2.0**-23
"""The rounding errors of float64 and float32, in shares of a value."""


def rounding_reference(size: float = DOUBLE, seed: int = 0, back: bool = False) -> NumPy:
    """The float64 reference with one more rounding error of this size in every value that has been rounded at all; with
    `back`, also in every gradient of a layer's input.

    Values that are exact, such as sums of a few short fractions, stay exact, and ties between them stay ties.
    """
    random = np.random.default_rng(seed)

    def off(values: Array) -> Array:
        mantissa, _ = np.frexp(values)
        exact = mantissa * 2.0**-8 / size % 1 == 0  # eight digits fewer than there is room for
        rounded: Array = values * (1 + np.where(exact, 0.0, size * random.uniform(-1, 1, values.shape)))
        return rounded

    def rounding(apply: Apply) -> Apply:
        def rounded(layer: Layer, context: Context, *inputs: Array) -> Applied:
            done = apply(layer, context, *inputs)

            def backward(gradient: Array) -> tuple[tuple[Array, ...], Gradients]:
                flowing, own = done.backward(gradient)
                return tuple(map(off, flowing)), own

            return done._replace(output=off(done.output), backward=backward if back else done.backward)

        return rounded

    network = type("RoundingNet", (Net,), {"layers": {kind: rounding(apply) for kind, apply in LAYERS.items()}})
    backend: NumPy = type("RoundingNumPy", (NumPy,), {"network": network})(precision="float64")
    return backend


def single_precision_reference() -> NumPy:
    """The reference in float32, rounded wherever a framework would round."""

    class SingleNet(Net):
        def load(self, weights: Weights) -> None:
            super().load(weights)
            self.round()

        def round(self) -> None:
            self.weights = {name: tensor.astype(np.float32) for name, tensor in self.weights.items()}

    class SingleTrainer(NumPyTrainer):
        net: SingleNet

        def step(self, pixels: Array, labels: Array, lr: float) -> float:
            loss = super().step(pixels, labels, lr)
            self.net.round()
            return loss

    class SingleNumPy(NumPy):
        network, training = SingleNet, SingleTrainer

        def upload(self, examples: Examples) -> tuple[Array, Array]:
            return examples.pixels(examples.images, np.float32), examples.labels

    return SingleNumPy(precision="float64")
