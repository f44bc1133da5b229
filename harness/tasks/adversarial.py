"""adversarial: pictures changed so little that nobody sees it, and so that a trained network sees something else.

All backends attack the same weights, with the same pictures, along the same rules, so what they make must be the same
pictures. How often the network is still right is told for several sizes of the change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from harness.attack import Attack
from harness.data import Examples
from harness.errors import UsageError
from harness.fitting import first_evidence, in_order
from harness.markers import hookimpl
from harness.options import check_numbers
from harness.recipe import Recipe
from harness.spec import Array, Shape
from harness.task import Bench, Findings, ModelBuilder, Subject, Task

SIZES = (0.25, 0.5, 1.0, 2.0)
"""Epsilons of the curve, in shares of the option."""


@dataclass(frozen=True)
class Options:
    epsilon: float = 0.1
    """How far a pixel may move in the norm "linf", on a scale from 0 to 1; in "l2", how far all of them together."""
    norm: Literal["linf", "l2"] = "linf"
    method: Literal["pgd", "fgsm"] = "pgd"
    """Several short steps, or one of the full size."""
    steps: int = 10
    step_share: float = 0.25
    """Of epsilon, for each of several steps."""
    objective: Literal["loss", "logit"] = "loss"
    target: int | None = None
    """The class that the network is to see; None for any but the right one."""
    random_start: bool = False
    pictures: int | None = 256
    """How many of the test split are attacked."""
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_numbers("adversarial", self, ("steps", "pictures", "batch_size"))
        if not self.epsilon > 0 or not np.isfinite(self.epsilon):
            raise UsageError(f"adversarial.epsilon must be above 0, not {self.epsilon}")
        if not 0 < self.step_share <= 1:
            raise UsageError(f"adversarial.step_share is above 0 and at most 1, not {self.step_share}")
        if self.target is not None and self.target < 0:
            raise UsageError(f"adversarial.target is the number of a class, from 0, not {self.target}")

    def attack(self, size: float = 1.0) -> Attack:
        """The attack with an epsilon of so many times the option's."""
        epsilon, one = size * self.epsilon, self.method == "fgsm"
        return Attack(
            norm=self.norm, epsilon=epsilon, step_size=epsilon if one else epsilon * self.step_share,
            steps=1 if one else self.steps, targeted=self.target is not None, goal=self.objective,
            random_start=self.random_start and not one,
        )  # fmt: skip


class Adversarial(Task):
    name = "adversarial"
    rate = "attacked images"
    options = Options
    weights = "two-block-cnn-digits"
    keeps_head = True

    def subjects(self, model: ModelBuilder, input_shape: Shape, classes: int, options: Options) -> list[Subject]:
        attack = replace(options.attack(), targeted=False)  # a target changes a sign, and needs a class of its own
        return [Subject(model(input_shape, classes), attacks=(attack,))]

    def run(self, bench: Bench) -> Findings:
        backend, options, clock = bench.backend, bench.options, bench.clock
        model, weights = bench.trained
        with clock.phase("build"):
            net = backend.build(model, weights)
        evidence = first_evidence(bench, net, model)
        examples, note = victims(bench, net, model)
        labels = np.full(len(examples), options.target, np.int32) if options.targeted else examples.labels
        clean = logits_of(bench, net, examples)
        right = clean.argmax(1) == examples.labels

        bench.tell("first attack")
        raid = Raid(bench, net, examples, labels)
        curve = [{"epsilon": 0.0, "accuracy": float(right.mean())}]
        for size in SIZES:
            attack = options.attack(size)
            pictures = raid.run(attack)
            logits = logits_of(bench, net, Examples(pictures, examples.labels))
            curve.append({"epsilon": attack.epsilon, "accuracy": accuracy(logits, examples.labels)})
            if size == 1.0:
                made, seen = pictures, logits
        change = np.abs(made - raid.images)
        fooled = seen.argmax(1) == labels if options.targeted else seen.argmax(1) != examples.labels
        return Findings(
            metrics={
                "test_accuracy": float(right.mean()),
                "robust_accuracy": curve,
                "success_rate": float(fooled[right].mean()) if right.any() else 0.0,
                "mean_perturbation": float(change.mean()),
                "largest_perturbation": float(change.max()),
                "vanished_gradients": raid.vanished(),
                "attack_images_per_s": float(np.median(raid.rates)) if raid.rates else None,
            },
            rates=raid.rates,
            parameters=model.counts(),
            evidence=evidence | {"labels": note},
            arrays={"adversarial": made, "clean": raid.images, "labels": examples.labels},
        )
