"""The loss of each picture, for the arrays of any framework."""

from __future__ import annotations

from typing import Any

from harness.arrays.operations import ArrayOperations
from harness.recipe import Objective


def picture_losses(ops: ArrayOperations, objective: Objective, logits: Any, labels: Any) -> Any:
    """Each picture's objective: its cross-entropy, or minus the logit of its label.

    A single logit x belongs to the second of two classes. The logit of the first class is 0 in the sigmoid loss, and -x
    in the objective "logit".
    """
    if logits.shape[1] == 1:
        logits = ops.concatenate([-logits if objective == "logit" else logits - logits, logits], axis=1)
    label = ops.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    if objective == "logit":
        return -label
    largest = ops.max(logits, axis=1, keepdims=True)  # without it, the exponentials could overflow
    return largest[:, 0] + ops.log(ops.sum(ops.exp(logits - largest), axis=1)) - label
