"""Training for all tasks: the first steps are recorded as evidence, the others are timed, and the network is evaluated
between epochs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from harness.data import Batches, Examples
from harness.errors import renamed_method
from harness.metric import Metric
from harness.pictures.augmentation import Ahead, Augmentation, augmented
from harness.pictures.own_pipeline import FileExamples
from harness.recipe import Recipe
from harness.reference.losses import mean_loss
from harness.spec import Array, BatchNorm, Conv, Dense, Flatten, Model, fingerprint
from harness.task import TaskContext
from harness.tasks.common.evaluation import Evaluation, Point, evaluate, overfitting_gap
from harness.timing.clock import Rate
from harness.timing.segments import Work, repeated, units_for

SEGMENTS = 5
"""Minimum number of timed segments of a training, so that their spread is known."""

SEGMENT_STEPS = 100
"""Minimum number of steps per timed segment, so that the overhead of a call is negligible. Short epochs are combined."""

RECORDED, UNRECORDED = 4, 16
"""Numbers of steps after the first step that are not timed: some frameworks reach full speed only after a few calls.
Their losses are evidence that all backends start with the same training: first the loss of each step, and then the mean
loss that the timed calls return. After more steps, rounding errors would be too large for a comparison."""

NONE = Augmentation()
AT_ONCE, VALUES = 256, 5_000_000
"""The batch size of evaluations: at most this many pictures, and at most this many values of pixels, because activations
take many times that memory. For 224x224 photos it is 33."""

LOOKED_AT = 10_000
"""Maximum number of training pictures in the evaluation for a point of the curve."""


SMALL = Model("small", (4, 4, 1), (Conv(2, 3), BatchNorm(), Flatten()), (Dense(2),))
"""A small network. A hash of its first weights shows which rule draws first weights."""


class EpochGroup(NamedTuple):
    """The batches between two evaluations."""

    batches: Batches
    epochs: int
    """The number of epochs completed after this group."""


class EpochGroups:
    """The epochs of a training, each in its own order. Short epochs are combined into groups.

    An epoch of augmented pictures is a group of its own. A thread makes it during the previous epoch; the clock counts that
    work as "input", beside the phases. If it is not ready in time, the phase "wait" counts the rest.

    With `--pipeline own`, the framework reads and changes the pictures itself, in the same order.
    """

    def __init__(
        self, context: TaskContext, examples: Examples, batch_size: int, epochs: int,
        augmentation: Augmentation = NONE, at_once: int | None = None,
    ) -> None:  # fmt: skip
        self.context, self.examples, self.batch_size, self.epochs = context, examples, batch_size, epochs
        self.own = FileExamples.of(examples, augmentation, context.seed) if context.pipeline == "own" else None
        self.augmentation = NONE if self.own else augmentation
        self._augmented: dict[str, str] = {}
        steps = max(len(examples) // batch_size, 1)
        several = max(1, min(-(-SEGMENT_STEPS // steps), epochs // SEGMENTS))
        self.at_once = 1 if self.augmentation else at_once or several

    def order(self, first: int, last: int, seed: int | None = None) -> Batches:
        seed = self.context.seed if seed is None else seed
        return Batches.shuffled(self.own or self.examples, self.batch_size, seed, range(first, last))

    @property
    def rules(self) -> dict[str, str]:
        """Hashes of the order and of some augmented pictures for seed 0 in the first epoch. They are the same for every seed,
        and change if the rules that use the seed change."""
        rules = {"order_rule": self.order(0, 1, seed=0).fingerprint}
        if self.augmentation:
            few = augmented(self.examples.take(np.arange(len(self.examples))[:4]), self.augmentation, 0, 0)
            rules["augmentation_rule"] = hashlib.sha256(few.images.tobytes()).hexdigest()[:16]
        return rules

    @property
    def steps(self) -> int:
        return len(self.order(0, 1)) * self.epochs

    @property
    def evidence(self) -> dict[str, str]:
        """Hashes of the inputs, which must be equal for all backends: the order of all epochs, and after the first epoch its
        augmented pictures."""
        return {"batches": self.order(0, self.epochs).fingerprint} | self.rules | self._augmented

    @property
    def segments(self) -> int:
        """The number of timed segments per epoch group."""
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
    """The training of a network."""

    def __init__(self, context: TaskContext, net: Any, model: Model, recipe: Recipe) -> None:
        self.context, self.net, self.recipe = context, net, recipe
        with context.clock.phase("build"):
            self.trainer = context.trainer(net, recipe)
        self.masked = recipe.draws_masks(model)
        self.steps, self.lost = 0, 0.0
        self.rates: list[Rate] = []
        """Training pictures per second in each segment of this training."""
        self.evidence: dict[str, Any] = {"weights_rule": fingerprint(SMALL.init(0))}

    def learn(self, batches: Batches, lr: Array, segments: int = 1) -> float:
        """Train on all batches. Returns the mean loss of their steps."""
        before = self.lost
        begun = 0 if self.steps else self._begin(batches, lr, segments)
        cuts = np.linspace(begun, len(batches), segments + 1).astype(int)
        for segment in (slice(start, stop) for start, stop in pairwise(cuts) if start < stop):
            self._run("train", batches[segment], lr[segment])
            self.rates.append(self.context.clock.rate("train", len(lr[segment]) * batches.batch_size))
        self._last = batches, lr
        return (self.lost - before) / len(batches)

    def timed(self) -> list[Rate]:
        """The rates of timed segments. If the training has too few segments, or too short ones, its last steps are repeated.
        Call it last: the network is thrown away afterwards."""
        batches, _ = self._last
        rates = self.context.timed(self.rates, self._again(batches.examples), batches.batch_size)
        if isinstance(batches.examples, FileExamples):
            self.context.own_ways["input pipeline"] = self.context.backend.on_device(batches.examples).about
            if self.context.segment_s:
                self._time_input(batches.examples, rates)
        return rates

    def _again(self, examples: Examples) -> Work:
        """A function that repeats the last steps, as many as it is told, with the pictures of these examples."""
        batches, lr = self._last

        def repeat(steps: int) -> float:
            rows = np.resize(batches.rows, steps * batches.batch_size)
            self.trainer.run(Batches(examples, rows, batches.batch_size), np.resize(lr, steps))
            return len(rows)

        return repeat

    def _time_input(self, examples: FileExamples, rates: Sequence[Rate]) -> None:
        """Time the own pipeline without training, and training without the pipeline."""
        batches, _ = self._last
        pipeline, context = self.context.backend.on_device(examples), self.context

        def read(steps: int) -> float:
            order = np.resize(batches.rows, (steps, batches.batch_size))
            return batches.batch_size * sum(1 for _ in pipeline.batches(order))

        in_memory = self._again(Examples(examples.images, examples.labels, examples.pixel_max))
        in_memory(1)  # it may compile
        for name, work in {"read": read, "in_memory": in_memory}.items():
            found = repeated(
                context.clock, work, units_for(rates, batches.batch_size, context.segment_s), context.segment_s
            )
            context.input_rates[name] = [float(rate) for rate in found]

    def _begin(self, batches: Batches, lr: Array, segments: int) -> int:
        """Run the first steps, which are not timed. Returns their number: only one if the training is short."""
        if (
            self.masked
        ):  # training losses depend on the dropout masks, so only a loss in evaluation mode can be compared
            with self.context.clock.phase("curve"):
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
        """Train on all epoch groups with the schedule of the recipe. Returns the evaluation after each group."""
        lr, points, seen = self.recipe.learning_rates(groups.steps), [], groups.examples.limited(LOOKED_AT)
        for batches, epochs in groups:
            loss = self.learn(batches, lr[self.steps : self.steps + len(batches)], groups.segments)
            points.append(self.look(epochs, loss, seen, validation))
            self.context.tell(f"epoch {epochs} of {groups.epochs}, loss {loss:.4f}")
        return points

    def look(self, epoch: int, training_loss: float, train: Examples, validation: Examples | None) -> Point:
        """Evaluate the network in evaluation mode."""
        seen, held = self.evaluate(train), self.evaluate(validation) if validation else None
        unseen = (held.loss, held.accuracy) if held else (None, None)
        return Point(epoch, training_loss, seen.loss, seen.accuracy, *unseen)

    def evaluate(self, examples: Examples, phase: str = "curve") -> Evaluation:
        """Evaluate the network on these pictures. The time belongs to a phase of the clock: "curve", or "eval" for the final
        evaluation on the test split."""
        with self.context.clock.phase(phase):
            logits = self.context.backend.forward(self.net, in_order(examples))
        return evaluate(self.recipe.loss, logits, examples.labels, self.context.dataset.classes)

    judge = renamed_method("judge", "evaluate")

    @property
    def mean_loss(self) -> float:
        """The mean training loss of all steps so far."""
        return self.lost / self.steps


def in_order(examples: Examples) -> Batches:
    """Every picture once, in order, with the batch size of evaluations."""
    values = math.prod(examples.images.shape[1:])
    return Batches.in_order(examples, max(1, min(AT_ONCE, VALUES // values)))


def first_evidence(context: TaskContext, net: Any, model: Model) -> dict[str, Any]:
    """Evidence that must be equal for all backends before training: hashes of the network, and of the weights that the
    framework returns."""
    weights = context.weights(net)
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
    """The metrics of a trained network. The test split is evaluated last, in the phase "eval"."""
    seen, unseen = fit.evaluate(train), fit.evaluate(test, "eval")
    return {
        **unseen.as_metrics("test"),
        "train_accuracy": seen.accuracy,
        "train_loss": seen.loss,
        "overfitting_gap": overfitting_gap(seen, unseen),
        "curve": [point.as_json() for point in points],
    }
