"""scratch-cnn: train a network from random weights, then ask how well it does on pictures it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.backend import Backend, Trainer
from harness.data import Batches, Examples
from harness.errors import UsageError
from harness.markers import hookimpl
from harness.recipe import SGD, Adam, AdamW, Constant, Cosine, Recipe, Warmup
from harness.reference.losses import mean_loss
from harness.spec import Array, Shape, fingerprint
from harness.task import Bench, Findings, ModelBuilder, Subject, Task, accuracy

SEGMENTS = 5
"""A training is timed in this many stretches: enough to see a spread, each long enough that what a framework does
once for each call does not count."""

RECORDED, UNRECORDED = 4, 16
"""Steps after the first that no rate counts: some frameworks are at full speed only after a few calls. Their losses
are evidence that all backends began alike: one by one, and then as the timed path gives them, before rounding has led
the backends too far apart."""

SCHEDULES = {"constant": Constant(), "cosine": Cosine(), "warmup-cosine": Warmup(0.1, Cosine())}
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Options:
    epochs: int = 15
    batch_size: int = 32
    train_limit: int | None = None
    validation: float = 0.0
    """The share of the training pictures to hold out. Choose options by its accuracy, not by the test set's."""
    optimizer: SGD | Adam | AdamW = Adam(lr=1e-3)
    schedule: Literal["constant", "cosine", "warmup-cosine"] = "cosine"
    """The last one rises over the first tenth: deep networks diverge less, and so do rounding errors."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "train_limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"scratch-cnn.{name} must be at least 1, not {value}")
        if not 0 <= self.validation < 1:
            raise UsageError(f"scratch-cnn.validation is a share from 0 to below 1, not {self.validation}")

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.optimizer, SCHEDULES[self.schedule])


class ScratchCNN(Task):
    name = "scratch-cnn"
    rate = "training images"
    options = Options

    def subjects(self, model: ModelBuilder, input_shape: Shape, classes: int, options: Options) -> list[Subject]:
        return [Subject(model(input_shape, classes), options.recipe)]

    def run(self, bench: Bench) -> Findings:
        backend, clock, options, data = bench.backend, bench.clock, bench.options, bench.dataset
        train, validation = data.held_out(options.validation) if options.validation else (data.train, None)
        train = train.limited(options.train_limit)
        model = bench.build_model(data.shape, len(data.classes))
        batches = Batches.shuffled(train, options.batch_size, bench.seed, range(options.epochs))
        weights = bench.first_weights(model)

        with clock.phase("build"):
            net = backend.build(model, weights)
            training = Training(bench.trainer(net, options.recipe), batches, options.recipe)
        evidence: dict[str, Any] = {
            "model": model.fingerprint,
            "batches": batches.fingerprint,
            "weights": fingerprint({name: tensor.astype(np.float32) for name, tensor in backend.weights(net).items()}),
            "device": backend.device_of(net),
        }
        if model.drops:  # masks decide the losses of training: only one without them can be compared
            logits = backend.forward(net, batches[:1])
            evidence["first_losses"] = [mean_loss(options.recipe.loss, logits, train.labels[batches[:1].rows])]

        bench.tell("first step")
        with clock.phase("first_step"):
            first = training.advance(1)
        early = None
        if len(batches) >= 1 + RECORDED + UNRECORDED + SEGMENTS:  # a shorter training has no steps to spare
            with clock.phase("warm_up"):
                first = np.append(first, training.advance(RECORDED, record=True))
                early = float(training.advance(UNRECORDED)[0])
        if not model.drops:
            evidence |= {"first_losses": first.tolist(), "first_segment_loss": early}
        segments = training.rest_in(SEGMENTS)
        for steps in segments:
            with clock.phase("train"):
                loss = float(training.advance(steps)[0])
            bench.tell(
                f"epoch {training.done / len(batches) * options.epochs:.3g} of {options.epochs}, loss {loss:.4f}"
            )
        held = {"validation_accuracy": _accuracy(backend, net, validation)} if validation else {}
        with clock.phase("eval"):
            logits = backend.forward(net, Batches.in_order(data.test, EVALUATION_BATCH))

        return Findings(
            metrics={
                "test_accuracy": accuracy(logits, data.test.labels),
                "train_accuracy": _accuracy(backend, net, train),
                "test_loss": mean_loss(options.recipe.loss, logits, data.test.labels),
                "train_loss": training.mean_loss,
                **held,
            },
            rates=[n * options.batch_size / s for n, s in zip(segments, clock.stretches.get("train", []), strict=True)],
            parameters=model.counts(),
            evidence=evidence,
        )


class Training:
    """One training, stretch by stretch."""

    def __init__(self, trainer: Trainer, batches: Batches, recipe: Recipe) -> None:
        self.trainer, self.batches = trainer, batches
        self.lr = recipe.learning_rates(len(batches))
        self.done = 0
        self.lost = 0.0

    def advance(self, steps: int, *, record: bool = False) -> Array:
        """Go on by so many steps; returns what the trainer returns."""
        part = slice(self.done, self.done + steps)
        losses = self.trainer.run(self.batches[part], self.lr[part], record=record)
        self.done += steps
        self.lost += float(losses.mean()) * steps
        return losses

    def rest_in(self, parts: int) -> list[int]:
        """The steps that are left, in parts as equal as they can be; none of them is empty."""
        cuts = np.linspace(self.done, len(self.batches), parts + 1).astype(int)
        return [int(steps) for steps in np.diff(cuts) if steps]

    @property
    def mean_loss(self) -> float:
        """Over all steps so far."""
        return self.lost / self.done


def _accuracy(backend: Backend[Any], net: Any, examples: Examples) -> float:
    return accuracy(backend.forward(net, Batches.in_order(examples, EVALUATION_BATCH)), examples.labels)


@hookimpl
def samebench_tasks() -> Sequence[Task]:
    return [ScratchCNN()]
