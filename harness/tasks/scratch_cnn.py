"""scratch-cnn: train a network from random weights, then ask how well it does on pictures it has not seen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.backend import Backend
from harness.data import Batches, Examples
from harness.errors import UsageError
from harness.markers import hookimpl
from harness.recipe import Adam, Constant, Cosine, Recipe
from harness.reference.losses import mean_loss
from harness.spec import Shape, fingerprint
from harness.task import Bench, Findings, ModelBuilder, Subject, Task, accuracy

SEGMENTS = 5
"""A training is timed in this many stretches: enough to see a spread, each long enough that what a framework does
once for each call does not count."""

WARM_UP = 4
"""Steps after the first that no rate counts: some frameworks are at full speed only after a few calls. Their losses
are kept, as evidence that all backends began alike."""

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Options:
    epochs: int = 15
    batch_size: int = 32
    train_limit: int | None = None
    validation: float = 0.0
    """The share of the training pictures to hold out. Choose options by its accuracy, not by the test set's."""
    optimizer: Adam = Adam(lr=1e-3)
    schedule: Literal["cosine", "constant"] = "cosine"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "train_limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"scratch-cnn.{name} must be at least 1, not {value}")
        if not 0 <= self.validation < 1:
            raise UsageError(f"scratch-cnn.validation is a share from 0 to below 1, not {self.validation}")

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.optimizer, Cosine() if self.schedule == "cosine" else Constant())


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
        lr = options.recipe.learning_rates(len(batches))

        weights = bench.first_weights(model)
        with clock.phase("build"):
            net = backend.build(model, weights)
            trainer = bench.trainer(net, options.recipe)
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
            first = trainer.run(batches[:1], lr[:1])
        start = 1 + WARM_UP if len(batches) >= 1 + WARM_UP + SEGMENTS else 1
        if start > 1:
            with clock.phase("warm_up"):
                first = np.append(first, trainer.run(batches[1:start], lr[1:start], record=True))
        cuts = np.unique(np.linspace(start, len(batches), SEGMENTS + 1).astype(int))
        steps, losses = np.diff(cuts), []
        for start, stop in itertools.pairwise(cuts):
            with clock.phase("train"):
                losses.append(float(trainer.run(batches[start:stop], lr[start:stop])[0]))
            bench.tell(f"epoch {stop / len(batches) * options.epochs:.3g} of {options.epochs}, loss {losses[-1]:.4f}")
        held = {"validation_accuracy": _accuracy(backend, net, validation)} if validation else {}
        with clock.phase("eval"):
            logits = backend.forward(net, Batches.in_order(data.test, EVALUATION_BATCH))

        if not model.drops:
            evidence |= {"first_losses": first.tolist(), "first_segment_loss": losses[0] if losses else None}
        return Findings(
            metrics={
                "test_accuracy": accuracy(logits, data.test.labels),
                "train_accuracy": _accuracy(backend, net, train),
                "test_loss": mean_loss(options.recipe.loss, logits, data.test.labels),
                "train_loss": float(np.average([*first, *losses], weights=[*np.ones(len(first)), *steps])),
                **held,
            },
            rates=[n * options.batch_size / s for n, s in zip(steps, clock.stretches.get("train", []), strict=True)],
            parameters=model.counts(),
            evidence=evidence,
        )


def _accuracy(backend: Backend[Any], net: Any, examples: Examples) -> float:
    return accuracy(backend.forward(net, Batches.in_order(examples, EVALUATION_BATCH)), examples.labels)


@hookimpl
def samebench_tasks() -> Sequence[Task]:
    return [ScratchCNN()]
