"""Metrics of a network on a split, computed from its logits, and points of a learning curve.

A class that was never predicted has the precision 0, as in scikit-learn. A class without pictures in the split has no
recall and no F1: both are None, and the mean over the classes leaves the class out (scikit-learn counts it as 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.errors import SpecError
from harness.recipe import LossName
from harness.reference.losses import mean_loss
from harness.spec import Array

MOST_CLASSES = 100
"""The confusion matrix is stored for at most this many classes: with 1,000 classes it would have a million entries in
every result."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of a network on a split. `confusion` counts pictures: rows are labels, columns are predictions."""

    classes: tuple[str, ...]
    loss: float
    confusion: Array

    @property
    def accuracy(self) -> float:
        return float(self.confusion.trace() / self.confusion.sum())

    @property
    def per_class(self) -> list[dict[str, Any]]:
        """Precision, recall, F1 and the number of pictures of each class, in the order of the classes."""
        right, predicted, count = self.confusion.diagonal(), self.confusion.sum(0), self.confusion.sum(1)
        return [
            {
                "class": name,
                "precision": float(right[i] / predicted[i]) if predicted[i] else 0.0,
                "recall": float(right[i] / count[i]) if count[i] else None,
                "f1": float(2 * right[i] / (predicted[i] + count[i])) if count[i] else None,
                "count": int(count[i]),
            }
            for i, name in enumerate(self.classes)
        ]

    @property
    def macro_f1(self) -> float:
        """The mean F1 of all classes with pictures in the split. All classes have the same weight."""
        return float(np.mean([row["f1"] for row in self.per_class if row["count"]]))

    def as_metrics(self, prefix: str = "test") -> dict[str, Any]:
        """The metrics of a task for this split. Only the test split has metrics per class, and their names have no prefix."""
        metrics: dict[str, Any] = {f"{prefix}_accuracy": self.accuracy, f"{prefix}_loss": self.loss}
        if prefix == "test":
            metrics |= {"macro_f1": self.macro_f1, "per_class": self.per_class}
            if len(self.classes) <= MOST_CLASSES:
                metrics["confusion"] = self.confusion.tolist()
        return metrics


def evaluate(loss: LossName, logits: Array, labels: Array, classes: Sequence[str]) -> Evaluation:
    """Compare predictions with labels. The prediction is the class of the largest logit. With the sigmoid loss there is one
    logit, and the prediction is the second class if it is above 0."""
    outputs, n = 1 if loss == "sigmoid" else len(classes), len(classes)
    if logits.shape != (len(labels), outputs) or not len(labels) or (loss == "sigmoid" and n != 2):
        raise SpecError(
            f"the {loss} loss of {2 if loss == 'sigmoid' else n} classes needs logits of the shape (labels, {outputs}) and at "
            f"least 1 label, not logits of the shape {logits.shape} for {len(labels)} labels of {n} classes",
            code="wrong-shape",
        )
    predictions = logits[:, 0] > 0 if loss == "sigmoid" else logits.argmax(1)
    pairs = labels.astype(np.int64) * n + predictions  # labels of 8 bits would overflow
    confusion = np.bincount(pairs, minlength=n * n).reshape(n, n)
    return Evaluation(tuple(classes), mean_loss(loss, logits, labels), confusion)


def contradiction(metrics: Mapping[str, Any]) -> str | None:
    """Compare the accuracy of a task with its confusion matrix. Returns a message if they disagree, and None if they agree."""
    counts, stored = metrics.get("confusion"), metrics.get("test_accuracy")
    if not counts or not isinstance(stored, int | float):
        return None
    right, whole = sum(row[place] for place, row in enumerate(counts)), sum(map(sum, counts))
    if whole and abs(right / whole - stored) > 1e-9:
        return f"its test_accuracy is {stored:.6g}, but its confusions have {right / whole:.6g}"
    return None


def overfitting_gap(train: Evaluation, unseen: Evaluation) -> float:
    """The accuracy on training pictures minus the accuracy on unseen pictures. Tasks store it under this name."""
    return train.accuracy - unseen.accuracy


@dataclass(frozen=True)
class Point:
    """A point of a learning curve. Tasks store a list of points under the name "curve".

    `training_loss` is the mean loss of the training steps since the previous point, with dropout and with the weights of
    each step. `train_loss` and `train_accuracy` are measured in evaluation mode at this point, like those of the validation
    split. Evaluations for a curve are never timed.
    """

    epoch: float
    training_loss: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None

    def as_json(self) -> dict[str, float]:
        """The fields that have a value: without a validation split, its fields are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}
