"""A certificate's training: a few steps of a recipe, on a backend and on the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from harness.backend import Precision
from harness.data import Batches
from harness.parity.deviations import Deviations
from harness.parity.noise import rounding_reference, single_precision_reference
from harness.parity.probes import GRADIENT_LR, LIMITS, deviation
from harness.parity.trial import EXACT_LIMIT, AnyBackend, Trial
from harness.recipe import SGD, Recipe
from harness.reference.backend import NumPy
from harness.spec import Array, Model, Weights

FIRST_LOSSES = 5
NOISY = 3
"""The number of runs of the reference with other rounding errors."""


class TrainingTrial(Trial):
    """A trial of a recipe on a network, over a number of steps."""

    def __init__(self, model: Model, recipe: Recipe, steps: int, batch: int, seed: int = 0) -> None:
        super().__init__(model, recipe.loss, batch, seed)
        self.recipe, self.steps = recipe, steps
        self.frozen = [name for name in model.parameters if not recipe.rate(name)]
        epochs = range(-(-steps // 3))
        self.training = Batches.shuffled(self.examples, batch, seed=0, epochs=epochs)[:steps]
        self.lr = recipe.learning_rates(steps)
        self._run_reference()

    def _run_reference(self) -> None:
        reference = NumPy(precision="float64")
        self.gradients, self.statistics = self._first_gradients(reference)
        self._leave_out(self.gradients, "gradient of ", lambda noisy: self._first_gradients(noisy)[0])
        self.losses, self.final = self._train_reference(reference, self.training, self.lr)
        self._leave_out(self.final, "", lambda noisy: self._train_reference(noisy, self.training, self.lr)[1])

    def _leave_out(self, tensors: dict[str, Array], what: str, again: Callable[[NumPy], Weights]) -> None:
        """Exclude the tensors that change in any run with other rounding errors."""
        largest = _largest(tensors)
        for seed in range(NOISY):
            noisy = again(rounding_reference(seed=seed))
            for name in [
                name for name in tensors if deviation(noisy[name], tensors[name], largest) > EXACT_LIMIT / 100
            ]:
                self.excludes.append(f"{what}{name} (rounding decides it)")
                del tensors[name]

    def _first_gradients(self, reference: NumPy) -> tuple[dict[str, Array], dict[str, Array]]:
        """The gradients of the first batch, and the statistics after it."""
        net = reference.build(self.model, self.weights)
        trainer = reference.trainer(net, replace(self.recipe, optimizer=SGD(lr=1)))
        trainer.run(self.training[:1], np.zeros(1))
        statistics = {name: value for name, value in net.weights.items() if not self.model.parameters[name].trainable}
        return dict(trainer.gradients), statistics

    def _train_reference(self, reference: NumPy, batches: Batches, lr: Array) -> tuple[Array, dict[str, Array]]:
        net = reference.build(self.model, self.weights)
        losses = reference.trainer(net, self.recipe).run(batches, lr, record=True)
        return losses, reference.weights(net)

    def timed_limit(self, precision: Precision) -> float:
        """The limit of the losses. In float32, references in float32 show the effect of rounding: they train on the
        same batches, with the pictures of each batch in another order."""
        limit = LIMITS[precision]
        if precision != "float32":
            return limit
        expected, lr = self.losses[:FIRST_LOSSES], self.lr[:FIRST_LOSSES]
        moved = []
        for seed in range(3):
            orders = np.random.default_rng(seed).permuted(self.training[:FIRST_LOSSES].order, axis=1)
            batches = Batches(self.examples, orders.ravel(), self.training.batch_size)
            moved.append(deviation(self._train_reference(single_precision_reference(), batches, lr)[0], expected))
        return max(limit, 3 * max(moved))

    def compare_exact(self, backend: AnyBackend, found: Deviations) -> None:
        net = backend.build(self.model, self.weights)
        with self._frozen(backend, net, found):
            self._compare_outputs(backend, net, found)
            self._compare_input_gradient(backend, net, found)
            trainer = backend.trainer(net, replace(self.recipe, optimizer=SGD(lr=1)))
            trainer.run(self.training[:1], np.full(1, GRADIENT_LR))
        after = backend.weights(net)
        largest = _largest(self.gradients)
        for name, expected in self.gradients.items():
            moved = self.weights[name].astype(np.float64) - after[name]
            found.compare("gradients", name, moved / (GRADIENT_LR * self.recipe.rate(name)), expected, largest)
        self._compare_tensors(found, "statistics", after, self.statistics)

        backend.load(net, self.weights)
        self._compare_training(backend, net, found)
        self._compare_tensors(found, "weights", backend.weights(net), self.final)

    def compare_timed(self, backend: AnyBackend, found: Deviations) -> None:
        net = backend.build(self.model, self.weights)
        with self._frozen(backend, net, found):
            self._compare_outputs(backend, net, found)
        backend.load(net, self.weights)
        self._compare_training(backend, net, found, FIRST_LOSSES)

    def _compare_training(self, backend: AnyBackend, net: Any, found: Deviations, steps: int | None = None) -> None:
        """Compare the losses of a training like that of a task: first a recorded step, then more recorded steps, then
        steps without recording, as they are timed. Later comparisons see the effect of both kinds on the network."""
        batches, lr, losses = self.training[:steps], self.lr[:steps], self.losses[:steps]
        middle = (len(lr) + 1) // 2
        with self._frozen(backend, net, found):
            trainer = backend.trainer(net, self.recipe)
            for part, record in ((slice(0, 1), True), (slice(1, middle), True), (slice(middle, len(lr)), False)):
                expected = losses[part] if record else losses[part].mean(keepdims=True)
                actual = trainer.run(batches[part], lr[part], record=record)
                found.compare("losses", f"{self.model.name}, record={record}", actual, expected)

    @contextmanager
    def _frozen(self, backend: AnyBackend, net: Any, found: Deviations) -> Iterator[None]:
        """Check that the frozen tensors do not change within this context."""
        before = backend.weights(net) if self.frozen else {}
        yield
        after = backend.weights(net) if self.frozen else {}
        for name in self.frozen:
            found.hold(name, after[name], before[name])

    def _compare_tensors(self, found: Deviations, kind: str, actual: Weights, expected: Weights) -> None:
        largest = _largest(self.final)
        for name, tensor in expected.items():
            found.compare(kind, name, actual[name], tensor, largest)


def _largest(tensors: Weights) -> float:
    return float(max((np.abs(tensor).max() for tensor in tensors.values()), default=0.0))
