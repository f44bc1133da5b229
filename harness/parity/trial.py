"""The common part of all trials: a network, pictures, and the results of the reference."""

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
    """A comparison of backends with the reference on a network.

    Rounding, not the specification, decides some results. For example, a pool chooses between two values that are equal
    except for rounding errors of earlier layers. Or Adam moves a bias before a batch norm by full steps, although its
    exact gradient is zero. The certificate excludes such pictures and tensors, and lists them.
    """

    steps: int
    """The number of steps of the training or of the attacks."""

    def __init__(self, model: Model, loss: LossName, batch: int, seed: int = 0) -> None:
        """`seed` is the seed of the weights and the pictures."""
        self.model, self.loss, self.batch = model, loss, batch
        self.pictures = awkward_examples(model, 4 * batch, seed)
        self.weights: Weights = with_statistics(model, generic_weights(model, seed), self.pictures)
        features = model.end("features") not in (Model.INPUT, model.end())
        self.outputs: tuple[Upto, ...] = ("features", "logits") if features else ("logits",)
        self.excludes: list[str] = []
        self.too_little: str | None = None
        """The reason why equal results would prove too little; None if they prove enough."""

        self.examples = self._settled(self.pictures, 3 * batch)
        self.evaluation = Batches(self.examples, np.arange(2 * batch + 1), 2 * batch)  # the last batch is short
        reference = NumPy(precision="float64")
        net = reference.build(model, self.weights)
        self.expected = {upto: reference.forward(net, self.evaluation, upto=upto) for upto in self.outputs}
        self.input_gradient = reference.input_gradient(net, *self._first(4), loss)

    @abstractmethod
    def compare_exact(self, backend: AnyBackend, found: Deviations) -> None:
        """Compare everything, in float64."""

    @abstractmethod
    def compare_timed(self, backend: AnyBackend, found: Deviations) -> None:
        """Compare the results that have a limit in the timed precision."""

    def timed_limit(self, precision: Precision) -> float:
        """The limit for this precision. It is larger if rounding moves even the reference by more."""
        return LIMITS[precision]

    def _first(self, count: int) -> tuple[Array, Array]:
        """The pixels and labels of the first pictures."""
        return self.examples.pixels(self.examples.images[:count]), self.examples.labels[:count]

    def _settled(self, examples: Examples, count: int) -> Examples:
        """`count` pictures for which rounding decides nothing. If there are too few, they are repeated."""
        settled = self._off_by_rounding(examples) <= EXACT_LIMIT / 100
        if not settled.any():  # then the comparison decides
            return examples.take(np.arange(count))
        if not settled.all():
            excluded = f"{(~settled).sum()} of {len(settled)} pictures"
            self.excludes.append(f"{excluded} (rounding decides their gradient)")
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
