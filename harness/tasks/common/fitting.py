"""A training as every task does it: its first steps are evidence, the others are timed, and in between one looks how
well the network does."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from harness.data import Batches, Examples
from harness.errors import renamed_method
from harness.metric import Metric
from harness.pictures.augmentation import Ahead, Augmentation, augmented
from harness.recipe import Recipe
from harness.reference.losses import mean_loss
from harness.spec import Array, BatchNorm, Conv, Dense, Flatten, Model, fingerprint
from harness.task import TaskContext
from harness.tasks.common.evaluation import Evaluation, Point, evaluate, overfitting_gap

SEGMENTS = 5
"""A training is timed in this many segments or more: enough to see a spread."""

SEGMENT_STEPS = 100
"""Steps that a segment has at least, where epochs are short, so that what a framework does once for each call does not
count."""

RECORDED, UNRECORDED = 4, 16
"""Steps after the first that no rate counts: some frameworks are at full speed only after a few calls. Their losses
are evidence that all backends began alike: one by one, and then as the timed path gives them, before rounding has led
the backends too far apart."""

NONE = Augmentation()
AT_ONCE, VALUES = 256, 5_000_000
"""Pictures that go through a network together where nothing is learned: at most so many, and so many values of pixels, as
the network makes many times that of them. Large photos go 33 at a time."""

LOOKED_AT = 10_000
"""Training pictures that a point of the curve is made of, at most."""


SMALL = Model("small", (4, 4, 1), (Conv(2, 3), BatchNorm(), Flatten()), (Dense(2),))
"""The first weights of this network are a fingerprint of the rule that draws them."""


class EpochGroup(NamedTuple):
    """What is trained on between two looks."""

    batches: Batches
    epochs: int
    """How many are over when it is."""


class EpochGroups:
    """The epochs of a training, each in an order of its own; several make one epoch group where they are short.

    An epoch of augmented pictures is an epoch group by itself. It is made while the one before is trained on: beside the phases
    of the clock, as "input"; what is still missing then is waited for in the phase "wait".
    """

    def __init__(
        self, context: TaskContext, examples: Examples, batch_size: int, epochs: int,
        augmentation: Augmentation = NONE, at_once: int | None = None,
    ) -> None:  # fmt: skip
        self.context, self.examples, self.batch_size, self.epochs = context, examples, batch_size, epochs
        self.augmentation = augmentation
        self._augmented: dict[str, str] = {}
        steps = max(len(examples) // batch_size, 1)
        several = max(1, min(-(-SEGMENT_STEPS // steps), epochs // SEGMENTS))
        self.at_once = 1 if augmentation else at_once or several

    def order(self, first: int, last: int, seed: int | None = None) -> Batches:
        seed = self.context.seed if seed is None else seed
        return Batches.shuffled(self.examples, self.batch_size, seed, range(first, last))

    @property
    def rules(self) -> dict[str, str]:
        """Fingerprints of the rules that turn a seed into an order and into augmented pictures: what seed 0 gives in the first
        epoch. They are the same for every seed."""
        found = {"order_rule": self.order(0, 1, seed=0).fingerprint}
        if self.augmentation:
            few = augmented(self.examples.take(np.arange(len(self.examples))[:4]), self.augmentation, 0, 0)
            found["augmentation_rule"] = hashlib.sha256(few.images.tobytes()).hexdigest()[:16]
        return found

    @property
    def steps(self) -> int:
        return len(self.order(0, 1)) * self.epochs

    @property
    def evidence(self) -> dict[str, str]:
        """What all backends must have been given: the order of every epoch, and, once it is over, what the pictures of the
        first had become."""
        return {"batches": self.order(0, self.epochs).fingerprint} | self.rules | self._augmented

    @property
    def segments(self) -> int:
        """How many timed segments each epoch group is cut into."""
        return -(-SEGMENTS * self.at_once // self.epochs)

    def __iter__(self) -> Generator[EpochGroup]:
        starts = range(0, self.epochs, self.at_once)
        if not self.augmentation:
            for start in starts:
                end = min(start + self.at_once, self.epochs)
                yield EpochGroup(self.order(start, end), end)
            return
        with Ahead(self.examples, self.augmentation, self.context.seed, self.epochs) as ahead:
            for start in starts:
                with self.context.clock.phase("wait"):
                    examples = next(ahead)
                self.context.clock.beside["input"] = ahead.worked_s
                if not start:
                    self._augmented["augmented"] = hashlib.sha256(examples.images.tobytes()).hexdigest()[:16]
                order = self.order(start, start + 1)
                yield EpochGroup(Batches(examples, order.rows, order.batch_size), start + 1)


class Fit:
    """One training of one network, epoch group by epoch group."""

    def __init__(self, context: TaskContext, net: Any, model: Model, recipe: Recipe) -> None:
        self.context, self.net, self.recipe = context, net, recipe
        with context.clock.phase("build"):
            self.trainer = context.trainer(net, recipe)
        self.masked = recipe.draws_masks(model)
        self.steps, self.lost = 0, 0.0
        self.rates: list[float] = []
        """Training pictures per second, of each timed segment."""
        self.evidence: dict[str, Any] = {"weights_rule": fingerprint(SMALL.init(0))}

    def learn(self, batches: Batches, lr: Array, segments: int = 1) -> float:
        """Train on all of the batches; the mean loss of their steps."""
        before = self.lost
        begun = 0 if self.steps else self._begin(batches, lr, segments)
        cuts = np.linspace(begun, len(batches), segments + 1).astype(int)
        for part in (slice(start, stop) for start, stop in pairwise(cuts) if start < stop):
            self._run("train", batches[part], lr[part])
            self.rates.append(self.context.clock.rate("train", len(lr[part]) * batches.batch_size))
        return (self.lost - before) / len(batches)

    def _begin(self, batches: Batches, lr: Array, segments: int) -> int:
        """The first steps, and how many they were; a short training has none to spare beyond the very first."""
        if self.masked:  # they decide the losses of training: only one without them can be compared
            logits = self.context.backend.forward(self.net, batches[:1])
            labels = batches.examples.labels[batches[:1].rows]
            self.evidence["first_losses"] = [mean_loss(self.recipe.loss, logits, labels)]
        losses, early = self._run("first_step", batches[:1], lr[:1]).tolist(), None
        recorded, begun = slice(1, 1 + RECORDED), 1 + RECORDED + UNRECORDED
        if spare := len(batches) >= begun + segments:
            losses += self._run("warm_up", batches[recorded], lr[recorded], record=True).tolist()
            rest = slice(recorded.stop, begun)
            early = float(self._run("warm_up", batches[rest], lr[rest])[0])
        if not self.masked:
            self.evidence |= {"first_losses": losses, "first_segment_loss": early}
        return begun if spare else 1

    def _run(self, phase: str, batches: Batches, lr: Array, *, record: bool = False) -> Array:
        with self.context.clock.phase(phase):
            losses = self.trainer.run(batches, lr, record=record)
        self.steps += len(lr)
        self.lost += float(losses.mean()) * len(lr)
        return losses

    def follow(self, groups: EpochGroups, validation: Examples | None = None) -> list[Point]:
        """Train by the recipe's schedule, from the first epoch group to the last; how well it did after each."""
        lr, points, seen = self.recipe.learning_rates(groups.steps), [], groups.examples.limited(LOOKED_AT)
        for batches, epochs in groups:
            loss = self.learn(batches, lr[self.steps : self.steps + len(batches)], groups.segments)
            points.append(self.look(epochs, loss, seen, validation))
            self.context.tell(f"epoch {epochs} of {groups.epochs}, loss {loss:.4f}")
        return points

    def look(self, epoch: int, training_loss: float, train: Examples, validation: Examples | None) -> Point:
        """How well the network does now, in evaluation mode. No phase of the clock counts this."""
        seen, held = self.evaluate(train), self.evaluate(validation) if validation else None
        unseen = (held.loss, held.accuracy) if held else (None, None)
        return Point(epoch, training_loss, seen.loss, seen.accuracy, *unseen)

    def evaluate(self, examples: Examples) -> Evaluation:
        logits = self.context.backend.forward(self.net, in_order(examples))
        return evaluate(self.recipe.loss, logits, examples.labels, self.context.dataset.classes)

    judge = renamed_method("judge", "evaluate")

    @property
    def mean_loss(self) -> float:
        """Over all steps so far."""
        return self.lost / self.steps


def in_order(examples: Examples) -> Batches:
    """Every picture once, as many at a time as fit well."""
    values = math.prod(examples.images.shape[1:])
    return Batches.in_order(examples, max(1, min(AT_ONCE, VALUES // values)))


def first_evidence(context: TaskContext, net: Any, model: Model) -> dict[str, Any]:
    """What must be the same on all backends before training starts; the weights as the framework gives them back."""
    weights = context.backend.weights(net)
    return {
        "model": model.fingerprint,
        "weights": fingerprint({name: tensor.astype(np.float32) for name, tensor in weights.items()}),
        "device": context.backend.device_of(net),
    }


TRAINING_METRICS = (
    Metric("test_accuracy", "test accuracy", "share", better="higher", headline=True),
    Metric("test_loss", "test loss", "loss", better="lower", shown="no"),
    Metric("macro_f1", "macro F1", "share", better="higher", shown="details"),
    Metric("overfitting_gap", "over-fitting gap", "difference", better="lower", shown="details"),
    Metric("train_accuracy", "train accuracy", "share", better="higher", shown="no"),
    Metric("train_loss", "train loss", "loss", better="lower", shown="no"),
    Metric("validation_accuracy", "validation accuracy", "share", better="higher", shown="no"),
    Metric("per_class", "classes", form="classes"),
    Metric("confusion", "confusions", form="confusion", of="per_class"),
    Metric(
        "curve", "learning curve", form="curve", average="none", over="epoch",
        parts=(
            ("training_loss", "loss"), ("train_loss", "loss"), ("train_accuracy", "share"),
            ("validation_loss", "loss"), ("validation_accuracy", "share"),
        ),
    ),
)  # fmt: skip
"""The metrics of every task that trains a network: those of `metrics_of`, and the accuracy on pictures held out."""


def metrics_of(fit: Fit, train: Examples, test: Examples, points: list[Point]) -> dict[str, Any]:
    """What is said of every trained network. The test split is judged last, in the phase "eval"."""
    seen = fit.evaluate(train)
    with fit.context.clock.phase("eval"):
        unseen = fit.evaluate(test)
    return {
        **unseen.as_metrics("test"),
        "train_accuracy": seen.accuracy,
        "train_loss": seen.loss,
        "overfitting_gap": overfitting_gap(seen, unseen),
        "curve": [point.as_json() for point in points],
    }
