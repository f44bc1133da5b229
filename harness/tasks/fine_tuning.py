"""fine-tuning: trains a new head on a trained network, and then the last blocks of its trunk too, at a low rate.

First the head is trained on the features of the frozen trunk: with a random head, large gradients would destroy the
weights of the trunk. Then the last blocks are trained too, until the validation loss stops falling. The best weights are
kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from harness import (
    AT_LEAST_0,
    AT_LEAST_1,
    BELOW_1,
    SGD,
    TRAINING_METRICS,
    Adam,
    AdamW,
    Augmentation,
    EpochGroups,
    Examples,
    Fit,
    Head,
    Metric,
    Model,
    ModelBuilder,
    Point,
    Recipe,
    SamebenchError,
    Shape,
    Stopping,
    Subject,
    Task,
    TaskContext,
    TaskResult,
    Trained,
    UsageError,
    Watch,
    changed_tensors,
    check_ranges,
    hookimpl,
    learn_head,
    metrics_of,
    unfrozen_rates,
)


@dataclass(frozen=True)
class Options:
    head: Head = Head()
    epochs: int = 10
    """Maximum; training ends earlier if the validation loss stops falling."""
    batch_size: int = 16
    """The number of pictures in a training step."""
    train_limit: int | None = None
    """The maximum number of training pictures; none for all."""
    validation: float = 0.15
    """The share of the training pictures for validation, which decides when to stop."""
    blocks: int = 1
    """The number of last blocks of the trunk to train. A block is a series of layers whose outputs have the same size."""
    layers: int | None = None
    """The number of last layers of the trunk to train, instead of blocks; None to use blocks."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """Whether batch norms of the trained part keep their statistics (frozen) or train."""
    optimizer: SGD | Adam | AdamW = Adam(lr=1e-4)
    """The optimiser and its own options."""
    trunk_rate: float = 0.3
    """The learning rate of the trunk, as a multiple of the optimizer's."""
    stopping: Stopping = Stopping()
    augmentation: Augmentation = Augmentation()
    """Random changes of the pictures in the second stage. The first stage, which trains only the head, has none."""

    def __post_init__(self) -> None:
        check_ranges(
            self, epochs=AT_LEAST_1, batch_size=AT_LEAST_1, train_limit=AT_LEAST_1, blocks=AT_LEAST_1, layers=AT_LEAST_1,
            validation=BELOW_1, trunk_rate=AT_LEAST_0,
        )  # fmt: skip
        if not self.validation:
            raise UsageError(
                "fine-tuning.validation must be above 0: without validation pictures, training cannot decide when to stop",
                code="conflicting-options",
            )

    def recipe(self, model: Model) -> Recipe:
        norms = self.batch_norm == "trained"
        return Recipe(self.optimizer, rates=unfrozen_rates(model, self.blocks, self.layers, norms, self.trunk_rate))


class FineTuning(Task):
    name = "fine-tuning"
    rate = "training images"
    options = Options
    metrics = (
        *TRAINING_METRICS,
        Metric("head_test_accuracy", "test accuracy of the head alone", "share", better="higher", shown="no"),
        Metric("epochs_run", "epochs run", "count", shown="no"),
        Metric("best_epoch", "best epoch", "count", shown="no"),
    )
    dataset = "digits:5-9"
    own_pipeline = True
    weights = "two-block-cnn-digits04"

    def subjects(self, model: ModelBuilder, input_shape: Shape, classes: int, options: Options) -> list[Subject]:
        whole = options.head.on(model, input_shape, classes)
        return [*options.head.subjects(model, input_shape, classes), Subject(whole, options.recipe(whole))]

    def run(self, context: TaskContext) -> TaskResult:
        backend, options, data = context.backend, context.options, context.dataset
        train, held_out = data.for_training(options.validation, options.train_limit)
        validation = cast(Examples, held_out)  # never None: options.validation is above 0
        learned = learn_head(context, options.head, train, validation)
        net, with_head = learned.net, learned.weights
        context.load(net, with_head)

        recipe = options.recipe(learned.model)
        fit = Fit(context, net, learned.model, recipe)
        seen = train.limited(len(validation))  # as many as for validation, so that both losses are comparable
        points: list[Point] = []

        def validation_loss(epoch: int, training_loss: float) -> float:
            points.append(fit.look(epoch, training_loss, seen, validation))
            return cast(float, points[-1].validation_loss)

        watch = Watch(options.stopping, validation_loss(0, learned.fit.mean_loss), with_head)
        groups = EpochGroups(context, train, options.batch_size, options.epochs, options.augmentation, at_once=1)
        with closing(iter(groups)) as epochs:
            for batches, epoch in epochs:
                lr = np.full(len(batches), options.optimizer.lr * watch.factor)
                loss = validation_loss(epoch, fit.learn(batches, lr))
                if watch.update(loss):
                    watch.kept = context.weights(net)
                context.tell(f"epoch {epoch} of at most {options.epochs}, validation loss {loss:.4f}")
                if watch.done:
                    break
        frozen = recipe.frozen(learned.model)
        if moved := changed_tensors(with_head, context.weights(net), frozen):
            raise SamebenchError(
                f"{backend.name} has changed frozen tensors: {', '.join(moved)}; it must not train them",
                code="contract",
            )

        context.load(net, watch.kept)
        metrics = metrics_of(fit, train, data.test, points)
        context.load(net, with_head)
        metrics |= {
            "head_test_accuracy": fit.evaluate(data.test, "eval").accuracy,
            "epochs_run": watch.epoch,
            "best_epoch": watch.best_epoch,
            "validation_accuracy": points[watch.best_epoch].validation_accuracy,
        }
        return TaskResult(
            metrics=metrics,
            rates=fit.timed(),
            flops=recipe.flops(learned.model),
            parameters=learned.model.counts(frozen),
            evidence=learned.evidence | {f"tuning_{name}": value for name, value in groups.evidence.items()},
            trained=Trained(learned.model, watch.kept),
        )


@hookimpl
def samebench_tasks() -> Sequence[Task]:
    return [FineTuning()]
