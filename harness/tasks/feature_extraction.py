"""feature-extraction: what a trained network sees in new pictures, and a new head that learns from it.

The trunk stays as it is, in evaluation mode, so each picture goes through it once, and the features are kept. The head
is trained on them as if they were pictures. The headline rate is that of the trunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness import (
    AT_LEAST_1,
    BELOW_1,
    FROZEN_TRUNK,
    TRAINING_METRICS,
    Head,
    Metric,
    ModelBuilder,
    Recipe,
    Shape,
    Subject,
    Task,
    TaskContext,
    TaskResult,
    Trained,
    check_ranges,
    hookimpl,
    learn_head,
    metrics_of,
)


@dataclass(frozen=True)
class Options(Head):
    train_limit: int | None = None
    validation: float = 0.0
    """The share of the training pictures to hold out. Choose options by its accuracy, not by the test set's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, train_limit=AT_LEAST_1, validation=BELOW_1)


class FeatureExtraction(Task):
    name = "feature-extraction"
    rate = "features"
    options = Options
    metrics = (*TRAINING_METRICS, Metric("features_per_s", "features/s", "rate", better="higher", shown="no"))
    dataset = "digits:5-9"
    weights = "two-block-cnn-digits04"

    def subjects(self, model: ModelBuilder, input_shape: Shape, classes: int, options: Options) -> list[Subject]:
        return options.subjects(model, input_shape, classes)

    def run(self, context: TaskContext) -> TaskResult:
        options, data = context.options, context.dataset
        train, validation = data.for_training(options.validation, options.train_limit)
        learned = learn_head(context, options, train, validation)
        test = learned.trunk.features(data.test)
        held = {"validation_accuracy": learned.points[-1].validation_accuracy} if validation else {}
        rates = learned.trunk.rates  # none, where one batch is all
        speed = {"features_per_s": float(np.median(rates))} if rates else {}
        frozen = Recipe(options.optimizer, rates=FROZEN_TRUNK).frozen(learned.model)
        return TaskResult(
            metrics=metrics_of(learned.fit, learned.features, test, learned.points) | held | speed,
            rates=rates,
            parameters=learned.model.counts(frozen),
            evidence=learned.evidence,
            trained=Trained(learned.model, learned.weights),
        )


@hookimpl
def samebench_tasks() -> Sequence[Task]:
    return [FeatureExtraction()]
