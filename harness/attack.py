"""Attacks: changes of pictures along the gradient of a network.

An `Attack` is a value. `attack_step` computes a step with the arrays of any framework; the reference and every backend
use it. The loop over the steps runs on the host (`changed_by`) or on the device of a backend. Both make the same
pictures.
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
from harness.spec import Array, Model

Norm = Literal["linf", "l2", "free"]
NORMS: tuple[Norm, ...] = ("linf", "l2", "free")
Goal = Literal["loss", "logit"]
GOALS: tuple[Goal, ...] = ("loss", "logit")

VARIATION_SMOOTHING = 1e-3
"""Smooths the total variation: it has a gradient where neighbours are equal. Much smaller differences hardly count."""


class AttackKind(NamedTuple):
    """The options of an attack that choose the computation. Compiled code may depend on them."""

    norm: Norm
    targeted: bool
    smooth: bool


class AttackNumbers(NamedTuple):
    """The numbers of an attack. They are arguments of compiled code, so that other numbers need no new compilation."""

    epsilon: Any
    step_size: Any
    variation: Any


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A number of steps, each along the gradient g of the goal with respect to the pixels x:

        "linf"   x += step_size * sign(g)        then each pixel is clipped to within epsilon of the original
        "l2"     x += step_size * g / |g|        then the change of a picture is scaled down to length epsilon at most
        "free"   x += step_size * g / rms(g)     without a bound; the result is an ideal image of the target

    After each step, all pixels are clipped to [0, 1]. A gradient of zero moves nothing.

    The goal is the loss of the label, or minus the logit of the label, and each step raises it. With `targeted`, the
    label is the class that the network should predict, and each step lowers the goal.

    `variation` is the weight of the total variation of a picture. The total variation sums, over all pixels, the length
    of the difference to the neighbours below and to the right. Its derivative times `variation` is subtracted from
    g / rms(g), so the same weight suits every network.
    """

    norm: Norm = "linf"
    epsilon: float = 8 / 255
    step_size: float = 2 / 255
    steps: int = 10
    targeted: bool = False
    goal: Goal = "loss"
    variation: float = 0.0
    random_start: bool = False
    """Whether to start from random pictures within epsilon of the originals. The harness draws them."""

    def __post_init__(self) -> None:
        for name, known in (("norm", NORMS), ("goal", GOALS)):
            if getattr(self, name) not in known:
                raise SpecError(
                    f"{name} of an attack must be one of {', '.join(known)}, not {getattr(self, name)!r}",
                    code="unknown-name",
                )
        for name in ("epsilon", "step_size", "variation"):
            if not (math.isfinite(value := getattr(self, name)) and value >= 0):
                raise SpecError(f"{name} of an attack must be a number of at least 0, not {value}", code="out-of-range")
        if self.steps < 1:
            raise SpecError(f"steps of an attack must be at least 1, not {self.steps}", code="out-of-range")
        if self.random_start and self.norm == "free":
            raise SpecError(
                "random_start needs a bound, and the norm 'free' has none: leave random_start out",
                code="conflicting-options",
            )

    def flops(self, model: Model) -> int:
        """The floating-point operations for one picture: in each step a forward pass, and a backward pass to the pixels."""
        return 2 * model.flops * self.steps

    @property
    def kind(self) -> AttackKind:
        return AttackKind(self.norm, self.targeted, self.variation > 0)

    @property
    def numbers(self) -> AttackNumbers:
        return AttackNumbers(self.epsilon, self.step_size, self.variation)

    def objective(self, loss: LossName) -> Objective:
        """The quantity differentiated with respect to the pixels, for a network trained with `loss`."""
        return loss if self.goal == "loss" else "logit"

    def start_pictures(self, images: Array, seed: int) -> Array:
        """The pictures that the first step starts from: `images`, or random pictures drawn from the seed."""
        if not self.random_start:
            return images
        random = np.random.default_rng(seed)
        if self.norm == "linf":
            change = random.uniform(-self.epsilon, self.epsilon, images.shape)
        else:
            change = random.normal(size=images.shape)
            distances = random.uniform(size=len(images)) ** (1 / math.prod(images.shape[1:])) * self.epsilon
            change *= divide_or_zero(distances[:, None, None, None], lengths(change))
        return np.clip(images + change, 0, 1).astype(images.dtype)

    first = renamed_method("first", "start_pictures")

    def slope(self, pictures: Array, gradient: Array) -> Array:
        """The direction of a step, given the gradient of the label's loss, or of minus its logit."""
        slope: Array = attack_slope(NUMPY, self.kind, self.numbers, pictures, gradient)
        return slope

    def step(self, pictures: Array, images: Array, slope: Array) -> Array:
        """The pictures after a step from `pictures` along `slope`. The originals are `images`."""
        moved: Array = move(NUMPY, self.kind, self.numbers, pictures, images, slope)
        return moved


def attack_step(
    ops: ArrayOperations, kind: AttackKind, numbers: AttackNumbers, pictures: Any, originals: Any, gradient: Any
) -> Any:
    """The pictures after a step of an attack. `gradient` is the gradient of the label's loss, or of minus its logit,
    with respect to `pictures`. The numbers may be traced arrays."""
    return move(ops, kind, numbers, pictures, originals, attack_slope(ops, kind, numbers, pictures, gradient))


def attack_slope(ops: ArrayOperations, kind: AttackKind, numbers: AttackNumbers, pictures: Any, gradient: Any) -> Any:
    """The direction of a step: the gradient of the goal, minus the weighted gradient of the total variation."""
    upwards = -gradient if kind.targeted else gradient
    if not kind.smooth:
        return upwards
    return unit_rms(upwards, ops) - numbers.variation * variation_slope(pictures, ops)


def move(
    ops: ArrayOperations, kind: AttackKind, numbers: AttackNumbers, pictures: Any, originals: Any, slope: Any
) -> Any:
    """The pictures after a step along `slope`, within epsilon of the originals and within [0, 1]."""
    if kind.norm == "linf":
        moved = pictures + numbers.step_size * ops.sign(slope)
        near = ops.clip(moved, originals - numbers.epsilon, originals + numbers.epsilon)
    elif kind.norm == "l2":
        moved = pictures + numbers.step_size * divide_or_zero(slope, lengths(slope, ops), ops)
        change = moved - originals
        length = lengths(change, ops)
        near = ops.where(
            length > numbers.epsilon, originals + change * divide_or_zero(numbers.epsilon, length, ops), moved
        )
    else:
        near = pictures + numbers.step_size * unit_rms(slope, ops)
    return ops.clip(near, 0.0, 1.0)


def check_pictures(images: Array, labels: Array, start: Array) -> None:
    """Raise unless these are floating-point pictures from 0 to 1, with a label and a start for each."""
    if images.ndim != 4 or start.shape != images.shape or labels.shape != images.shape[:1]:
        raise SpecError(
            "an attack needs pictures (n, rows, columns, channels), n labels, and a start of the same shape as the "
            f"pictures, not {images.shape}, {labels.shape} and {start.shape}",
            code="wrong-shape",
        )
    for what, pictures in (("pictures", images), ("the start", start)):
        if not np.issubdtype(pictures.dtype, np.floating):
            raise SpecError(
                f"{what} of an attack must be floating-point numbers from 0 to 1, not {pictures.dtype}",
                code="wrong-type",
            )
        if wrong := np.flatnonzero(~((pictures >= 0) & (pictures <= 1)).all((1, 2, 3))).tolist():
            least, most = pictures[wrong[0]].min(), pictures[wrong[0]].max()
            raise SpecError(
                f"{what} of an attack must be numbers from 0 to 1; "
                f"picture {wrong[0]} has values from {least:g} to {most:g}",
                code="out-of-range",
            )
    if len(labels) and labels.min() < 0:
        raise SpecError(
            f"labels of an attack must be class numbers of at least 0, not {labels.min()}", code="wrong-classes"
        )


def changed_by(attack: Attack, images: Array, start: Array, gradient: Callable[[Array], Array]) -> Array:
    """The pictures after an attack from `start`. `gradient` returns the gradient of each picture's loss, or of minus
    the logit of its label, with respect to its pixels."""
    pictures = start
    for _ in range(attack.steps):
        pictures = attack.step(pictures, images, attack.slope(pictures, gradient(pictures)))
    return pictures


def total_variation(pictures: Array) -> Array:
    """The total variation of each picture: the sum of the differences between neighbouring pixels."""
    total: Array = _differences(pictures, NUMPY)[2].sum((1, 2, 3))
    return total


BELOW, BESIDE = ((0, 0), (0, 1), (0, 0), (0, 0)), ((0, 0), (0, 0), (0, 1), (0, 0))
ABOVE, BEFORE = ((0, 0), (1, 0), (0, 0), (0, 0)), ((0, 0), (0, 0), (1, 0), (0, 0))
"""Padding by a row or a column of zeros at one side of each picture."""


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


def unit_rms(gradient: Any, ops: ArrayOperations = NUMPY) -> Any:
    """The gradient of each picture divided by its root mean square. A gradient of zero stays zero."""
    return math.sqrt(math.prod(gradient.shape[1:])) * divide_or_zero(gradient, lengths(gradient, ops), ops)


def lengths(pictures: Any, ops: ArrayOperations = NUMPY) -> Any:
    """The Euclidean length of each picture."""
    return ops.sqrt(ops.sum(pictures * pictures, axis=(1, 2, 3), keepdims=True))


def divide_or_zero(value: Any, length: Any, ops: ArrayOperations = NUMPY) -> Any:
    """value / length, or 0 where the length is 0."""
    return value / ops.where(length > 0, length, math.inf)
