"""From one task to another: a trained trunk, a new head, and which parts of it learn again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np

from harness.data import Examples
from harness.errors import SpecError
from harness.options import AT_LEAST_1, BELOW_1, check_ranges
from harness.recipe import SGD, Adam, AdamW, Cosine, Recipe
from harness.spec import Array, BatchNorm, Dense, Dropout, Flatten, Layer, Model, Node, Shape, Weights, relu
from harness.task import ModelBuilder, Subject, TaskContext
from harness.tasks.common.evaluation import Point
from harness.tasks.common.fitting import SEGMENTS, EpochGroups, Fit, first_evidence, in_order

FROZEN_TRUNK = (("trunk", 0.0),)
"""Learning rates of the parts of a network: the trunk does not learn."""

LEAST = 4
"""Batches of a timed segment, if there are so many: fewer would time what a framework does once for each call."""


@dataclass(frozen=True)
class Head:
    """The new head, and how it is trained on the features that a frozen trunk gives."""

    epochs: int = 30
    batch_size: int = 32
    hidden: int | None = None
    """Units of a layer before the last one; None for the last one alone."""
    dropout: float = 0.0
    """The share of the features to drop. No two frameworks drop the same ones."""
    optimizer: SGD | Adam | AdamW = Adam(lr=1e-3, weight_decay=1e-4)

    def __post_init__(self) -> None:
        check_ranges(self, epochs=AT_LEAST_1, batch_size=AT_LEAST_1, hidden=AT_LEAST_1, dropout=BELOW_1)

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.optimizer, Cosine())

    def subjects(self, build: ModelBuilder, input_shape: Shape, classes: int) -> list[Subject]:
        """What the training of a head rests on: features that come through the trunk, and the head alone."""
        whole = self.on(build, input_shape, classes)
        return [Subject(whole, replace(self.recipe, rates=FROZEN_TRUNK)), Subject(head_alone(whole), self.recipe)]

    def layers(self, classes: int) -> tuple[Layer, ...]:
        drop = (Dropout(self.dropout),) if self.dropout else ()
        hidden = (Dense(self.hidden), relu) if self.hidden else ()
        return (*drop, *hidden, Dense(classes))

    def on(self, build: ModelBuilder, input_shape: Shape, classes: int) -> Model:
        """The trained network with this head in the place of its own."""
        trained = build(input_shape, classes)
        picture = len(trained.shape_at(trained.end("features"))) > 1
        return replace(
            trained, trunk=(*trained.trunk, Flatten()) if picture else trained.trunk, head=self.layers(classes)
        )


def head_alone(model: Model) -> Model:
    """The head as a network: its pictures are features, one pixel of many channels. Its tensors keep their names."""
    (features,) = model.shape_at(model.end("features"))
    return Model(f"{model.name}-head", (1, 1, features), trunk=(Flatten(),), head=model.head)


def trunk_of(weights: Weights) -> dict[str, Array]:
    return {name: tensor for name, tensor in weights.items() if name.startswith("trunk.")}


class Trunk:
    """A trained trunk that pictures go through, each of them once."""

    def __init__(self, context: TaskContext, net: Any) -> None:
        self.context, self.net = context, net
        self.rates: list[float] = []
        """Features per second, of each timed segment. A last batch that is short has been filled up, and counts as full."""

    def features(self, examples: Examples) -> Examples:
        """The pictures' features, as pictures of one pixel, with the same labels."""
        batches, clock, forward = in_order(examples), self.context.clock, self.context.backend.forward
        with clock.phase("warm_up" if "first_step" in clock.phases else "first_step"):
            done = [forward(self.net, batches[:1], upto="features")]  # which uploads, and may compile: no rate of it
        pieces = max(1, min(SEGMENTS, (len(batches) - 1) // LEAST))
        cuts = np.linspace(1, len(batches), pieces + 1).astype(int)
        for part in (batches[start:stop] for start, stop in pairwise(cuts) if start < stop):
            with clock.phase("extract"):
                done.append(forward(self.net, part, upto="features"))
            self.rates.append(clock.rate("extract", len(part) * part.batch_size))
            self.context.tell(f"features of {part.rows[-1] + 1} of {len(examples)} pictures")
        features = np.concatenate(done)
        return Examples(features.reshape(len(features), 1, 1, -1), examples.labels)


class Learned(NamedTuple):
    """A head that has been trained on the features of a frozen trunk."""

    model: Model
    net: Any
    """Trunk and head, the head as it was at first."""

    trunk: Trunk
    features: Examples
    """Those of the pictures that it was trained on."""

    fit: Fit
    """Of the head alone."""

    points: list[Point]
    evidence: dict[str, Any]

    @property
    def weights(self) -> dict[str, Array]:
        """Those of the trunk and of the trained head."""
        backend = self.trunk.context.backend
        return {**backend.weights(self.net), **backend.weights(self.fit.net)}


def learn_head(context: TaskContext, options: Head, train: Examples, validation: Examples | None) -> Learned:
    """Put a new head on the trained trunk, and train it on the features of the pictures as they are."""
    backend, clock, data = context.backend, context.clock, context.dataset
    model = options.on(context.build_model, data.shape, len(data.classes))
    head = head_alone(model)
    first = context.first_weights(head)
    with clock.phase("build"):
        net = backend.build(model, {**trunk_of(context.start.weights if context.start else {}), **first})
    evidence = first_evidence(context, net, model)

    context.tell("first features")
    trunk = Trunk(context, net)
    features = trunk.features(train)
    held = trunk.features(validation) if validation else None
    with clock.phase("build"):
        small = backend.build(head, first)
    fit = Fit(context, small, head, options.recipe)
    groups = EpochGroups(context, features, options.batch_size, options.epochs)
    points = fit.follow(groups, held)
    evidence |= {"features": _sample(features.images)} | groups.evidence | fit.evidence
    return Learned(model, net, trunk, features, fit, points, evidence)


def _sample(features: Array) -> dict[str, Any]:
    """Some of the features, and their scale, to compare frameworks by."""
    flat = features.reshape(len(features), -1)
    return {"scale": float(np.abs(flat).max()), "sample": flat[:4, :64].astype(float).tolist()}


def unfrozen_rates(
    model: Model, blocks: int, layers: int | None, norms: bool, rate: float
) -> tuple[tuple[str, float], ...]:
    """Rates at which the last blocks of the trunk learn, or its last layers, and all of the head.

    Batch norms stay as they are, in evaluation mode, unless `norms` says otherwise: their statistics are of far more
    pictures than there are to learn from.
    """
    nodes = [node for node in model.nodes if node.name.startswith("trunk.")]
    starts, count, what = (_blocks(nodes), blocks, "blocks") if layers is None else (_layers(nodes), layers, "layers")
    if not 1 <= count <= len(starts):
        raise SpecError(
            f"the trunk of {model.name} has {len(starts)} {what} that can learn, so 1 to {len(starts)}, not {count}"
        )
    last = nodes[starts[-count] :]
    return (*FROZEN_TRUNK, *((node.name, rate) for node in last if norms or not isinstance(node.layer, BatchNorm)))


def _blocks(nodes: Sequence[Node]) -> list[int]:
    """Where blocks begin: runs of layers that give pictures of one size. Paths that run side by side are one layer, and
    belong together. A run without parameters does not count."""
    given = {_layer_of(node): node.shape[:-1] for node in nodes}  # its last node's, where the paths meet
    runs = (list(run) for _, run in groupby(range(len(nodes)), key=lambda place: given[_layer_of(nodes[place])]))
    return [run[0] for run in runs if any(nodes[place].parameters for place in run)]


def _layer_of(node: Node) -> str:
    """The layer of the trunk that a node belongs to, be it a residual or branches."""
    return node.name.split(".")[1]


def _layers(nodes: Sequence[Node]) -> list[int]:
    """Where layers are that have a kernel; what follows one goes with it."""
    return [place for place, node in enumerate(nodes) if "kernel" in node.parameters]


def changed_tensors(before: Weights, after: Mapping[str, Array], frozen: tuple[str, ...]) -> list[str]:
    """The tensors of frozen nodes that are not what they were, to the bit."""
    return [
        name
        for name, tensor in before.items()
        if name.rpartition(".")[0] in frozen and not np.array_equal(tensor, after[name])
    ]
