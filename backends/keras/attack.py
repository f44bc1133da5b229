"""One step of an attack on pictures that stay on the device: `harness.attack` for every engine of Keras."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from harness import VARIATION_SMOOTHING, AttackKind, AttackNumbers


def step(kind: AttackKind, numbers: AttackNumbers, pictures: Any, images: Any, gradient: Any) -> Any:
    """The pictures after one step; `gradient` is that of the loss, or of minus the logit."""
    slope = -gradient if kind.targeted else gradient
    if kind.smooth:
        slope = levelled(slope) - numbers.variation * variation_slope(pictures)
    if kind.norm == "linf":
        moved = pictures + numbers.step_size * ops.sign(slope)
        near = ops.minimum(ops.maximum(moved, images - numbers.epsilon), images + numbers.epsilon)
    elif kind.norm == "l2":
        moved = pictures + numbers.step_size * over(slope, lengths(slope))
        change = moved - images
        length = lengths(change)
        near = ops.where(length > numbers.epsilon, images + change * over(numbers.epsilon, length), moved)
    else:
        near = pictures + numbers.step_size * levelled(slope)
    return ops.clip(near, 0.0, 1.0)


def variation_slope(pictures: Any) -> Any:
    """The derivative of the total variation with respect to each pixel."""
    below, beside = [[0, 0], [0, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [0, 1], [0, 0]]
    down = ops.pad(pictures[:, 1:] - pictures[:, :-1], below)
    right = ops.pad(pictures[:, :, 1:] - pictures[:, :, :-1], beside)
    length = ops.sqrt(ops.square(down) + ops.square(right) + VARIATION_SMOOTHING**2)
    down, right = down / length, right / length
    above, before = [[0, 0], [1, 0], [0, 0], [0, 0]], [[0, 0], [0, 0], [1, 0], [0, 0]]
    return ops.pad(down[:, :-1], above) + ops.pad(right[:, :, :-1], before) - (down + right)


def levelled(gradient: Any) -> Any:
    """The gradient with a root mean square of 1 in each picture, or of 0."""
    values = math.prod(gradient.shape[1:])
    return values**0.5 * over(gradient, lengths(gradient))


def lengths(pictures: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(pictures), axis=(1, 2, 3), keepdims=True))


def over(value: Any, length: Any) -> Any:
    """value / length, and 0 where the length is 0."""
    return ops.where(length > 0, value / length, ops.zeros_like(length))
