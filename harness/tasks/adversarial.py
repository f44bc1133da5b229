"""adversarial: small changes of pictures that make a trained network misclassify them.

All backends attack the same weights with the same pictures and the same rules, so they must make the same adversarial
pictures. The accuracy of the network is measured for several sizes of the change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    FACTOR,
    Attack,
    Metric,
    ModelBuilder,
    Shape,
    Subject,
    Task,
    TaskContext,
    TaskResult,
    Victim,
    check_class,
    check_ranges,
    choose_pictures,
    hookimpl,
    median_rate,
    predictions,
    probabilities,
)

SIZES = (0.25, 0.5, 1.0, 2.0)
"""Epsilons of the curve, as multiples of the option epsilon."""

DRAWINGS = {"linf": 0.1, "l2": 0.5}
"""Default epsilons for grey pictures, such as digits. The change is visible, but the digit stays readable."""

PHOTO, PHOTO_BALL = 8 / 255, 0.5 / math.sqrt(32 * 32 * 3)
"""Default epsilons for colour pictures: in linf, and in l2 divided by the square root of the number of values, which gives
0.5 at 32x32 and 3.5 at 224x224."""


def default_epsilon(norm: str, shape: Shape) -> float:
    """The usual epsilon for pictures of this shape: rows, columns, channels."""
    if shape[-1] == 1:
        return DRAWINGS[norm]
    return PHOTO if norm == "linf" else PHOTO_BALL * math.sqrt(math.prod(shape))


@dataclass(frozen=True)
class Options:
    epsilon: float | None = None
    """The maximum norm of the change, for pixels from 0 to 1: of each pixel (linf) or of the whole picture (l2). None
    depends on the input: 0.1 (linf) or 0.5 (l2) for grey pictures; for colours 8/255, or 0.5 at 32x32 and 3.5 at 224x224."""
    norm: Literal["linf", "l2"] = "linf"
    """The size of a change: the largest change of a pixel (linf), or the length of the change as a vector (l2)."""
    method: Literal["pgd", "fgsm"] = "pgd"
    """Several small steps (pgd), or one step of the full size (fgsm)."""
    steps: int = 10
    """The number of steps of pgd."""
    step_share: float = 0.25
    """The size of each step of pgd, as a share of epsilon."""
    objective: Literal["loss", "logit"] = "loss"
    """The quantity that the attack changes: the loss, or the logit of the label."""
    target: int | None = None
    """The class that the network should predict; None for any wrong class."""
    random_start: bool = False
    """Whether to start from random pictures within epsilon of the originals."""
    pictures: int | None = None
    """The number of pictures of the test split, chosen by the seed; None for 256, or fewer if they are large."""

    def __post_init__(self) -> None:
        check_ranges(self, epsilon=ABOVE_0, steps=AT_LEAST_1, step_share=FACTOR, target=AT_LEAST_0, pictures=AT_LEAST_1)

    def attack(self, shape: Shape, size: float = 1.0) -> Attack:
        """The attack on pictures of this shape. Its epsilon is `size` times that of the options."""
        epsilon, once = size * (self.epsilon or default_epsilon(self.norm, shape)), self.method == "fgsm"
        return Attack(
            norm=self.norm, epsilon=epsilon, step_size=epsilon if once else epsilon * self.step_share,
            steps=1 if once else self.steps, targeted=self.target is not None, goal=self.objective,
            random_start=self.random_start,
        )  # fmt: skip


class Adversarial(Task):
    name = "adversarial"
    rate = "attacked images"
    options = Options
    metrics = (
        Metric("test_accuracy", "clean accuracy", "share", better="higher"),
        Metric(
            "accuracy_at_epsilon", "robust accuracy", "share", better="higher", headline=True, of="robust_accuracy",
            at="epsilon", sample="pictures", judged="accuracy",
        ),
        Metric(
            "robust_accuracy", "accuracy", form="curve", better="higher", over="epsilon", parts=(("accuracy", "share"),),
            at="epsilon", sample="pictures", compared=True,
        ),
        Metric("pictures", "number of pictures", "count", average="none", shown="details"),
        Metric("epsilon", average="none", shown="details"),
        Metric("success_rate", "success", "share", at="epsilon", shown="details"),
        Metric("mean_perturbation", "mean change", "size", at="epsilon", shown="details"),
        Metric("largest_perturbation", "largest", "size", at="epsilon", shown="details"),
        Metric("vanished_gradients", "no gradient", "share", at="epsilon", shown="details"),
        Metric("attack_images_per_s", "attacked images/s", "rate", better="higher", shown="no"),
    )  # fmt: skip
    weights = "two-block-cnn-digits"
    keeps_head = True

    def subjects(self, model: ModelBuilder, input_shape: Shape, classes: int, options: Options) -> list[Subject]:
        network = model(input_shape, classes)
        check_class("adversarial.target", options.target, network)
        return [Subject(network, attacks=(options.attack(network.input_shape),))]

    def run(self, context: TaskContext) -> TaskResult:
        options: Options = context.options
        victim = Victim(context)
        images, labels, own = choose_pictures(victim, options.pictures)
        wanted = labels if options.target is None else np.full_like(labels, options.target)
        victim.record_inputs(images, None if own else labels)
        before = victim.logits(images)
        right = predictions(before) == labels
        curve = [{"epsilon": 0.0, "accuracy": float(right.mean())}]
        shape = victim.model.input_shape
        victim.prepare(options.attack(shape), images, wanted)
        for size in SIZES:
            attack = options.attack(shape, size)
            start = attack.start_pictures(images, context.seed)
            changed = victim.attacked(attack, images, wanted, start)
            after = victim.logits(changed)
            curve.append({"epsilon": attack.epsilon, "accuracy": float((predictions(after) == labels).mean())})
            if size == 1.0:
                made, seen, still = changed, after, (changed == start).all((1, 2, 3))
        asked = right if options.target is None else predictions(before) != wanted
        fooled = (predictions(seen) == wanted) == (options.target is not None)
        change = np.abs(made - images)
        rates = victim.timed(attack, images, wanted, start)
        clean = {} if own else {"test_accuracy": float(right.mean())}
        return TaskResult(
            metrics=clean
            | {
                "robust_accuracy": curve,
                "epsilon": options.attack(shape).epsilon,
                "success_rate": float(fooled[asked].mean()) if asked.any() else 0.0,
                "mean_perturbation": float(change.mean()),
                "largest_perturbation": float(change.max()),
                "vanished_gradients": float(still.mean()),
                "attack_images_per_s": median_rate(rates),
                "pictures": len(images),
            },
            rates=rates,
            flops=attack.flops(victim.model),
            parameters=victim.model.counts(),
            evidence=victim.evidence | ({"notes": [own]} if own else {}),
            arrays={
                "original": images, "made": made, "labels": labels, "wanted": wanted,
                "before": probabilities(before).astype(np.float32), "after": probabilities(seen).astype(np.float32),
                "classes": np.array(victim.classes), "shown": np.argsort(~(fooled & asked), kind="stable"),
            },
        )  # fmt: skip


@hookimpl
def samebench_tasks() -> Sequence[Task]:
    return [Adversarial()]
