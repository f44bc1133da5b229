"""scratch-cnn: train a network from random weights, then ask how well it does on pictures it has not seen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.data import Batches
from harness.errors import UsageError
from harness.markers import hookimpl
from harness.recipe import Adam, Constant, Cosine, Recipe
from harness.reference.losses import mean_loss
from harness.spec import Shape, fingerprint
from harness.task import Bench, Findings, ModelBuilder, Subject, Task, accuracy

SEGMENTS = 5
"""A training is timed in this many stretches after its first step: enough to see a spread, each long enough that
what a framework does once for each call does not count."""

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Options:
    epochs: int = 15
    batch_size: int = 32
    train_limit: int | None = None
    optimizer: Adam = Adam(lr=1e-3)
    schedule: Literal["cosine", "constant"] = "cosine"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "train_limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"scratch-cnn.{name} must be at least 1, not {value}")

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
        train = data.train.take(np.arange(min(options.train_limit or len(data.train), len(data.train))))
        model = bench.build_model(train.images.shape[1:], len(data.classes))
        weights = model.init(bench.seed)
        batches = Batches.shuffled(train, options.batch_size, bench.seed, range(options.epochs))
        lr = options.recipe.learning_rates(len(batches))

        with clock.phase("build"):
            net = backend.build(model, weights)
            trainer = backend.trainer(net, options.recipe, bench.seed)
        evidence: dict[str, Any] = {
            "model": model.fingerprint,
            "batches": batches.fingerprint,
            "weights": fingerprint({name: tensor.astype(np.float32) for name, tensor in backend.weights(net).items()}),
            "device": backend.device_of(net),
        }
        if model.drops:  # masks decide the losses of training: only one without them can be compared
            logits = backend.forward(net, batches[:1])
            evidence["first_loss"] = mean_loss(options.recipe.loss, logits, train.labels[batches[:1].rows])

        with clock.phase("first_step"):
            losses = [float(trainer.run(batches[:1], lr[:1])[0])]
        cuts = np.unique(np.linspace(1, len(batches), SEGMENTS + 1).astype(int))
        steps = np.diff(cuts)
        for start, stop in itertools.pairwise(cuts):
            with clock.phase("train"):
                losses.append(float(trainer.run(batches[start:stop], lr[start:stop])[0]))
        with clock.phase("eval"):
            logits = backend.forward(net, Batches.in_order(data.test, EVALUATION_BATCH))

        seen = backend.forward(net, Batches.in_order(train, EVALUATION_BATCH))
        if not model.drops:
            evidence |= {"first_loss": losses[0], "first_segment_loss": losses[1] if len(steps) else None}
        return Findings(
            metrics={
                "test_accuracy": accuracy(logits, data.test.labels),
                "train_accuracy": accuracy(seen, train.labels),
                "test_loss": mean_loss(options.recipe.loss, logits, data.test.labels),
                "train_loss": float(np.average(losses, weights=[1, *steps])),
            },
            rates=[n * options.batch_size / s for n, s in zip(steps, clock.stretches.get("train", []), strict=True)],
            parameters=model.counts(),
            evidence=evidence,
        )


@hookimpl
def samebench_tasks() -> Sequence[Task]:
    return [ScratchCNN()]
