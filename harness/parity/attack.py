"""A certificate's attacks: the pictures that a backend makes, and those that the reference makes.

An attack is compared twice. First step by step, each step from the reference's pictures, so that a pixel whose step is
unsure affects no later step. Then as a whole, in the loop that is timed, on pictures whose every step is certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from harness.attack import Attack, divide_or_zero, lengths
from harness.backend import Precision
from harness.parity.deviations import Deviations
from harness.parity.noise import rounding_reference
from harness.parity.probes import LIMITS, deviation
from harness.parity.rounding import SINGLE, Estimate, RunningErrors
from harness.parity.trial import EXACT_LIMIT, AnyBackend, Trial
from harness.recipe import LossName, loss_for
from harness.reference.backend import Net, NumPy
from harness.reference.losses import cross_entropy
from harness.spec import Array, Model

START = 1
"""The seed that a random start is drawn from."""

MOST_LEFT_OUT = 0.001
"""The largest share of the compared pixels that rounding may decide; with more, equal pictures prove too little."""


class Step(NamedTuple):
    """One step of an attack by the reference, and which of its pixels rounding does not decide."""

    before: Array
    after: Array
    certain: Array

    @property
    def unsure(self) -> Array:
        """The number of pixels of each picture that are not certain."""
        count: Array = (~self.certain).sum((1, 2, 3))
        return count

    def take(self, rows: Array) -> Step:
        return Step(*(values[rows] for values in self))


def steps_of(net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Iterator[Step]:
    """Each step of the reference, from the pictures of the step before."""
    errors, pictures = RunningErrors(net), start
    for _ in range(attack.steps):
        estimate = errors.input_gradient(pictures, labels, attack.objective(loss))
        after = attack.step(pictures, images, attack.slope(pictures, estimate.values))
        yield Step(pictures, after, certain(attack, pictures, estimate))
        pictures = after


def certain(attack: Attack, pictures: Array, gradient: Estimate) -> Array:
    """The pixels whose step rounding does not decide: by its sign in linf, and otherwise by the direction."""
    side = np.sqrt(pictures[0].size)  # the length of a gradient whose root mean square is 1
    slope = attack.slope(pictures, gradient.values)
    errors = side * _of_direction(*gradient) if attack.variation else gradient.errors
    if attack.norm == "linf":
        return Estimate(slope, errors).certain()
    length = attack.step_size * (side if attack.norm == "free" else 1.0)
    return length * _of_direction(slope, errors) <= EXACT_LIMIT / 10


def _of_direction(values: Array, errors: Array) -> Array:
    """The errors of the gradient after it is scaled to length 1 in each picture."""
    length = lengths(values)
    off: Array = divide_or_zero(errors + np.abs(divide_or_zero(values, length)) * lengths(errors), length)
    return np.where((length == 0) & (errors > 0), np.inf, off)


class Attacked:
    """Pictures attacked by the reference, and those on which a backend is compared."""

    def __init__(
        self, net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array, count: int
    ) -> None:
        """`count` pictures are compared: in each step those with the fewest unsure pixels, and in the whole attack
        those whose every step is certain, repeated where they are few."""
        self.images, self.labels, self.start = images, labels, start
        self.attack, self.loss = attack, loss
        self.steps = list(steps_of(net, images, labels, attack, loss, start))
        unsure = [step.unsure for step in self.steps]
        self.rows = [np.argsort(pixels, kind="stable")[:count] for pixels in unsure]
        settled = np.flatnonzero(np.sum(unsure, axis=0) == 0)
        self.settled = len(settled)
        self.whole = np.resize(settled, count) if self.settled else self.rows[-1]

    @property
    def left_out(self) -> int:
        """The number of pixels that are compared step by step and are not certain."""
        return sum(int(step.unsure[rows].sum()) for step, rows in zip(self.steps, self.rows, strict=True))

    @property
    def compared(self) -> int:
        return sum(step.before[rows].size for step, rows in zip(self.steps, self.rows, strict=True))

    @property
    def expected(self) -> Array:
        """The pictures after the whole attack."""
        pictures: Array = self.steps[-1].after[self.whole]
        return pictures

    def made_by(self, backend: AnyBackend, net: Any, count: int | None = None) -> Array:
        """The pictures after the whole attack by a backend: all, or the first `count`."""
        rows = self.whole[:count]
        given = self.images[rows], self.labels[rows], self.attack, self.loss, self.start[rows]
        return backend.perturb(net, *given)

    def steps_by(self, backend: AnyBackend, net: Any) -> Iterator[tuple[Array, Array, Array]]:
        """Each step by a backend and by the reference, and the pixels that can be compared."""
        one = replace(self.attack, steps=1)
        for step, rows in zip(self.steps, self.rows, strict=True):
            before, after, sure = step.take(rows)
            yield backend.perturb(net, self.images[rows], self.labels[rows], one, self.loss, before), after, sure


class AttackTrial(Trial):
    """One network, some attacks."""

    def __init__(self, model: Model, attacks: Sequence[Attack], most: int, batch: int, seed: int = 0) -> None:
        """Each attack takes at most `most` steps."""
        super().__init__(model, loss_for(model), batch, seed)
        attacks = [replace(attack, steps=min(attack.steps, most)) for attack in attacks]
        self.steps = max(attack.steps for attack in attacks)
        net = NumPy(precision="float64").build(model, self.weights)
        pixels = self.pictures.pixels(self.pictures.images)
        self.attacked = [
            Attacked(net, pixels, self.pictures.labels, attack, self.loss, attack.start_pictures(pixels, START), batch)
            for attack in attacks
        ]
        self._say_what_is_left_out()

    def _say_what_is_left_out(self) -> None:
        left = sum(attacked.left_out for attacked in self.attacked)
        compared = sum(attacked.compared for attacked in self.attacked)
        if left:
            self.excludes.append(f"{left} of {compared} attacked pixels (rounding decides their step)")
        worst = max(attacked.left_out / attacked.compared for attacked in self.attacked)
        if worst > MOST_LEFT_OUT:
            self.too_little = (
                f"rounding decides the step of {worst:.2%} of the pixels of an attack, limit {MOST_LEFT_OUT:.1%}"
            )
        elif not all(attacked.settled for attacked in self.attacked):
            self.too_little = "rounding decides some step of every picture of an attack"

    def compare_exact(self, backend: AnyBackend, found: Deviations) -> None:
        net = backend.build(self.model, self.weights)
        self._compare_outputs(backend, net, found)
        self._compare_input_gradient(backend, net, found)
        for attacked in self.attacked:
            where = f"{self.model.name}, {attacked.attack.norm}"
            for number, (made, expected, sure) in enumerate(attacked.steps_by(backend, net), 1):
                made = np.where(sure, made, expected) if made.shape == expected.shape else made
                found.compare("attacked pictures", f"{where}, step {number}", made, expected)
            if attacked.settled:
                found.compare("attacked pictures", where, attacked.made_by(backend, net), attacked.expected)

    def compare_timed(self, backend: AnyBackend, found: Deviations) -> None:
        """The pictures themselves cannot be compared: a sign is all or nothing. Their losses, by the reference, can."""
        net = backend.build(self.model, self.weights)
        self._compare_outputs(backend, net, found)
        for attacked in self.attacked:
            where = f"{self.model.name}, {attacked.attack.norm}"
            made = self._losses(attacked, attacked.made_by(backend, net))
            found.compare("losses", where, made, self._losses(attacked, attacked.expected))

    def timed_limit(self, precision: Precision) -> float:
        """A sign that rounding has turned moves a pixel by a whole step: the reference is attacked with the rounding errors
        of float32, to see how far that goes."""
        limit, moved = LIMITS[precision], []
        if precision == "float32":
            for attacked in self.attacked:
                for seed in range(3):
                    noisy = rounding_reference(SINGLE, seed)
                    made = attacked.made_by(noisy, noisy.build(self.model, self.weights))
                    expected = self._losses(attacked, attacked.expected)
                    moved.append(deviation(self._losses(attacked, made), expected))
        return max(limit, 3 * max(moved, default=0.0))

    def _losses(self, attacked: Attacked, pictures: Array) -> Array:
        """The mean loss of pictures as they are now, by the reference."""
        net = NumPy(precision="float64").build(self.model, self.weights)
        logits = net.run(np.asarray(pictures, np.float64))[self.model.end()].output
        losses, _ = cross_entropy(self.loss, logits, attacked.labels[attacked.whole])
        return np.array([losses.mean()])
