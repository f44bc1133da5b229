"""The parity certificate: proof that a backend computes what the specification says.

In float64 a framework has no rounding to hide behind. The certificate runs a backend beside the NumPy reference,
from the same weights and on the same batches, through the code that is timed, and keeps the largest deviation it
finds in the logits, in every gradient tensor, in every step's loss and in every tensor at the end of a short
training. The same is then asked, less strictly, of the precision that is timed. `harness.probes` says how a deviation is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.backend import Backend, Precision
from harness.data import Batches, Examples
from harness.probes import GRADIENT_LR, LIMITS, awkward_examples, deviation, stirred
from harness.recipe import SGD, Recipe
from harness.reference.backend import Net, NumPy, NumPyTrainer
from harness.reference.layers import LAYERS, Applied, Apply, Context
from harness.spec import Array, Branches, Dropout, Layer, Model, Residual, Weights
from harness.task import Subject

LIMIT = LIMITS["float64"]
FIRST_LOSSES = 5
LARGE = 20e6
"""Networks of more operations a picture than this are certified over fewer steps: XLA on a CPU, and the reference,
take minutes for what float32 does in a second."""
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
    """The largest deviation of each kind, and where it was."""

    worst: dict[str, tuple[float, str]] = field(default_factory=dict)

    def compare(self, kind: str, where: str, actual: Array, reference: Array, scale: float | None = None) -> None:
        found = deviation(actual, reference, scale)
        if kind not in self.worst or not found <= self.worst[kind][0]:
            self.worst[kind] = (found, where)

    def value(self, *kinds: str) -> float | None:
        """The largest of several kinds; None where nothing of them was compared."""
        return max((self.worst[kind][0] for kind in kinds if kind in self.worst), default=None)

    def complaints(self, limit: float, label: str = "") -> Iterator[tuple[float, str]]:
        """Each kind above the limit: by what factor, and in words."""
        for kind, (found, where) in self.worst.items():
            if not found <= limit:
                yield found / limit, f"{label}{kind} of {where}: {found:.1e}, limit {limit:.0e}"


def certify(
    make: Make,
    subject: Subject,
    precision: Precision = "float32",
    steps: int | None = None,
    batch: int | None = None,
) -> Certificate:
    """Hold the backend that `make` makes against the reference; over 20 steps of 16 pictures, 5 of 4 for a large network.

    The timed precision comes first: making the float64 backend may switch the whole process over.
    """
    model, excludes = _without_dropout(subject.model)
    large = model.flops > LARGE
    steps, batch = steps or (FIRST_LOSSES if large else 20), batch or (4 if large else 16)
    trial = Trial(model, subject.recipe, steps, batch)
    timed, exact = Deviations(), Deviations()
    trial.compare_timed(make(precision), timed)
    trial.compare_exact(make("float64"), exact)
    limit = trial.timed_limit(precision)
    complaints = sorted([*exact.complaints(LIMIT), *timed.complaints(limit, f"in {precision}, ")])
    return Certificate(
        verdict=f"differs: {complaints[-1][1]}" if complaints else "equal",
        logits=exact.value("logits"),
        gradients=exact.value("gradients"),
        input_gradients=exact.value("input gradients"),
        trajectory=exact.value("losses", "weights", "statistics"),
        steps=steps,
        timed={"logits": timed.value("logits"), "losses": timed.value("losses"), "limit": limit},
        excludes=excludes + trial.excludes,
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
        self.weights = stirred(model)
        self.excludes: list[str] = []
        self.examples = self._settled(awkward_examples(model, 4 * batch), 3 * batch)
        self.evaluation = Batches(self.examples, np.arange(2 * batch + 1), batch)  # the last batch is short
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
        self.logits = reference.forward(net, self.evaluation)
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
        found.compare("logits", self.model.name, backend.forward(net, self.evaluation), self.logits)
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

        for record in (True, False):
            found_losses = self._train(backend, net, record)
            expected = self.losses if record else np.array([self.losses[:1].mean(), self.losses[1:].mean()])
            found.compare("losses", f"{self.model.name}, record={record}", found_losses, expected)
            self._compare_tensors(found, "weights", backend.weights(net), self.final)

    def compare_timed(self, backend: AnyBackend, found: Deviations) -> None:
        """Logits and first losses, in the precision that is timed."""
        net = backend.build(self.model, self.weights)
        found.compare("logits", self.model.name, backend.forward(net, self.evaluation), self.logits)
        first, lr = self.training[:FIRST_LOSSES], self.lr[:FIRST_LOSSES]
        for record in (True, False):
            backend.load(net, self.weights)
            losses = backend.trainer(net, self.recipe).run(first, lr, record=record)
            expected = self.losses[:FIRST_LOSSES] if record else self.losses[:FIRST_LOSSES].mean(keepdims=True)
            found.compare("losses", f"{self.model.name}, record={record}", losses, expected)

    def _train(self, backend: AnyBackend, net: Any, record: bool) -> Array:
        """Train as a task does, a first step and then the rest; the losses of both segments."""
        backend.load(net, self.weights)
        trainer = backend.trainer(net, self.recipe)
        parts = (slice(0, 1), slice(1, len(self.training)))
        return np.concatenate([trainer.run(self.training[part], self.lr[part], record=record) for part in parts])

    def _compare_tensors(self, found: Deviations, kind: str, actual: Weights, expected: Weights) -> None:
        largest = _largest(self.final)
        for name, tensor in expected.items():
            found.compare(kind, name, actual[name], tensor, largest)


def rounding_reference() -> NumPy:
    """The float64 reference with one more rounding error in every value that has been rounded at all.

    Values that are exact, such as sums of a few short fractions, stay exact, and ties between them stay ties.
    """
    size, random = 2.0**-52, np.random.default_rng(0)

    def rounding(apply: Apply) -> Apply:
        def rounded(layer: Layer, context: Context, *inputs: Array) -> Applied:
            done = apply(layer, context, *inputs)
            mantissa, _ = np.frexp(done.output)
            exact = mantissa * 2.0**-8 / size % 1 == 0  # eight digits fewer than there is room for
            error = np.where(exact, 0.0, size * random.uniform(-1, 1, done.output.shape))
            return done._replace(output=done.output * (1 + error))

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


def _largest(tensors: Weights) -> float:
    return float(max((np.abs(tensor).max() for tensor in tensors.values()), default=0.0))


def _without_dropout(model: Model) -> tuple[Model, list[str]]:
    """The model with drop-out at rate 0, and what that leaves unproven: masks differ by framework."""

    def still(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        return tuple(map(still_one, layers))

    def still_one(layer: Layer) -> Layer:
        match layer:
            case Dropout():
                return replace(layer, rate=0.0)
            case Residual():
                return replace(layer, body=still(layer.body), shortcut=still(layer.shortcut))
            case Branches():
                return replace(layer, paths=tuple(map(still, layer.paths)))
        return layer

    quiet = replace(model, trunk=still(model.trunk), head=still(model.head))
    return quiet, [] if quiet == model else ["dropout masks"]
