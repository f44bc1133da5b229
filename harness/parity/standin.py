"""What a certificate is about where the network itself will not do: without drop-out, and smaller where it is large.

XLA on a CPU takes minutes and gigabytes for a float64 network on pictures of 224x224, and the reference is no quicker.
The same layers on smaller pictures prove the same, and the certificate says which it saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from harness.data import Examples
from harness.errors import SpecError
from harness.recipe import Recipe
from harness.reference.backend import Net
from harness.reference.layers import LAYERS, Applied, Context, batch_norm
from harness.spec import Array, BatchNorm, Branches, Dropout, Layer, Model, Node, Residual, Shape, Weights
from harness.text import format_size

LARGE = 20e6
"""Networks of more operations a picture than this are certified over fewer steps, and on smaller pictures."""

HALVINGS = 32
"""What published networks shrink a picture by. Sizes with the same remainder are halved alike on the way, so that
a border that is TensorFlow's "same" on the published size is that on the smaller one too."""

LEAST = 2
"""Where batch norms learn, they see pictures of this size or more: from the few values of single pixels a batch norm
makes little but signs, and rounding decides everything after it."""


def without_dropout(model: Model) -> tuple[Model, list[str]]:
    """The model with drop-out at rate 0, and what that leaves unproven: masks differ by framework."""

    def still(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        return tuple(map(still_one, layers))

    def still_one(layer: Layer) -> Layer:
        match layer:
            case Dropout():
                return replace(layer, rate=0.0)
            case Residual():
                return replace(layer, body=still(layer.body), shortcut=still(layer.shortcut))
            case Branches():
                return replace(layer, paths=tuple(map(still, layer.paths)))
        return layer

    quiet = replace(model, trunk=still(model.trunk), head=still(model.head))
    return quiet, [] if quiet == model else ["dropout masks"]


def smaller(model: Model, recipe: Recipe | None) -> tuple[Model, list[str]]:
    """A large model on the smallest pictures that will do, and what that leaves unproven; any other as it is."""
    if model.flops > LARGE:
        for shape in _sizes(model.input_shape):
            try:
                copy = replace(model, input_shape=shape)
            except SpecError:  # a window does not fit
                continue
            if all(min(node.shape[:-1], default=LEAST) >= LEAST for node in learning_norms(copy, recipe)):
                return copy, [
                    f"pictures of {format_size(model.input_shape[:-1])} (certified on {format_size(shape[:-1])})"
                ]
    return model, []


def learning_norms(model: Model, recipe: Recipe | None) -> list[Node]:
    """The batch norms through which what a picture gives depends on the others of its batch."""
    return [node for node in model.nodes if isinstance(node.layer, BatchNorm) and recipe and recipe.rate(node.name)]


def with_statistics(model: Model, weights: Weights, examples: Examples) -> dict[str, Array]:
    """The weights, with statistics that fit these pictures: values keep their size.

    With any others, what runs in evaluation mode grows from block to block, until the loss is 0 and has no gradient
    that could be compared.
    """

    def settling(layer: BatchNorm, context: Context, x: Array) -> Applied:
        own, axes = context.weights, tuple(range(x.ndim - 1))
        square = np.maximum((x**2).mean(axes), 1)  # what is small stays so: blown up, its rounding would grow too
        near = {"variance": _fraction(square * own["variance"])}
        done = batch_norm(layer, context._replace(weights={**own, **near}), x)
        return done._replace(statistics=near)

    network = type("SettlingNet", (Net,), {"layers": LAYERS | {BatchNorm: settling}})
    done = network(model, weights).run(examples.pixels(examples.images))
    near = {f"{node}.{name}": value for node, found in done.items() for name, value in found.statistics.items()}
    return dict(weights) | near


def _fraction(values: Array) -> Array:
    """A short fraction above each value, as all other weights of a certificate are."""
    above: Array = (np.floor(values * 256) + 1) / np.float32(256)
    return above.astype(np.float32)


def _sizes(shape: Shape) -> Iterator[Shape]:
    """The shapes below this one that are halved alike, the smallest first; a side that is small already stays."""
    *sides, channels = shape
    least = [min(side, HALVINGS + side % HALVINGS) for side in sides]
    for more in range(0, max(sides), HALVINGS):
        smaller = (*(min(start + more, side) for start, side in zip(least, sides, strict=True)), channels)
        if smaller == shape:
            return
        yield smaller
