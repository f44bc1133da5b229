"""ideal-image: a picture that maximises the logit of a class of a trained network.

All backends start from the same noise and use gradient ascent. They make one picture without a constraint, and one with a
penalty on its total variation: neighbouring pixels become similar, so shapes appear.
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
"""A network with at most `ALL` classes shows all of them. A network with more classes shows `SOME`, evenly spaced."""


@dataclass(frozen=True)
class Options:
    classes: tuple[int, ...] = ()
    """The numbers of the classes; an empty list for all classes, or for four of them if there are more than ten."""
    steps: int = 256
    """The number of steps along the gradient."""
    step_size: float = 0.02
    """The mean change of a pixel in a step, for pixels from 0 to 1."""
    variation: float = 0.15
    """The weight of the total variation, relative to a gradient of the logit with a root mean square of 1."""
    noise: float = 0.05
    """The standard deviation of the noise in the first pictures, around grey."""

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
            rates=victim.timed(ascent, start, wanted, start),
            flops=ascent.flops(victim.model),
            parameters=victim.model.counts(),
            evidence=victim.evidence,
            arrays={
                "made": made["smooth"], "plain": made["plain"], "labels": wanted, "original": start,
                "after": seen["smooth"].astype(np.float32), "plain_after": seen["plain"].astype(np.float32),
                "classes": np.array(victim.classes),
            },
        )  # fmt: skip


def _chosen(numbers: tuple[int, ...], classes: Sequence[str]) -> Array:
    """The classes of the options, or else all of them, or some of them if there are many."""
    count = len(classes)
    few = range(count) if count <= ALL else [(2 * place + 1) * count // (2 * SOME) for place in range(SOME)]
    return np.array(numbers or tuple(few), np.int32)


@hookimpl
def samebench_tasks() -> Sequence[Task]:
    return [IdealImage()]
