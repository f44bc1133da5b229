"""References with other rounding errors. Their arithmetic is the same.

Where these references disagree, rounding decides, and no backend is judged.
"""

from __future__ import annotations

import numpy as np

from harness.data import Examples
from harness.parity.rounding import DOUBLE, own_errors
from harness.reference.backend import Net, NumPy, NumPyTrainer
from harness.reference.layers import LAYERS, Applied, Apply, Context, Gradients
from harness.spec import Array, Layer, Weights


def rounding_reference(unit: float = DOUBLE, seed: int = 0) -> NumPy:
    """The float64 reference with random errors in every output and every gradient.

    The errors are like those of sums in another order: at most the unit times the sum of the magnitudes of the terms.
    """
    random = np.random.default_rng(seed)

    def noisy_values(values: Array, sizes: Array) -> Array:
        noisy: Array = values + sizes * random.uniform(-1, 1, values.shape)
        return noisy

    def rounding(apply: Apply) -> Apply:
        def rounded(layer: Layer, context: Context, *inputs: Array) -> Applied:
            done = apply(layer, context, *inputs)
            own = own_errors(layer, context, inputs, done, unit, exact=inputs)

            def backward(gradient: Array) -> tuple[tuple[Array, ...], Gradients]:
                flowing, gradients = done.backward(gradient)
                sizes, own_sizes = own.backward(gradient, gradient, [0.0] * len(inputs))
                flowing = tuple(map(noisy_values, flowing, sizes))
                return flowing, {name: noisy_values(value, own_sizes[name]) for name, value in gradients.items()}

            return done._replace(output=noisy_values(done.output, own.output), backward=backward)

        return rounded

    network = type("RoundingNet", (Net,), {"layers": {kind: rounding(apply) for kind, apply in LAYERS.items()}})
    backend: NumPy = type("RoundingNumPy", (NumPy,), {"network": network})(precision="float64")
    return backend


def single_precision_reference() -> NumPy:
    """The reference in float32."""

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
