"""The update rules of `harness.recipe` for a tensor, for the arrays of any framework."""

from __future__ import annotations

from typing import Any

from harness.arrays.operations import ArrayOperations
from harness.recipe import SGD, Adam

Moments = tuple[Any, ...]
"""The optimiser's state of a tensor. Each moment has the shape of the tensor and starts at zero."""


def moment_count(optimizer: SGD | Adam) -> int:
    """The number of moments of each tensor: 2 for Adam, 1 for SGD with momentum, 0 for plain SGD."""
    return 2 if isinstance(optimizer, Adam) else int(optimizer.momentum > 0)


def update_direction(
    ops: ArrayOperations, optimizer: SGD | Adam, decays: bool, weight: Any, gradient: Any, moments: Moments, step: Any
) -> tuple[Any, Moments]:
    """The direction of an update and the new moments. The caller subtracts the direction times the learning rate.

    `decays` says whether weight decay and L1 apply to this tensor (see `optimizer.decays`). `step` is 1 at the first
    step; it may be a traced number.
    """
    if decays and optimizer.l1:
        gradient = gradient + optimizer.l1 * ops.sign(weight)
    if decays and optimizer.weight_decay and not optimizer.decoupled:
        gradient = gradient + optimizer.weight_decay * weight
    if isinstance(optimizer, Adam):
        direction, moments = _adam(ops, optimizer, gradient, moments, step)
    else:
        direction, moments = _sgd(optimizer, gradient, moments)
    if decays and optimizer.weight_decay and optimizer.decoupled:
        direction = direction + optimizer.weight_decay * weight
    return direction, moments


def _sgd(optimizer: SGD, gradient: Any, moments: Moments) -> tuple[Any, Moments]:
    if not optimizer.momentum:
        return gradient, ()
    velocity = optimizer.momentum * moments[0] + gradient
    return gradient + optimizer.momentum * velocity if optimizer.nesterov else velocity, (velocity,)


def _adam(ops: ArrayOperations, optimizer: Adam, gradient: Any, moments: Moments, step: Any) -> tuple[Any, Moments]:
    first = optimizer.beta1 * moments[0] + (1 - optimizer.beta1) * gradient
    second = optimizer.beta2 * moments[1] + (1 - optimizer.beta2) * (gradient * gradient)
    corrected, power = first / (1 - optimizer.beta1**step), second / (1 - optimizer.beta2**step)
    return corrected / (ops.sqrt(power) + optimizer.epsilon), (first, second)
