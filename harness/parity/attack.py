"""A certificate's attacks: a comparison of the pictures of a backend with those of the reference.

Each attack is compared twice. The first comparison is step by step. Each step starts from the reference's pictures, so
an uncertain pixel affects no later step. The second comparison runs the whole attack, in the loop that is timed, on
pictures for which all steps are certain.
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
"""The seed of random starts."""

MOST_LEFT_OUT = 0.001
"""The largest share of the compared pixels that may be uncertain. With more, equal pictures prove too little."""


class Step(NamedTuple):
    """A step of an attack by the reference. A pixel is certain if rounding does not decide its step."""

    before: Array
    after: Array
    certain: Array

    @property
    def uncertain(self) -> Array:
        """The number of uncertain pixels of each picture."""
        count: Array = (~self.certain).sum((1, 2, 3))
        return count

    def take(self, rows: Array) -> Step:
        return Step(*(values[rows] for values in self))


def steps_of(net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Iterator[Step]:
    """The steps of the reference. Each step starts from the pictures of the step before it."""
    errors, pictures = RunningErrors(net), start
    for _ in range(attack.steps):
        estimate = errors.input_gradient(pictures, labels, attack.objective(loss))
        after = attack.step(pictures, images, attack.slope(pictures, estimate.values))
        yield Step(pictures, after, certain(attack, pictures, estimate))
        pictures = after


def certain(attack: Attack, pictures: Array, gradient: Estimate) -> Array:
    """The pixels whose step rounding does not decide. In linf the sign decides a step, and otherwise the direction."""
    side = np.sqrt(pictures[0].size)  # the length of a gradient whose root mean square is 1
    slope = attack.slope(pictures, gradient.values)
    errors = side * _of_direction(*gradient) if attack.variation else gradient.errors
    if attack.norm == "linf":
        return Estimate(slope, errors).certain()
    length = attack.step_size * (side if attack.norm == "free" else 1.0)
    return length * _of_direction(slope, errors) <= EXACT_LIMIT / 10


def _of_direction(values: Array, errors: Array) -> Array:
    """The errors of the gradient scaled to length 1 for each picture."""
    length = lengths(values)
    off: Array = divide_or_zero(errors + np.abs(divide_or_zero(values, length)) * lengths(errors), length)
    return np.where((length == 0) & (errors > 0), np.inf, off)


class Attacked:
    """An attack by the reference, and the pictures on which a backend is compared."""

    def __init__(
        self, net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array, count: int
    ) -> None:
        """A comparison uses `count` pictures. For a single step, these have the fewest uncertain pixels. For the whole
        attack, all their steps are certain; if there are too few, they are repeated."""
        self.images, self.labels, self.start = images, labels, start
        self.attack, self.loss = attack, loss
        self.steps = list(steps_of(net, images, labels, attack, loss, start))
        uncertain = [step.uncertain for step in self.steps]
        self.rows = [np.argsort(pixels, kind="stable")[:count] for pixels in uncertain]
        settled = np.flatnonzero(np.sum(uncertain, axis=0) == 0)
        self.settled = len(settled)
        self.whole = np.resize(settled, count) if self.settled else self.rows[-1]

    @property
    def left_out(self) -> int:
        """The number of uncertain pixels in the comparison step by step."""
        return sum(int(step.uncertain[rows].sum()) for step, rows in zip(self.steps, self.rows, strict=True))

    @property
    def compared(self) -> int:
        return sum(step.before[rows].size for step, rows in zip(self.steps, self.rows, strict=True))

    @property
    def expected(self) -> Array:
        """The pictures after the whole attack."""
        pictures: Array = self.steps[-1].after[self.whole]
        return pictures

    def made_by(self, backend: AnyBackend, net: Any, count: int | None = None) -> Array:
        """The pictures after the whole attack by a backend: all of them, or the first `count`."""
        rows = self.whole[:count]
        given = self.images[rows], self.labels[rows], self.attack, self.loss, self.start[rows]
        return backend.perturb(net, *given)

    def steps_by(self, backend: AnyBackend, net: Any) -> Iterator[tuple[Array, Array, Array]]:
        """For each step, the pictures of a backend, those of the reference, and the certain pixels."""
        single = replace(self.attack, steps=1)
        for step, rows in zip(self.steps, self.rows, strict=True):
            before, after, certain = step.take(rows)
            yield backend.perturb(net, self.images[rows], self.labels[rows], single, self.loss, before), after, certain


class AttackTrial(Trial):
    """A trial of attacks on a network."""

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
        self._note_exclusions()

    def _note_exclusions(self) -> None:
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
            for number, (made, expected, certain) in enumerate(attacked.steps_by(backend, net), 1):
                made = np.where(certain, made, expected) if made.shape == expected.shape else made
                found.compare("attacked pictures", f"{where}, step {number}", made, expected)
            if attacked.settled:
                found.compare("attacked pictures", where, attacked.made_by(backend, net), attacked.expected)

    def compare_timed(self, backend: AnyBackend, found: Deviations) -> None:
        """Compare the losses of the attacked pictures, computed by the reference. The pictures themselves cannot be
        compared, because a wrong sign moves a pixel by a whole step."""
        net = backend.build(self.model, self.weights)
        self._compare_outputs(backend, net, found)
        for attacked in self.attacked:
            where = f"{self.model.name}, {attacked.attack.norm}"
            made = self._losses(attacked, attacked.made_by(backend, net))
            found.compare("losses", where, made, self._losses(attacked, attacked.expected))

    def timed_limit(self, precision: Precision) -> float:
        """The limit of the losses. In float32, attacks by references with rounding errors of float32 show how much
        changed signs move them."""
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
        """The mean loss of these pictures, computed by the reference."""
        net = NumPy(precision="float64").build(self.model, self.weights)
        logits = net.run(np.asarray(pictures, np.float64))[self.model.end()].output
        losses, _ = cross_entropy(self.loss, logits, attacked.labels[attacked.whole])
        return np.array([losses.mean()])
