"""What an attack makes of pictures, by the reference; and which pixels it leaves to rounding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from harness.attack import Attack, changed_by
from harness.recipe import LossName
from harness.reference.backend import Net, NumPy
from harness.reference.losses import slope
from harness.spec import Array

NO_GRADIENT = 1e-12
"""Of the largest in its picture: the sign of less than this is decided by rounding."""

MOST_LEFT_OUT = 0.001
"""Of an attack's pixels. Where more of them are left to rounding, what is left to compare proves too little."""


class Attacked(NamedTuple):
    """Pictures after an attack, and which of their pixels rounding did not move at any step."""

    pictures: Array
    settled: Array

    @property
    def left_out(self) -> float:
        """The share of pixels that are left to rounding."""
        return float((~self.settled).mean())


def attacked(
    net: Net, noisy: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array
) -> Attacked:
    """Run the attack on the reference, and watch its gradients. `noisy` is the same network, rounding otherwise.

    A pixel is settled if it has a gradient to go by, or none whatsoever: what is behind a relu that is shut, or what a
    stride steps over, is multiplied by zeros alone. Its gradient is exactly zero in every framework and moves nothing, which
    a backend must get right too. Two zeros are another thing. One is what is left when large terms cancel: in some other
    order those sum up to a little, and so they do on the noisy network. The other is that of a loss with no slope left to
    its last digit: written in another way, it has a little.
    """
    reference, settled = NumPy(precision="float64"), np.ones(images.shape, bool)

    def gradient(pictures: Array) -> Array:
        objective = attack.objective(loss)
        found = reference.input_gradient(net, pictures, labels, objective)
        size, zero = np.abs(found), found == 0
        if zero.any():
            zero &= reference.input_gradient(noisy, pictures, labels, objective) == 0
            logits = net.run(np.asarray(pictures, np.float64))[net.model.end()].output
            zero &= np.abs(slope(objective, logits, labels)).max(1)[:, None, None, None] > 0
        settled[...] &= zero | (size > 0) & (size >= NO_GRADIENT * size.max((1, 2, 3), keepdims=True))
        return found

    pictures = changed_by(attack, images, start, gradient)
    return Attacked(pictures, settled | (attack.norm != "linf"))
