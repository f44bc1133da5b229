"""The parity certificate: proof that a backend computes what the specification says.

In float64 a framework has no rounding to hide behind. The certificate runs a backend beside the NumPy reference,
from the same weights and on the same batches, through the code that is timed, and keeps the largest deviation it
finds in the features and logits, in every gradient tensor, in every step's loss and in every tensor at the end of a short
training. What the recipe freezes may not move at all. The same is then asked, less strictly, of the precision that is
timed. `harness.probes` says how a deviation is measured, `harness.standin` which network is certified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.backend import Backend, Precision
from harness.data import Batches, Examples
from harness.probes import GRADIENT_LR, LIMITS, awkward_examples, deviation, stirred
from harness.recipe import SGD, Recipe
from harness.reference.backend import NumPy
from harness.rounding import rounding_reference, single_precision_reference
from harness.spec import Array, Model, Upto, Weights
from harness.standin import LARGE, learning_norms, smaller, with_statistics, without_dropout
from harness.task import Subject

LIMIT = LIMITS["float64"]
FIRST_LOSSES = 5
AnyBackend = Backend[Any]
Make = Callable[[Precision], AnyBackend]


@dataclass
class Certificate:
    """What was found. `verdict` is "equal", or "differs: " and where, by how much, and the limit."""

    verdict: str
    logits: float | None
    gradients: float | None
    input_gradients: float | None
    trajectory: float | None
    steps: int
    timed: dict[str, float | None]
    excludes: list[str]
    attack: float | None = None


@dataclass
class Deviations:
    """The largest deviation of each kind, and where it was; and by how much each frozen tensor moved that did."""

    worst: dict[str, tuple[float, str]] = field(default_factory=dict)
    thawed: dict[str, float] = field(default_factory=dict)

    def compare(self, kind: str, where: str, actual: Array, reference: Array, scale: float | None = None) -> None:
        found = deviation(actual, reference, scale)
        if kind not in self.worst or not found <= self.worst[kind][0]:
            self.worst[kind] = (found, where)

    def hold(self, name: str, after: Array, before: Array) -> None:
        """A frozen tensor must be what it was, to the last digit."""
        if not np.array_equal(after, before):
            moved = np.abs(after.astype(np.float64) - before).max() if after.shape == before.shape else float("inf")
            self.thawed[name] = max(float(moved), self.thawed.get(name, 0.0))

    def value(self, *kinds: str) -> float | None:
        """The largest of several kinds; None where nothing of them was compared."""
        return max((self.worst[kind][0] for kind in kinds if kind in self.worst), default=None)

    def complaints(self, limit: float, label: str = "") -> Iterator[tuple[float, str]]:
        """Each kind above the limit, and each frozen tensor that moved: by what factor, and in words."""
        for kind, (found, where) in self.worst.items():
            if not found <= limit:
                yield found / limit, f"{label}{kind} of {where}: {found:.1e}, limit {limit:.0e}"
        for name, moved in self.thawed.items():
            yield float("inf"), f"{label}frozen {name} changed by {moved:.1e}"


def certify(
    make: Make,
    subject: Subject,
    precision: Precision = "float32",
    steps: int | None = None,
    batch: int | None = None,
) -> Certificate:
    """Hold the backend that `make` makes against the reference: over 20 steps of 16 pictures; a large network over 5
    steps of 4, or of 2 where pictures do not meet in a batch norm.

    The timed precision comes first: making the float64 backend may switch the whole process over.
    """
    recipe, large = subject.recipe, subject.model.flops > LARGE
    quiet, masks = without_dropout(subject.model)
    model, size = smaller(quiet, recipe)
    steps = steps or (FIRST_LOSSES if large else 20)
    batch = batch or (16 if not large else 4 if learning_norms(model, recipe) else 2)
    trial = Trial(model, recipe, steps, batch)
    timed, exact = Deviations(), Deviations()
    trial.compare_timed(make(precision), timed)
    trial.compare_exact(make("float64"), exact)
    limit = LIMITS[precision]
    if any(timed.complaints(limit)):  # only then is it worth asking how far rounding goes
        limit = trial.timed_limit(precision)
    complaints = sorted([*exact.complaints(LIMIT), *timed.complaints(limit, f"in {precision}, ")])
    return Certificate(
        verdict=f"differs: {complaints[-1][1]}" if complaints else "equal",
        logits=exact.value("features", "logits"),
        gradients=exact.value("gradients"),
        input_gradients=exact.value("input gradients"),
        trajectory=exact.value("losses", "weights", "statistics"),
        steps=steps,
        timed={"logits": timed.value("features", "logits"), "losses": timed.value("losses"), "limit": limit},
        excludes=masks + size + trial.excludes,
    )


class Trial:
    """One network, one recipe, and what the reference says of them.

    Some of it no recipe decides but rounding: which of two equal values a pool takes, once the layers before it have
    rounded; the bias before a batch norm, whose gradient is zero, but which Adam moves by steps of full size. So the
    reference is run a second time with rounding errors of its own: pictures and tensors on which it disagrees with
    itself are left out, and named.
    """

    def __init__(self, model: Model, recipe: Recipe, steps: int, batch: int) -> None:
        self.model, self.recipe = model, recipe
        pictures = awkward_examples(model, 4 * batch)
        self.weights = with_statistics(model, stirred(model), pictures)
        self.frozen = [name for name in model.parameters if not recipe.rate(name)]
        features = model.end("features") not in (Model.INPUT, model.end())
        self.outputs: tuple[Upto, ...] = ("features", "logits") if features else ("logits",)
        self.excludes: list[str] = []
        self.examples = self._settled(pictures, 3 * batch)
        self.evaluation = Batches(self.examples, np.arange(2 * batch + 1), 2 * batch)  # the last batch is short
        epochs = range(-(-steps // 3))
        self.training = Batches.shuffled(self.examples, batch, seed=0, epochs=epochs)[:steps]
        self.lr = recipe.learning_rates(steps)
        self._run_reference()

    def _settled(self, examples: Examples, count: int) -> Examples:
        """`count` pictures whose input gradient does not hang on rounding, some of them repeated where they are few."""
        pixels, labels = examples.pixels(examples.images), examples.labels
        plain, noisy = (
            reference.input_gradient(reference.build(self.model, self.weights), pixels, labels, self.recipe.loss)
            for reference in (NumPy(precision="float64"), rounding_reference())
        )
        off = np.array([deviation(b, a) for a, b in zip(plain, noisy, strict=True)])
        settled = off <= LIMIT / 100
        if not settled.any():  # let the comparison speak
            return examples.take(np.arange(count))
        if not settled.all():
            told = f"{(~settled).sum()} of {len(settled)} pictures"
            self.excludes.append(f"{told} (rounding decides which of equals a pool takes)")
        return examples.take(np.resize(np.flatnonzero(settled), count))

    def _run_reference(self) -> None:
        reference = NumPy(precision="float64")
        net = reference.build(self.model, self.weights)
        self.expected = {upto: reference.forward(net, self.evaluation, upto=upto) for upto in self.outputs}
        self.pixels = self.examples.pixels(self.examples.images[:4])
        self.labels = self.examples.labels[:4]
        self.input_gradient = reference.input_gradient(net, self.pixels, self.labels, self.recipe.loss)
        self.gradients, self.statistics = self._first_gradients(reference)
        noisy, _ = self._first_gradients(rounding_reference())
        self._leave_out(self.gradients, noisy, "gradient of ")
        self.losses, self.final = self._train_reference(reference, self.training, self.lr)
        _, noisy = self._train_reference(rounding_reference(), self.training, self.lr)
        self._leave_out(self.final, noisy, "")

    def _leave_out(self, tensors: dict[str, Array], noisy: Weights, what: str) -> None:
        largest = _largest(tensors)
        for name in [name for name in tensors if deviation(noisy[name], tensors[name], largest) > LIMIT / 100]:
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
        """The limit for the timed precision; wider where float32's rounding moves the reference itself further.

        It is run in float32 with the pictures of each batch in several orders, which changes nothing but rounding.
        """
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
        """Everything there is, in float64."""
        net = backend.build(self.model, self.weights)
        with self._frozen(backend, net, found):
            self._compare_outputs(backend, net, found)
            gradient = backend.input_gradient(net, self.pixels, self.labels, self.recipe.loss)
            found.compare("input gradients", self.model.name, gradient, self.input_gradient)
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
        """Features, logits and first losses, in the precision that is timed."""
        net = backend.build(self.model, self.weights)
        with self._frozen(backend, net, found):
            self._compare_outputs(backend, net, found)
        backend.load(net, self.weights)
        self._compare_training(backend, net, found, FIRST_LOSSES)

    def _compare_outputs(self, backend: AnyBackend, net: Any, found: Deviations) -> None:
        for upto, expected in self.expected.items():
            found.compare(upto, self.model.name, backend.forward(net, self.evaluation, upto=upto), expected)

    def _compare_training(self, backend: AnyBackend, net: Any, found: Deviations, steps: int | None = None) -> None:
        """The losses of a training such as tasks do: a first step, then others that are recorded too, then the timed
        ones, which are not. What either way does to the network stays in it until the end."""
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
        """Whatever is done in here may not move what is frozen."""
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
