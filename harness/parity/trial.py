"""What every certificate begins with: a network, pictures to hold it to, and what the reference makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from harness.backend import Backend, Precision
from harness.data import Batches, Examples
from harness.parity.deviations import Deviations
from harness.parity.probes import LIMITS, awkward_examples, generic_weights
from harness.parity.rounding import RunningErrors
from harness.parity.standin import with_statistics
from harness.recipe import LossName
from harness.reference.backend import NumPy
from harness.spec import Array, Model, Upto, Weights

EXACT_LIMIT = LIMITS["float64"]
AnyBackend = Backend[Any]


class Trial(ABC):
    """One network, and the results of the reference.

    Rounding decides some results, and no specification does: which of two equal values a pool takes, once the layers
    before it have rounded; or the bias before a batch norm, whose gradient is zero, but which Adam moves by full
    steps. Pictures and tensors of that kind are left out, and named.
    """

    steps: int
    """How long whatever is tried goes on."""

    def __init__(self, model: Model, loss: LossName, batch: int, seed: int = 0) -> None:
        """`seed` draws the weights and the pictures."""
        self.model, self.loss, self.batch = model, loss, batch
        self.pictures = awkward_examples(model, 4 * batch, seed)
        self.weights: Weights = with_statistics(model, generic_weights(model, seed), self.pictures)
        features = model.end("features") not in (Model.INPUT, model.end())
        self.outputs: tuple[Upto, ...] = ("features", "logits") if features else ("logits",)
        self.excludes: list[str] = []
        self.too_little: str | None = None
        """Why equal results prove too little; None where they do not."""

        self.examples = self._settled(self.pictures, 3 * batch)
        self.evaluation = Batches(self.examples, np.arange(2 * batch + 1), 2 * batch)  # the last batch is short
        reference = NumPy(precision="float64")
        net = reference.build(model, self.weights)
        self.expected = {upto: reference.forward(net, self.evaluation, upto=upto) for upto in self.outputs}
        self.input_gradient = reference.input_gradient(net, *self._first(4), loss)

    @abstractmethod
    def compare_exact(self, backend: AnyBackend, found: Deviations) -> None:
        """Everything there is, in float64."""

    @abstractmethod
    def compare_timed(self, backend: AnyBackend, found: Deviations) -> None:
        """What can be held to a limit in the precision that is timed."""

    def timed_limit(self, precision: Precision) -> float:
        """The limit for that precision; wider where its rounding moves the reference itself further."""
        return LIMITS[precision]

    def _first(self, count: int) -> tuple[Array, Array]:
        """Some of the pictures as pixels, and their labels."""
        return self.examples.pixels(self.examples.images[:count]), self.examples.labels[:count]

    def _settled(self, examples: Examples, count: int) -> Examples:
        """`count` pictures on which rounding decides nothing, some of them repeated where they are few."""
        settled = self._off_by_rounding(examples) <= EXACT_LIMIT / 100
        if not settled.any():  # let the comparison speak
            return examples.take(np.arange(count))
        if not settled.all():
            told = f"{(~settled).sum()} of {len(settled)} pictures"
            self.excludes.append(f"{told} (rounding decides their gradient)")
        return examples.take(np.resize(np.flatnonzero(settled), count))

    def _off_by_rounding(self, examples: Examples) -> Array:
        """The estimated rounding error of each picture's input gradient, relative to the gradient's largest value."""
        net = NumPy(precision="float64").build(self.model, self.weights)
        pixels = examples.pixels(examples.images)
        values, errors = RunningErrors(net).input_gradient(pixels, examples.labels, self.loss)
        largest = np.abs(values).max((1, 2, 3))
        off: Array = np.divide(errors.max((1, 2, 3)), largest, out=np.zeros(len(pixels)), where=largest > 0)
        return off

    def _compare_outputs(self, backend: AnyBackend, net: Any, found: Deviations) -> None:
        for upto, expected in self.expected.items():
            found.compare(upto, self.model.name, backend.forward(net, self.evaluation, upto=upto), expected)

    def _compare_input_gradient(self, backend: AnyBackend, net: Any, found: Deviations) -> None:
        gradient = backend.input_gradient(net, *self._first(4), self.loss)
        found.compare("input gradients", self.model.name, gradient, self.input_gradient)
