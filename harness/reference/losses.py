"""The losses and their derivatives: the cross-entropy from logits, a value for each example."""

from __future__ import annotations

import numpy as np

from harness.recipe import LossName, Objective
from harness.spec import Array


def cross_entropy(loss: LossName, logits: Array, labels: Array) -> tuple[Array, Array]:
    """The loss of each example, and its derivative with respect to the logits."""
    if loss == "softmax":
        shifted = logits - logits.max(1, keepdims=True)
        log_total = np.log(np.exp(shifted).sum(1, keepdims=True))
        truth = np.eye(logits.shape[1], dtype=logits.dtype)[labels]
        return (log_total - shifted)[np.arange(len(labels)), labels], np.exp(shifted - log_total) - truth
    logit, truth = logits[:, 0], labels.astype(logits.dtype)
    tail = np.exp(-np.abs(logit))  # never overflows
    probability = np.where(logit >= 0, 1, tail) / (1 + tail)
    return np.maximum(logit, 0) - logit * truth + np.log1p(tail), (probability - truth)[:, None]


def slope(objective: Objective, logits: Array, labels: Array) -> Array:
    """The derivative of each example's objective with respect to the logits."""
    if objective != "logit":
        return cross_entropy(objective, logits, labels)[1]
    if logits.shape[1] == 1:  # a single logit belongs to the second of two classes
        return np.where(labels[:, None] == 1, -1.0, 1.0)
    return -np.eye(logits.shape[1])[labels]


def mean_loss(loss: LossName, logits: Array, labels: Array) -> float:
    """The mean loss of a dataset, computed in float64 from logits of any precision."""
    return float(cross_entropy(loss, logits.astype(np.float64), labels)[0].mean())


def probabilities(logits: Array) -> Array:
    """The probability of each class, in float64. A single logit belongs to the second of two classes."""
    logits = logits.astype(np.float64)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], 1)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    shares: Array = odds / odds.sum(1, keepdims=True)
    return shares
