"""scratch-cnn: trains a network from random weights, and evaluates it on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness import (
    AT_LEAST_1,
    BELOW_1,
    SGD,
    TRAINING_METRICS,
    Adam,
    AdamW,
    Augmentation,
    Constant,
    Cosine,
    EpochGroups,
    Fit,
    ModelBuilder,
    Recipe,
    Shape,
    Subject,
    Task,
    TaskContext,
    TaskResult,
    Trained,
    Warmup,
    check_ranges,
    first_evidence,
    hookimpl,
    metrics_of,
)

SCHEDULES = {"constant": Constant(), "cosine": Cosine(), "warmup-cosine": Warmup(0.1, Cosine())}


@dataclass(frozen=True)
class Options:
    epochs: int = 15
    """The number of epochs: passes over the training pictures."""
    batch_size: int = 32
    """The number of pictures in a training step."""
    train_limit: int | None = None
    """The maximum number of training pictures; none for all."""
    validation: float = 0.0
    """The share of the training pictures for validation. Choose options by its accuracy, not by that of the test split."""
    optimizer: SGD | Adam | AdamW = Adam(lr=1e-3)
    """The optimiser and its own options."""
    schedule: Literal["constant", "cosine", "warmup-cosine"] = "cosine"
    """warmup-cosine increases the learning rate during the first tenth of the steps, which makes the training of deep
    networks more stable and reduces the effect of rounding errors."""
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        check_ranges(self, epochs=AT_LEAST_1, batch_size=AT_LEAST_1, train_limit=AT_LEAST_1, validation=BELOW_1)

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.optimizer, SCHEDULES[self.schedule])


class ScratchCNN(Task):
    name = "scratch-cnn"
    rate = "training images"
    options = Options
    metrics = TRAINING_METRICS
    own_pipeline = True

    def subjects(self, model: ModelBuilder, input_shape: Shape, classes: int, options: Options) -> list[Subject]:
        return [Subject(model(input_shape, classes), options.recipe)]

    def run(self, context: TaskContext) -> TaskResult:
        backend, options, data = context.backend, context.options, context.dataset
        train, validation = data.for_training(options.validation, options.train_limit)
        model = context.build_model(data.shape, len(data.classes))
        groups = EpochGroups(context, train, options.batch_size, options.epochs, options.augmentation)
        weights = context.first_weights(model)

        with context.clock.phase("build"):
            net = backend.build(model, weights)
        fit = Fit(context, net, model, options.recipe)
        evidence = first_evidence(context, net, model)

        context.tell("first step")
        points = fit.follow(groups, validation)
        held = {"validation_accuracy": points[-1].validation_accuracy} if validation else {}
        metrics, weights = metrics_of(fit, train, data.test, points) | held, context.weights(net)
        return TaskResult(
            metrics=metrics,
            rates=fit.timed(),
            flops=options.recipe.flops(model),
            parameters=model.counts(),
            evidence=evidence | groups.evidence | fit.evidence,
            trained=Trained(model, weights),
        )


@hookimpl
def samebench_tasks() -> Sequence[Task]:
    return [ScratchCNN()]
