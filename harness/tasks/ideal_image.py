"""ideal-image: what a trained network would like to see of a class.

From the same noise on all backends, gradient ascent makes a picture in which the logit of the class is as large as can be;
once as it comes, and once with its total variation held down, so that neighbouring pixels go together and shapes appear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    Array,
    Attack,
    Metric,
    ModelBuilder,
    Range,
    Shape,
    Subject,
    Task,
    TaskContext,
    TaskResult,
    Victim,
    check_class,
    check_ranges,
    hookimpl,
    probabilities,
    total_variation,
)

ALL, SOME = 10, 4
"""A network of so many classes, at most, shows all of them, and one of more so many, evenly spread."""


@dataclass(frozen=True)
class Options:
    classes: tuple[int, ...] = ()
    """The numbers of the classes; none stands for all, or for four of many."""
    steps: int = 256
    step_size: float = 0.02
    """How far a pixel moves in a step, on the average, on a scale from 0 to 1."""
    variation: float = 0.15
    """The weight of the total variation, where the gradient of the logit has a root mean square of 1."""
    noise: float = 0.05
    """How far the first pictures are from grey."""

    def __post_init__(self) -> None:
        check_ranges(
            self, classes=AT_LEAST_0, steps=AT_LEAST_1, step_size=ABOVE_0, variation=ABOVE_0, noise=Range(0, 0.5)
        )

    def ascent(self, variation: float) -> Attack:
        return Attack(
            norm="free", step_size=self.step_size, steps=self.steps, targeted=True, goal="logit", variation=variation
        )


class IdealImage(Task):
    name = "ideal-image"
    rate = "ideal images"
    options = Options
    metrics = (
        Metric("target_probability", "probability", "share", better="higher", headline=True, judged="probability"),
        Metric("total_variation", "variation", "size"),
        Metric("plain_total_variation", "without its loss", "size"),
        Metric("least_probability", "least probability", "share", better="higher", shown="no"),
        Metric("plain_target_probability", "probability without its loss", "share", better="higher", shown="no"),
        Metric("plain_least_probability", "least probability without its loss", "share", better="higher", shown="no"),
    )
    weights = "two-block-cnn-digits"
    keeps_head = True

    def subjects(self, model: ModelBuilder, input_shape: Shape, classes: int, options: Options) -> list[Subject]:
        network = model(input_shape, classes)
        for number in options.classes:
            check_class("ideal-image.classes", number, network)
        ways = options.ascent(0.0), options.ascent(options.variation)
        return [Subject(network, attacks=ways)]

    def run(self, context: TaskContext) -> TaskResult:
        options: Options = context.options
        victim = Victim(context)
        wanted = _chosen(options.classes, victim.classes)
        random = np.random.default_rng(context.seed)
        noise = np.clip(0.5 + options.noise * random.normal(size=(1, *victim.model.input_shape)), 0, 1)
        start = np.repeat(noise.astype(np.float32), len(wanted), 0)
        victim.record_inputs(start)
        made: dict[str, Array] = {}
        for way, weight in (("plain", 0.0), ("smooth", options.variation)):
            ascent = options.ascent(weight)
            victim.prepare(ascent, start, wanted)
            made[way] = victim.attacked(ascent, start, wanted, start)
        seen = {way: probabilities(victim.logits(pictures)) for way, pictures in made.items()}
        values = start[0].size
        metrics: dict[str, object] = {"classes": [victim.classes[number] for number in wanted]}
        for way, prefix in (("smooth", ""), ("plain", "plain_")):
            of_target = seen[way][np.arange(len(wanted)), wanted]
            metrics[f"{prefix}target_probability"] = float(of_target.mean())
            metrics[f"{prefix}least_probability"] = float(of_target.min())
            metrics[f"{prefix}total_variation"] = float((total_variation(made[way].astype(np.float64)) / values).mean())
        return TaskResult(
            metrics=metrics,
            rates=victim.rates,
            parameters=victim.model.counts(),
            evidence=victim.evidence,
            arrays={
                "made": made["smooth"], "plain": made["plain"], "labels": wanted, "original": start,
                "after": seen["smooth"].astype(np.float32), "plain_after": seen["plain"].astype(np.float32),
                "classes": np.array(victim.classes),
            },
        )  # fmt: skip


def _chosen(numbers: tuple[int, ...], classes: Sequence[str]) -> Array:
    """Those that were asked for, or all of few, or some of many."""
    count = len(classes)
    few = range(count) if count <= ALL else [(2 * place + 1) * count // (2 * SOME) for place in range(SOME)]
    return np.array(numbers or tuple(few), np.int32)


@hookimpl
def samebench_tasks() -> Sequence[Task]:
    return [IdealImage()]
