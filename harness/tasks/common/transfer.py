"""Transfer learning: a trained trunk, a new head, and the parts of the trunk that are trained again."""

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
from harness.timing.clock import Rate

FROZEN_TRUNK = (("trunk", 0.0),)
"""The rates of a recipe for a frozen trunk."""

LEAST = 4
"""Minimum number of batches per timed segment, so that the overhead of a call is small."""


@dataclass(frozen=True)
class Head:
    """The new head, and its training on the features of a frozen trunk."""

    epochs: int = 30
    """The number of epochs: passes over the features."""
    batch_size: int = 32
    """The number of examples in a training step."""
    hidden: int | None = None
    """Units of a hidden layer before the last layer; None for no hidden layer."""
    dropout: float = 0.0
    """The share of the features to drop. Each framework drops other features."""
    optimizer: SGD | Adam | AdamW = Adam(lr=1e-3, weight_decay=1e-4)
    """The optimiser and its own options."""

    def __post_init__(self) -> None:
        check_ranges(self, epochs=AT_LEAST_1, batch_size=AT_LEAST_1, hidden=AT_LEAST_1, dropout=BELOW_1)

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.optimizer, Cosine())

    def subjects(self, build: ModelBuilder, input_shape: Shape, classes: int) -> list[Subject]:
        """The subjects of certificates: the network with a frozen trunk, and the head alone."""
        whole = self.on(build, input_shape, classes)
        return [Subject(whole, replace(self.recipe, rates=FROZEN_TRUNK)), Subject(head_alone(whole), self.recipe)]

    def layers(self, classes: int) -> tuple[Layer, ...]:
        drop = (Dropout(self.dropout),) if self.dropout else ()
        hidden = (Dense(self.hidden), relu) if self.hidden else ()
        return (*drop, *hidden, Dense(classes))

    def on(self, build: ModelBuilder, input_shape: Shape, classes: int) -> Model:
        """The trained network with this head instead of its own."""
        trained = build(input_shape, classes)
        picture = len(trained.shape_at(trained.end("features"))) > 1
        return replace(
            trained, trunk=(*trained.trunk, Flatten()) if picture else trained.trunk, head=self.layers(classes)
        )


def head_alone(model: Model) -> Model:
    """The head as a network. Its input are features, as pictures of one pixel. Its tensors keep their names."""
    (features,) = model.shape_at(model.end("features"))
    return Model(f"{model.name}-head", (1, 1, features), trunk=(Flatten(),), head=model.head)


def trunk_of(weights: Weights) -> dict[str, Array]:
    return {name: tensor for name, tensor in weights.items() if name.startswith("trunk.")}


class Trunk:
    """Computes the features of pictures with a trained trunk."""

    def __init__(self, context: TaskContext, net: Any) -> None:
        self.context, self.net = context, net
        self.rates: list[Rate] = []
        """Pictures per second in each segment of the extraction. A shorter last batch is filled up, and counts as full."""

    def features(self, examples: Examples) -> Examples:
        """The features of the pictures, as pictures of one pixel, with the same labels."""
        batches, clock, forward = in_order(examples), self.context.clock, self.context.backend.forward
        with clock.phase("warm_up" if "first_step" in clock.phases else "first_step"):
            done = [forward(self.net, batches[:1], upto="features")]  # not timed: it copies the data, and may compile
        segments = max(1, min(SEGMENTS, (len(batches) - 1) // LEAST))
        cuts = np.linspace(1, len(batches), segments + 1).astype(int)
        for segment in (batches[start:stop] for start, stop in pairwise(cuts) if start < stop):
            with clock.phase("extract"):
                done.append(forward(self.net, segment, upto="features"))
            self.rates.append(clock.rate("extract", len(segment) * segment.batch_size))
            self.context.tell(f"features of {segment.rows[-1] + 1} of {len(examples)} pictures")
        features = np.concatenate(done)
        return Examples(features.reshape(len(features), 1, 1, -1), examples.labels)

    def timed(self, examples: Examples) -> list[Rate]:
        """The rates of timed segments. If the extraction has too few segments, or too short ones, it is repeated."""
        batches = in_order(examples)

        def repeat(count: int) -> float:
            for start in range(0, count, len(batches)):  # at most all pictures at once, because features take memory
                self.context.backend.forward(self.net, batches[: count - start], upto="features")
            return count * batches.batch_size

        return self.context.timed(self.rates, repeat, batches.batch_size)


class Learned(NamedTuple):
    """A head that was trained on the features of a frozen trunk."""

    model: Model
    net: Any
    """The trunk and the head, with the first weights of the head."""

    trunk: Trunk
    features: Examples
    """The features of the training pictures."""

    fit: Fit
    """The training of the head alone."""

    points: list[Point]
    evidence: dict[str, Any]

    @property
    def weights(self) -> dict[str, Array]:
        """The weights of the trunk and of the trained head."""
        context = self.trunk.context
        return {**context.weights(self.net), **context.weights(self.fit.net)}


def learn_head(context: TaskContext, options: Head, train: Examples, validation: Examples | None) -> Learned:
    """Put a new head on the trained trunk, and train it on the features of the pictures, without augmentation."""
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
    """Some of the features and their scale, for the comparison of frameworks."""
    flat = features.reshape(len(features), -1)
    return {"scale": float(np.abs(flat).max()), "sample": flat[:4, :64].astype(float).tolist()}


def unfrozen_rates(
    model: Model, blocks: int, layers: int | None, norms: bool, rate: float
) -> tuple[tuple[str, float], ...]:
    """The rates of a recipe that trains the last blocks of the trunk, or its last layers, and the head.

    Batch norms stay frozen, in evaluation mode, unless `norms` is true: their statistics are from many more pictures than
    the new dataset has.
    """
    nodes = [node for node in model.nodes if node.name.startswith("trunk.")]
    starts, count, unit = (_blocks(nodes), blocks, "blocks") if layers is None else (_layers(nodes), layers, "layers")
    if not 1 <= count <= len(starts):
        raise SpecError(
            f"the trunk of {model.name} has {len(starts)} {unit} that can be trained: set 1 to {len(starts)}, not {count}",
            code="out-of-range",
        )
    last = nodes[starts[-count] :]
    return (*FROZEN_TRUNK, *((node.name, rate) for node in last if norms or not isinstance(node.layer, BatchNorm)))


def _blocks(nodes: Sequence[Node]) -> list[int]:
    """The index of the first node of each block: a series of layers whose outputs have the same size. A residual or
    branches count as one layer. Blocks without parameters are left out."""
    sizes = {_layer_of(node): node.shape[:-1] for node in nodes}  # of the last node of each layer
    blocks = (list(block) for _, block in groupby(range(len(nodes)), key=lambda index: sizes[_layer_of(nodes[index])]))
    return [block[0] for block in blocks if any(nodes[index].parameters for index in block)]


def _layer_of(node: Node) -> str:
    """The layer of the trunk that contains a node. It may be a residual or branches."""
    return node.name.split(".")[1]


def _layers(nodes: Sequence[Node]) -> list[int]:
    """The indices of the nodes with a kernel. Nodes without a kernel belong to the previous one."""
    return [index for index, node in enumerate(nodes) if "kernel" in node.parameters]


def changed_tensors(before: Weights, after: Mapping[str, Array], frozen: tuple[str, ...]) -> list[str]:
    """The tensors of frozen nodes that have changed in any bit."""
    return [
        name
        for name, tensor in before.items()
        if name.rpartition(".")[0] in frozen and not np.array_equal(tensor, after[name])
    ]
