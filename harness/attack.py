"""A change of pictures, as a value, after which a network sees something else in them.

`attack_step` is one step, for the arrays of any framework; the reference, the host's loop `changed_by` and every backend
run it. A backend may run the loop on its device: the pictures must be the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from harness.arrays.operations import NUMPY, ArrayOperations
from harness.errors import SpecError, renamed_method
from harness.recipe import LossName, Objective
from harness.spec import Array

Norm = Literal["linf", "l2", "free"]
NORMS: tuple[Norm, ...] = ("linf", "l2", "free")
Goal = Literal["loss", "logit"]
GOALS: tuple[Goal, ...] = ("loss", "logit")

VARIATION_SMOOTHING = 1e-3
"""Differences between neighbours that are much smaller than this count little in the total variation, so that it has a
gradient everywhere."""


class AttackKind(NamedTuple):
    """What of an attack decides what is computed, and may be compiled in."""

    norm: Norm
    targeted: bool
    smooth: bool


class AttackNumbers(NamedTuple):
    """What may not: other numbers compile nothing anew."""

    epsilon: Any
    step_size: Any
    variation: Any


@dataclass(frozen=True, kw_only=True)
class Attack:
    """So many steps, each along the gradient g of the goal with respect to the pixels:

        "linf"   x += step_size * sign(g)        then no pixel further than epsilon from where it was
        "l2"     x += step_size * g / |g|        then the change of a picture no longer than epsilon, by scaling it
        "free"   x += step_size * g / rms(g)     with no bound: what comes out is an ideal image of the target

    and after each of them every pixel is brought into [0, 1]. A gradient of zero moves nothing.

    The goal is the loss of the label, to be raised, or minus its logit; with `targeted`, the label is what the network is
    to see, and the goal is turned round. `variation` is the weight of the picture's total variation: the sum, over all
    places, of the length of the difference to the neighbours below and to the right. Its derivative, so many times, is
    taken off g / rms(g), so that one weight does for every network.
    """

    norm: Norm = "linf"
    epsilon: float = 8 / 255
    step_size: float = 2 / 255
    steps: int = 10
    targeted: bool = False
    goal: Goal = "loss"
    variation: float = 0.0
    random_start: bool = False
    """Begin at a random place within epsilon, drawn by the harness."""

    def __post_init__(self) -> None:
        for name, known in (("norm", NORMS), ("goal", GOALS)):
            if getattr(self, name) not in known:
                raise SpecError(f"there is no {name} {getattr(self, name)!r} of attacks; there are {', '.join(known)}")
        for name in ("epsilon", "step_size", "variation"):
            if not (math.isfinite(value := getattr(self, name)) and value >= 0):
                raise SpecError(f"{name} of an attack is a number of at least 0, not {value}")
        if self.steps < 1:
            raise SpecError(f"an attack takes 1 step or more, not {self.steps}")
        if self.random_start and self.norm == "free":
            raise SpecError("an attack without a bound has no place to draw its start from: leave random_start out")

    @property
    def kind(self) -> AttackKind:
        return AttackKind(self.norm, self.targeted, self.variation > 0)

    @property
    def numbers(self) -> AttackNumbers:
        return AttackNumbers(self.epsilon, self.step_size, self.variation)

    def objective(self, loss: LossName) -> Objective:
        """What to ask the pixels about, in a network that is trained by `loss`."""
        return loss if self.goal == "loss" else "logit"

    def start_pictures(self, images: Array, seed: int) -> Array:
        """Where it begins: the pictures themselves, or for a random start places drawn from the seed alone."""
        if not self.random_start:
            return images
        random = np.random.default_rng(seed)
        if self.norm == "linf":
            change = random.uniform(-self.epsilon, self.epsilon, images.shape)
        else:
            change = random.normal(size=images.shape)
            distances = random.uniform(size=len(images)) ** (1 / math.prod(images.shape[1:])) * self.epsilon
            change *= over(distances[:, None, None, None], lengths(change))
        return np.clip(images + change, 0, 1).astype(images.dtype)

    first = renamed_method("first", "start_pictures")

    def slope(self, pictures: Array, gradient: Array) -> Array:
        """The direction of a step, given the gradient of the label's loss, or of minus its logit."""
        slope: Array = attack_slope(NUMPY, self.kind, self.numbers, pictures, gradient)
        return slope

    def step(self, pictures: Array, images: Array, slope: Array) -> Array:
        """One step from `pictures` along a slope; the originals are `images`."""
        moved: Array = move(NUMPY, self.kind, self.numbers, pictures, images, slope)
        return moved


def attack_step(
    ops: ArrayOperations, kind: AttackKind, numbers: AttackNumbers, pictures: Any, originals: Any, gradient: Any
) -> Any:
    """The pictures after one step of an attack; `gradient` is that of the label's loss, or of minus its logit, with
    respect to `pictures`. The numbers may be traced: none of them decides what is computed."""
    return move(ops, kind, numbers, pictures, originals, attack_slope(ops, kind, numbers, pictures, gradient))


def attack_slope(ops: ArrayOperations, kind: AttackKind, numbers: AttackNumbers, pictures: Any, gradient: Any) -> Any:
    """The direction of a step: the gradient of the goal, less that of the total variation if it has a weight."""
    upwards = -gradient if kind.targeted else gradient
    if not kind.smooth:
        return upwards
    return levelled(upwards, ops) - numbers.variation * variation_slope(pictures, ops)


def move(
    ops: ArrayOperations, kind: AttackKind, numbers: AttackNumbers, pictures: Any, originals: Any, slope: Any
) -> Any:
    """The pictures after one step along a slope, brought back within epsilon of the originals and into [0, 1]."""
    if kind.norm == "linf":
        moved = pictures + numbers.step_size * ops.sign(slope)
        near = ops.clip(moved, originals - numbers.epsilon, originals + numbers.epsilon)
    elif kind.norm == "l2":
        moved = pictures + numbers.step_size * over(slope, lengths(slope, ops), ops)
        change = moved - originals
        length = lengths(change, ops)
        near = ops.where(length > numbers.epsilon, originals + change * over(numbers.epsilon, length, ops), moved)
    else:
        near = pictures + numbers.step_size * levelled(slope, ops)
    return ops.clip(near, 0.0, 1.0)


def check_pictures(images: Array, labels: Array, start: Array) -> None:
    """Raise unless these are floating-point pictures with a label each, and a place to start from for each."""
    if images.ndim != 4 or start.shape != images.shape or labels.shape != images.shape[:1]:
        raise SpecError(
            "an attack takes pictures (n, rows, columns, channels), as many labels, and a start of the same shape, not "
            f"{images.shape}, {labels.shape} and {start.shape}"
        )
    for what, pictures in (("pictures", images), ("the start", start)):
        if not np.issubdtype(pictures.dtype, np.floating):
            raise SpecError(f"{what} of an attack are floating-point numbers from 0 to 1, not {pictures.dtype}")
        if wrong := np.flatnonzero(~((pictures >= 0) & (pictures <= 1)).all((1, 2, 3))).tolist():
            least, most = pictures[wrong[0]].min(), pictures[wrong[0]].max()
            raise SpecError(
                f"{what} of an attack are numbers from 0 to 1: number {wrong[0]} has values from {least:g} to {most:g}"
            )
    if len(labels) and labels.min() < 0:
        raise SpecError(f"labels of an attack are numbers of classes, from 0, not {labels.min()}")


def changed_by(attack: Attack, images: Array, start: Array, gradient: Callable[[Array], Array]) -> Array:
    """The pictures after an attack that begins at `start`. `gradient` is that of the loss, or of minus the logit, of each
    picture's label, with respect to its pixels."""
    pictures = start
    for _ in range(attack.steps):
        pictures = attack.step(pictures, images, attack.slope(pictures, gradient(pictures)))
    return pictures


def total_variation(pictures: Array) -> Array:
    """The total variation of each picture: how much neighbours differ, over all places."""
    total: Array = _differences(pictures, NUMPY)[2].sum((1, 2, 3))
    return total


BELOW, BESIDE = ((0, 0), (0, 1), (0, 0), (0, 0)), ((0, 0), (0, 0), (0, 1), (0, 0))
ABOVE, BEFORE = ((0, 0), (1, 0), (0, 0), (0, 0)), ((0, 0), (0, 0), (1, 0), (0, 0))
"""One row, or one column, of zeros at one side of each picture."""


def variation_slope(pictures: Any, ops: ArrayOperations = NUMPY) -> Any:
    """The derivative of the total variation with respect to each pixel."""
    down, right, length = _differences(pictures, ops)
    down, right = down / length, right / length
    return ops.pad(down[:, :-1], ABOVE) - (down + right) + ops.pad(right[:, :, :-1], BEFORE)


def _differences(pictures: Any, ops: ArrayOperations) -> tuple[Any, Any, Any]:
    """The differences to the neighbours below and to the right, 0 at the border, and their length."""
    down = ops.pad(pictures[:, 1:] - pictures[:, :-1], BELOW)
    right = ops.pad(pictures[:, :, 1:] - pictures[:, :, :-1], BESIDE)
    return down, right, ops.sqrt(down * down + right * right + VARIATION_SMOOTHING**2)


def levelled(gradient: Any, ops: ArrayOperations = NUMPY) -> Any:
    """The gradient with a root mean square of 1 in each picture, or of 0."""
    return math.sqrt(math.prod(gradient.shape[1:])) * over(gradient, lengths(gradient, ops), ops)


def lengths(pictures: Any, ops: ArrayOperations = NUMPY) -> Any:
    """The Euclidean length of each picture."""
    return ops.sqrt(ops.sum(pictures * pictures, axis=(1, 2, 3), keepdims=True))


def over(value: Any, length: Any, ops: ArrayOperations = NUMPY) -> Any:
    """value / length, and 0 where the length is 0."""
    return value / ops.where(length > 0, length, math.inf)
