"""The certified network: the task's network without dropout, and on smaller pictures if it is large.

On a CPU, XLA needs minutes and gigabytes for a float64 network on pictures of 224x224, and the reference is as slow.
The same layers on smaller pictures prove the same. The certificate records the size of the pictures.
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
"""Networks with more operations per picture are certified over fewer steps and on smaller pictures."""

HALVINGS = 32
"""The factor by which published networks shrink pictures. Sizes with the same remainder need the same padding in every
layer, so the padding that is TensorFlow's "same" on the published size is also "same" on the smaller size."""

LEAST = 2
"""The smallest size of pictures in a batch norm that learns. For single pixels, a batch norm of few values returns
little more than signs, and rounding decides all later values."""


def without_dropout(model: Model) -> tuple[Model, list[str]]:
    """The model with dropout at rate 0, and what the certificate then excludes. Frameworks draw different masks."""

    def all_off(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        return tuple(map(off, layers))

    def off(layer: Layer) -> Layer:
        match layer:
            case Dropout():
                return replace(layer, rate=0.0)
            case Residual():
                return replace(layer, body=all_off(layer.body), shortcut=all_off(layer.shortcut))
            case Branches():
                return replace(layer, paths=tuple(map(all_off, layer.paths)))
        return layer

    changed = replace(model, trunk=all_off(model.trunk), head=all_off(model.head))
    return changed, [] if changed == model else ["dropout masks"]


def smaller(model: Model, recipe: Recipe | None) -> tuple[Model, list[str]]:
    """A large model on the smallest suitable pictures, and what the certificate then excludes. Other models are
    returned unchanged."""
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
    """The batch norms that learn. In them, the output of a picture depends on the rest of the batch."""
    return [node for node in model.nodes if isinstance(node.layer, BatchNorm) and recipe and recipe.rate(node.name)]


def with_statistics(model: Model, weights: Weights, examples: Examples) -> dict[str, Array]:
    """The weights, with running variances that fit these pictures, so that values keep their magnitude.

    With other variances, the values would grow from block to block in evaluation mode. Then the loss is 0, and its
    gradient cannot be compared.
    """

    def fitting(layer: BatchNorm, context: Context, x: Array) -> Applied:
        own, axes = context.weights, tuple(range(x.ndim - 1))
        square = np.maximum((x**2).mean(axes), 1)  # small values are not enlarged, because their errors would grow too
        statistics = {"variance": _fraction(square * own["variance"])}
        done = batch_norm(layer, context._replace(weights={**own, **statistics}), x)
        return done._replace(statistics=statistics)

    network = type("FittingNet", (Net,), {"layers": LAYERS | {BatchNorm: fitting}})
    done = network(model, weights).run(examples.pixels(examples.images))
    fitted = {f"{node}.{name}": value for node, found in done.items() for name, value in found.statistics.items()}
    return dict(weights) | fitted


def _fraction(values: Array) -> Array:
    """A short binary fraction just above each value. All weights of a certificate are such fractions."""
    above: Array = (np.floor(values * 256) + 1) / np.float32(256)
    return above.astype(np.float32)


def _sizes(shape: Shape) -> Iterator[Shape]:
    """The smaller shapes with the same remainders, the smallest first. A side that is already small does not change."""
    *sides, channels = shape
    least = [min(side, HALVINGS + side % HALVINGS) for side in sides]
    for more in range(0, max(sides), HALVINGS):
        smaller = (*(min(start + more, side) for start, side in zip(least, sides, strict=True)), channels)
        if smaller == shape:
            return
        yield smaller
