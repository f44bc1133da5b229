"""feature-extraction: a new head, trained on the features that a trained network computes from new pictures.

The trunk is frozen and in evaluation mode, so the features of each picture are computed only once. The head is trained on
the features as if they were pictures. The headline rate is that of the trunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    median_rate,
    metrics_of,
)


@dataclass(frozen=True)
class Options(Head):
    train_limit: int | None = None
    """The maximum number of training pictures; none for all."""
    validation: float = 0.0
    """The share of the training pictures for validation. Choose options by its accuracy, not by that of the test split."""

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
        rates = learned.trunk.timed(train)  # empty if there is only one batch, and no work may be repeated
        speed = {"features_per_s": median_rate(rates)} if rates else {}
        frozen = Recipe(options.optimizer, rates=FROZEN_TRUNK).frozen(learned.model)
        return TaskResult(
            metrics=metrics_of(learned.fit, learned.features, test, learned.points) | held | speed,
            rates=rates,
            flops=learned.model.trunk_flops,
            parameters=learned.model.counts(frozen),
            evidence=learned.evidence,
            trained=Trained(learned.model, learned.weights),
        )


@hookimpl
def samebench_tasks() -> Sequence[Task]:
    return [FeatureExtraction()]
