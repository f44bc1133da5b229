"""What is said of a network on a split, from its logits, and along its training.

A share of nothing has to be given a value or left out. A class that was never predicted has the precision 0, as in
scikit-learn. A class of which the split holds no picture has no recall and no F1: both are None, and the mean over the
classes leaves it out, where scikit-learn would count it as a 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.errors import SpecError
from harness.recipe import LossName
from harness.reference.losses import mean_loss
from harness.spec import Array

MOST_CLASSES = 100
"""The confusions of more classes than these are not kept: their number grows with the square, and those of 1,000 classes
would be a million lines in every result."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a network does on a split. `confusion` counts pictures: rows are the truth, columns the prediction."""

    classes: tuple[str, ...]
    loss: float
    confusion: Array

    @property
    def accuracy(self) -> float:
        return float(self.confusion.trace() / self.confusion.sum())

    @property
    def per_class(self) -> list[dict[str, Any]]:
        """Precision, recall, F1 and the number of pictures of each class, in the order of the classes."""
        right, taken, count = self.confusion.diagonal(), self.confusion.sum(0), self.confusion.sum(1)
        return [
            {
                "class": name,
                "precision": float(right[i] / taken[i]) if taken[i] else 0.0,
                "recall": float(right[i] / count[i]) if count[i] else None,
                "f1": float(2 * right[i] / (taken[i] + count[i])) if count[i] else None,
                "count": int(count[i]),
            }
            for i, name in enumerate(self.classes)
        ]

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that the split has pictures of: each counts the same, however rare it is."""
        return float(np.mean([row["f1"] for row in self.per_class if row["count"]]))

    def as_metrics(self, prefix: str = "test") -> dict[str, Any]:
        """What a task puts into its metrics. Classes are told apart on the test split alone, under names without it."""
        metrics: dict[str, Any] = {f"{prefix}_accuracy": self.accuracy, f"{prefix}_loss": self.loss}
        if prefix == "test":
            metrics |= {"macro_f1": self.macro_f1, "per_class": self.per_class}
            if len(self.classes) <= MOST_CLASSES:
                metrics["confusion"] = self.confusion.tolist()
        return metrics


def evaluate(loss: LossName, logits: Array, labels: Array, classes: Sequence[str]) -> Evaluation:
    """Compare predictions with labels. The largest logit is the prediction; the single logit of the sigmoid loss says
    the second class where it is above 0, which is a probability above one half."""
    outputs, n = 1 if loss == "sigmoid" else len(classes), len(classes)
    if logits.shape != (len(labels), outputs) or not len(labels) or (loss == "sigmoid" and n != 2):
        raise SpecError(
            f"the {loss} loss needs one row of {outputs} logits for each of 1 or more labels, and its own number of "
            f"classes, not logits {logits.shape} for {len(labels)} labels of {n} classes"
        )
    predictions = logits[:, 0] > 0 if loss == "sigmoid" else logits.argmax(1)
    pairs = labels.astype(np.int64) * n + predictions  # labels of 8 bits would overflow
    confusion = np.bincount(pairs, minlength=n * n).reshape(n, n)
    return Evaluation(tuple(classes), mean_loss(loss, logits, labels), confusion)


def overfitting_gap(train: Evaluation, unseen: Evaluation) -> float:
    """By how much a network does better on the pictures it has learnt from. Tasks store it under this name."""
    return train.accuracy - unseen.accuracy


@dataclass(frozen=True)
class Point:
    """One point of a learning curve, which tasks store as a list under the name "curve".

    `training_loss` is the mean loss of the steps since the point before, as training saw them: with drop-out, and with
    weights that moved from step to step. `train_loss` and `train_accuracy` are of the network as it stands, in evaluation
    mode, like those of the validation split. Passes for a curve are never timed.
    """

    epoch: float
    training_loss: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None

    def as_json(self) -> dict[str, float]:
        """What is known of the point: nothing stands for a validation split that is not there."""
        return {name: value for name, value in asdict(self).items() if value is not None}
