"""What an attack makes of pictures, by the reference; and which pixels it leaves to rounding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from harness.attack import Attack, changed_by
from harness.recipe import LossName
from harness.reference.backend import Net, NumPy
from harness.spec import Array

NO_GRADIENT = 1e-12
"""Of the largest in its picture: the sign of less than this is decided by rounding."""


class Attacked(NamedTuple):
    """Pictures after an attack, and which of their pixels had a gradient to go by at every step."""

    pictures: Array
    settled: Array


def attacked(net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Attacked:
    """Run the attack on the reference, and watch its gradients."""
    reference, smallest = NumPy(precision="float64"), np.full(images.shape, np.inf)

    def gradient(pictures: Array) -> Array:
        found = reference.input_gradient(net, pictures, labels, attack.objective(loss))
        size = np.abs(found)
        largest = size.max((1, 2, 3), keepdims=True)
        np.minimum(smallest, np.divide(size, largest, out=np.zeros_like(size), where=largest > 0), out=smallest)
        return found

    pictures = changed_by(attack, images, start, gradient)
    return Attacked(pictures, (smallest >= NO_GRADIENT) | (attack.norm != "linf"))


def settled_by(net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Array:
    """Only the pixels that are not left to rounding, as a mask."""
    return attacked(net, images, labels, attack, loss, start).settled
