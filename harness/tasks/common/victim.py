"""What the tasks that change pictures are made of: the network that is attacked, the pictures, and attacks that are timed."""

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

AT_ONCE, VALUES = 64, 1_250_000
"""Pictures that are attacked together, at most: so many, and so many values of pixels. Large photos go 8 at a time."""

OWN_VIEW = "each picture counts as what the network sees in it"


class Victim:
    """A trained network as it is, and how it is attacked: some pictures at a time, always as many."""

    def __init__(self, context: TaskContext) -> None:
        assert context.start, "a task that names weights is given them"
        self.context, self.backend, self.classes = context, context.backend, context.start.classes
        unnamed = context.start.unnamed
        self.unnamed = unnamed and f"the names of the network's classes are not known ({unnamed})"
        self.model: Model = context.build_model(context.dataset.shape, len(self.classes))
        self.loss = loss_for(self.model)
        with context.clock.phase("build"):
            self.net = self.backend.build(self.model, context.start.weights)
        self.evidence: dict[str, Any] = first_evidence(context, self.net, self.model)
        self.rates: list[float] = []
        """Attacked pictures per second, of each batch."""

    def logits(self, images: Array) -> Array:
        """What the network says of pictures. No phase of the clock counts this."""
        return self.backend.forward(self.net, in_order(Examples(images, np.zeros(len(images), np.int32))))

    def record_inputs(self, images: Array, labels: Array | None = None) -> None:
        """Keep as evidence what is attacked, and what is right if the network itself does not decide that: all backends
        must have been given the same."""
        given = images.tobytes() + (b"" if labels is None else labels.tobytes())
        self.evidence["pictures"] = hashlib.sha256(given).hexdigest()[:16]

    def prepare(self, attack: Attack, images: Array, labels: Array) -> None:
        """One step of an attack of this kind: where a framework compiles, it does so now, and no rate counts it."""
        rows = np.resize(np.arange(len(images)), at_once(images, len(images)))
        with self.context.clock.phase("warm_up" if "first_step" in self.context.clock.phases else "first_step"):
            self._perturbed(replace(attack, steps=1), images[rows], labels[rows], images[rows])

    def attacked(self, attack: Attack, images: Array, labels: Array, start: Array) -> Array:
        """The pictures after the attack. A last batch that is short is filled up, so that nothing compiles anew."""
        size, made = at_once(images, len(images)), []
        for rows in Batches(Examples(images, labels), np.arange(len(images)), size).order:
            with self.context.clock.phase("attack"):
                made.append(self._perturbed(attack, images[rows], labels[rows], start[rows]))
            self.rates.append(self.context.clock.rate("attack", size))
            self.context.tell(f"{min(len(made) * size, len(images))} of {len(images)} pictures attacked")
        return np.concatenate(made)[: len(images)].astype(np.float32)

    def _perturbed(self, attack: Attack, images: Array, labels: Array, start: Array) -> Array:
        return self.backend.perturb(self.net, images, labels, attack, self.loss, start)


def check_class(option: str, number: int | None, model: Model) -> None:
    """Raise unless there is such a class; None names none."""
    count = class_count(model)
    if number is not None and not 0 <= number < count:
        raise UsageError(f"{option}: {model.name} has the classes 0 to {count - 1}, and no {number}")


def at_once(images: Array, most: int = AT_ONCE) -> int:
    """How many pictures of this size are attacked together."""
    return max(1, min(most, AT_ONCE, VALUES // math.prod(images.shape[1:])))


class ChosenPictures(NamedTuple):
    """What is attacked: pixels, and what is right for the network."""

    images: Array
    labels: Array
    own: str | None
    """If that is what the network sees in them now: why. It is then right about all of them, and no accuracy says so."""


def choose_pictures(victim: Victim, most: int | None) -> ChosenPictures:
    """Some pictures of the test split, drawn by the seed. Labels are the data set's if its classes are among the network's;
    or else what the network sees."""
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
    """The numbers of the pictures that a seed draws, in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def _unfit(classes: Sequence[str], known: Sequence[str]) -> str | None:
    """Why labels of these classes say nothing about a network that knows those; None if they do."""
    for name in classes:
        if (count := known.count(name)) > 1:
            return f"{count} classes of the network are named {name!r}"
        if not count:
            return f"the network knows no class {name!r}"
    return None


def predictions(logits: Array) -> Array:
    """The class that the network sees in each picture."""
    classes: Array = probabilities(logits).argmax(1)
    return classes
