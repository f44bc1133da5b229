"""Attacks on a trained network, for the tasks that change pictures: the network, the pictures, and timed attacks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from harness.attack import Attack
from harness.data import Batches, Examples
from harness.errors import UsageError
from harness.recipe import loss_for
from harness.reference.losses import probabilities
from harness.spec import Array, Model, class_count
from harness.task import TaskContext
from harness.tasks.common.fitting import first_evidence, in_order
from harness.timing.clock import Rate

AT_ONCE, VALUES = 64, 1_250_000
"""The batch size of attacks: at most this many pictures, and at most this many values of pixels. For 224x224 photos it is
8."""

OWN_VIEW = "the predictions of the network are used as labels"


class Victim:
    """A trained network, and timed attacks on it. All batches have the same size."""

    def __init__(self, context: TaskContext) -> None:
        assert context.start, "a task with default weights always gets weights"
        self.context, self.backend, self.classes = context, context.backend, context.start.classes
        unnamed = context.start.unnamed
        self.unnamed = unnamed and f"the names of the network's classes are not known ({unnamed})"
        self.model: Model = context.build_model(context.dataset.shape, len(self.classes))
        self.loss = loss_for(self.model)
        with context.clock.phase("build"):
            self.net = self.backend.build(self.model, context.start.weights)
        self.evidence: dict[str, Any] = first_evidence(context, self.net, self.model)
        self.rates: list[Rate] = []
        """Attacked pictures per second in each batch."""

    def logits(self, images: Array) -> Array:
        """The logits of pictures."""
        with self.context.clock.phase("eval"):
            return self.backend.forward(self.net, in_order(Examples(images, np.zeros(len(images), np.int32))))

    def record_inputs(self, images: Array, labels: Array | None = None) -> None:
        """Record a hash of the pictures, and of the labels if they are from the dataset, as evidence: it must be equal for
        all backends."""
        given = images.tobytes() + (b"" if labels is None else labels.tobytes())
        self.evidence["pictures"] = hashlib.sha256(given).hexdigest()[:16]

    def prepare(self, attack: Attack, images: Array, labels: Array) -> None:
        """Run one step of this attack, which is not timed: frameworks may compile here."""
        rows = np.resize(np.arange(len(images)), at_once(images, len(images)))
        with self.context.clock.phase("warm_up" if "first_step" in self.context.clock.phases else "first_step"):
            self._perturbed(replace(attack, steps=1), images[rows], labels[rows], images[rows])

    def attacked(self, attack: Attack, images: Array, labels: Array, start: Array) -> Array:
        """The pictures after the attack. A shorter last batch is filled up, so that nothing is compiled again."""
        size, made = at_once(images, len(images)), []
        for rows in Batches(Examples(images, labels), np.arange(len(images)), size).order:
            with self.context.clock.phase("attack"):
                made.append(self._perturbed(attack, images[rows], labels[rows], start[rows]))
            self.rates.append(self.context.clock.rate("attack", size))
            self.context.tell(f"{min(len(made) * size, len(images))} of {len(images)} pictures attacked")
        return np.concatenate(made)[: len(images)].astype(np.float32)

    def timed(self, attack: Attack, images: Array, labels: Array, start: Array) -> list[Rate]:
        """The rates of timed segments. If there are too few attacked batches, or too short ones, the first is repeated."""
        rows = np.resize(np.arange(len(images)), at_once(images, len(images)))
        pictures, classes, first = images[rows], labels[rows], start[rows]

        def repeat(times: int) -> float:
            for _ in range(times):
                self._perturbed(attack, pictures, classes, first)
            return times * len(rows)

        return self.context.timed(self.rates, repeat, len(rows))

    def _perturbed(self, attack: Attack, images: Array, labels: Array, start: Array) -> Array:
        return self.backend.perturb(self.net, images, labels, attack, self.loss, start)


def check_class(option: str, number: int | None, model: Model) -> None:
    """Raise UsageError if the network has no class of this number. None is always valid."""
    count = class_count(model)
    if number is not None and not 0 <= number < count:
        raise UsageError(
            f"{option} must be a class of {model.name}, from 0 to {count - 1}, not {number}", code="wrong-classes"
        )


def at_once(images: Array, most: int = AT_ONCE) -> int:
    """The batch size for attacks on pictures of this size."""
    return max(1, min(most, AT_ONCE, VALUES // math.prod(images.shape[1:])))


class ChosenPictures(NamedTuple):
    """The pictures to attack, and their labels."""

    images: Array
    labels: Array
    own: str | None
    """The reason why the labels are the network's own predictions; None if they are from the dataset. With its own
    predictions as labels, the accuracy of the network before the attack means nothing."""


def choose_pictures(victim: Victim, most: int | None) -> ChosenPictures:
    """Pictures of the test split, drawn by the seed. The labels are from the dataset if the network has all of its classes;
    otherwise they are the network's predictions."""
    context, test = victim.context, victim.context.dataset.test
    most = most or 4 * at_once(test.images)
    some = test.take(_rows(len(test), most, context.seed))
    victim.evidence["order_rule"] = hashlib.sha256(_rows(len(test), most, 0).tobytes()).hexdigest()[:16]
    images = some.pixels(some.images, np.float32)
    if why := victim.unnamed or _unfit(context.dataset.classes, victim.classes):
        return ChosenPictures(images, predictions(victim.logits(images)).astype(np.int32), f"{why}: {OWN_VIEW}")
    numbers = np.array([victim.classes.index(name) for name in context.dataset.classes], np.int32)
    return ChosenPictures(images, numbers[some.labels], None)


def _rows(count: int, most: int, seed: int) -> Array:
    """The indices of the pictures that a seed draws, in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def _unfit(classes: Sequence[str], known: Sequence[str]) -> str | None:
    """The reason why labels of `classes` cannot be used for a network with the classes `known`; None if they can."""
    for name in classes:
        if (count := known.count(name)) > 1:
            return f"{count} classes of the network are named {name!r}"
        if not count:
            return f"the network has no class {name!r}"
    return None


def predictions(logits: Array) -> Array:
    """The predicted class of each picture."""
    classes: Array = probabilities(logits).argmax(1)
    return classes
