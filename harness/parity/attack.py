"""A certificate's attacks: the pictures that a backend makes, and those that the reference makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.attack import Attack
from harness.backend import Precision
from harness.data import Examples
from harness.parity.deviations import Deviations
from harness.parity.rounding import SINGLE, rounding_reference
from harness.parity.trial import AnyBackend, Trial
from harness.probes import LIMITS, deviation
from harness.recipe import LossName, loss_for
from harness.reference.attacks import MOST_LEFT_OUT, Attacked, attacked
from harness.reference.backend import NumPy
from harness.reference.losses import cross_entropy
from harness.spec import Array, Model

START = 1
"""The seed that a random start is drawn from."""


class AttackTrial(Trial):
    """One network, some attacks.

    Where a pixel has next to no gradient, rounding decides its sign: such pixels are left out, and counted. If an attack has
    too many of them, its pictures prove nothing: an error might lie in what was left out.
    """

    def __init__(self, model: Model, attacks: Sequence[Attack], most: int, batch: int) -> None:
        """`most` steps of each attack are made."""
        self.attacks = [replace(attack, steps=min(attack.steps, most)) for attack in attacks]
        self.steps = max(attack.steps for attack in self.attacks)
        super().__init__(model, loss_for(model), batch)
        self.made = [self._made(*self._given(attack, batch)) for attack in self.attacks]
        if partly := [made.settled for made in self.made if made.left_out]:
            left, total = sum(int((~some).sum()) for some in partly), sum(some.size for some in partly)
            self.excludes.append(f"{left} of {total} attacked pixels (their gradient is nothing but rounding)")
        worst = max(made.left_out for made in self.made)
        if worst > MOST_LEFT_OUT:
            self.too_little = f"{worst:.2%} of the pixels of an attack have a gradient that is nothing but rounding, limit {MOST_LEFT_OUT:.1%}"

    def _made(self, *given: Any) -> Attacked:
        """What the reference makes of pictures, and which of their pixels it leaves to rounding."""
        net, noisy = (
            reference.build(self.model, self.weights)
            for reference in (NumPy(precision="float64"), rounding_reference(back=True))
        )
        return attacked(net, noisy, *given)

    def _given(self, attack: Attack, count: int) -> tuple[Array, Array, Attack, LossName, Array]:
        """What a backend is given: some pictures, their labels, the attack, the loss, and where to start."""
        pixels, labels = self._first(count)
        return pixels, labels, attack, self.loss, attack.first(pixels, START)

    def _off_by_rounding(self, examples: Examples) -> Array:
        """Also how far rounding alone moves what an attack makes of each picture."""
        off, pixels = super()._off_by_rounding(examples), examples.pixels(examples.images)
        for attack in self.attacks:
            given = pixels, examples.labels, attack, self.loss, attack.first(pixels, START)
            plain, noisy = self._made(*given), rounding_reference()
            noisily = noisy.perturb(noisy.build(self.model, self.weights), *given)
            apart = np.where(plain.settled, np.abs(plain.pictures - noisily), 0.0)
            off = np.maximum(off, apart.max((1, 2, 3)))
        return off

    def compare_exact(self, backend: AnyBackend, found: Deviations) -> None:
        net = backend.build(self.model, self.weights)
        self._compare_outputs(backend, net, found)
        self._compare_input_gradient(backend, net, found)
        for attack, expected in zip(self.attacks, self.made, strict=True):
            pictures = backend.perturb(net, *self._given(attack, len(expected.pictures)))
            if pictures.shape == expected.pictures.shape:
                pictures = np.where(expected.settled, pictures, expected.pictures)
            found.compare("attacked pictures", f"{self.model.name}, {attack.norm}", pictures, expected.pictures)

    def compare_timed(self, backend: AnyBackend, found: Deviations) -> None:
        """The pictures themselves cannot be compared: a sign is all or nothing. Their losses, by the reference, can."""
        net = backend.build(self.model, self.weights)
        self._compare_outputs(backend, net, found)
        for attack, expected in zip(self.attacks, self.made, strict=True):
            pictures = backend.perturb(net, *self._given(attack, len(expected.pictures)))
            where = f"{self.model.name}, {attack.norm}"
            found.compare("losses", where, self._loss(pictures), self._loss(expected.pictures))

    def timed_limit(self, precision: Precision) -> float:
        """A sign that rounding has turned moves a pixel by a whole step: the reference is attacked with the rounding errors
        of float32, to see how far that goes."""
        limit, moved = LIMITS[precision], []
        if precision == "float32":
            for attack, expected in zip(self.attacks, self.made, strict=True):
                for seed in range(3):
                    noisy = rounding_reference(SINGLE, seed)
                    net = noisy.build(self.model, self.weights)
                    pictures = noisy.perturb(net, *self._given(attack, len(expected.pictures)))
                    moved.append(deviation(self._loss(pictures), self._loss(expected.pictures)))
        return max(limit, 3 * max(moved, default=0.0))

    def _loss(self, pictures: Array) -> Array:
        """The mean loss of the first pictures, as they are now, by the reference."""
        net = NumPy(precision="float64").build(self.model, self.weights)
        logits = net.run(np.asarray(pictures, np.float64))[self.model.end()].output
        labels = self.examples.labels[: len(pictures)]
        losses, _ = cross_entropy(self.loss, logits, labels)
        return np.array([losses.mean()])
