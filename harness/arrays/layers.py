"""The computations of layers, for the arrays of any framework with automatic differentiation. Pictures are NHWC.

The gradients also follow the specification. A maximum compares the values in turn, so the first of equal values gets
the whole gradient. The slope of relu at 0 is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any

from harness.arrays.operations import ArrayOperations
from harness.errors import Unsupported
from harness.spec import (
    Activation,
    ActivationKind,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Dense,
    Flatten,
    GlobalAvgPool,
    Layer,
    MaxPool,
    Normalize,
    Window,
)

Statistics = dict[str, Any]


def apply_layer(
    ops: ArrayOperations, layer: Layer, weights: Mapping[str, Any], inputs: tuple[Any, ...], training: bool
) -> tuple[Any, Statistics]:
    """The output of a layer, and its new statistics in training. `weights` are the layer's tensors by name.

    Raises `Unsupported` for convolutions and dropout, which each backend implements itself, and for unknown layers.
    """
    x = inputs[0]
    match layer:
        case Normalize():
            return (x - _values(ops, layer.mean, x)) / _values(ops, layer.std, x), {}
        case Dense():
            y = x @ weights["kernel"]
            return (y + weights["bias"] if layer.bias else y), {}
        case BatchNorm():
            return batch_norm(ops, layer, weights, x, training)
        case Activation():
            return ACTIVATIONS[layer.function](ops, x), {}
        case MaxPool():
            return max_pool(ops, layer.window, x), {}
        case AvgPool():
            return avg_pool(ops, layer, x), {}
        case GlobalAvgPool():
            return ops.mean(x, axis=(1, 2)), {}
        case Flatten():
            return x.reshape((-1, math.prod(x.shape[1:]))), {}
        case Add():
            return inputs[0] + inputs[1], {}
        case Concat():
            return ops.concatenate(inputs, axis=-1), {}
    raise Unsupported(
        f"there is no helper for the layer {type(layer).__name__}: write it in the backend", code="unsupported-layer"
    )


def _values(ops: ArrayOperations, values: tuple[float, ...], x: Any) -> Any:
    """The values of the channels, as an array of the type of `x`."""
    ones = ops.ones_like(x[:1, :1, :1])
    return ops.concatenate([ones[..., :1] * value for value in values], axis=-1)


def batch_norm(
    ops: ArrayOperations, layer: BatchNorm, weights: Mapping[str, Any], x: Any, training: bool
) -> tuple[Any, Statistics]:
    """The normalised values, and in training the new statistics."""
    axes, mean, variance, new = tuple(range(len(x.shape) - 1)), weights["mean"], weights["variance"], {}
    if training:
        mean = ops.mean(x, axis=axes)
        variance = ops.mean((x - mean) * (x - mean), axis=axes)  # biased
        old_share, new_share = layer.momentum, 1 - layer.momentum
        new = {
            "mean": old_share * weights["mean"] + new_share * mean,
            "variance": old_share * weights["variance"] + new_share * variance,
        }
    y = (x - mean) / ops.sqrt(variance + layer.epsilon)
    y = y * weights["scale"] if layer.scale else y
    return (y + weights["offset"] if layer.centre else y), new


def relu(ops: ArrayOperations, x: Any) -> Any:
    return ops.where(x > 0, x, 0.0)


def sigmoid(ops: ArrayOperations, x: Any) -> Any:
    return 0.5 * ops.tanh(0.5 * x) + 0.5  # an exponential would overflow


ACTIVATIONS: dict[ActivationKind, Callable[[ArrayOperations, Any], Any]] = {
    "relu": relu,
    "relu6": lambda ops, x: ops.where(x < 6, relu(ops, x), 6.0),
    "swish": lambda ops, x: x * sigmoid(ops, x),
    "sigmoid": sigmoid,
    "tanh": lambda ops, x: ops.tanh(x),
}


def pad_sides(ops: ArrayOperations, window: Window, x: Any, border: float = 0.0) -> Any:
    """The pictures with the padding of the window, filled with the value `border`."""
    return ops.pad(x, ((0, 0), *window.padding, (0, 0)), constant_values=border) if window.padded else x


def window_places(ops: ArrayOperations, window: Window, x: Any, border: float = 0.0) -> Iterator[Any]:
    """For each place in the window, row by row, the pixels that it covers as the window slides. These are slices."""
    (down, right), (height, width) = window.stride, window.output(x.shape[1:])
    x = pad_sides(ops, window, x, border)
    rows, columns = window.kernel
    for row in range(rows):
        for column in range(columns):
            yield x[:, row : row + (height - 1) * down + 1 : down, column : column + (width - 1) * right + 1 : right]


def max_pool(ops: ArrayOperations, window: Window, x: Any) -> Any:
    """The maximum of each window. The first of equal values gets the whole gradient."""
    for one_way in window.separated:  # first along each row and then down: fewer comparisons, and the same order
        places = window_places(ops, one_way, x, -math.inf)
        x = reduce(lambda best, place: ops.where(place > best, place, best), places)
    return x


def avg_pool(ops: ArrayOperations, layer: AvgPool, x: Any) -> Any:
    """The mean of each window. Padded zeros count with `count_padding` only."""
    total = sum(window_places(ops, layer.window, x))
    if layer.count_padding or not layer.window.padded:
        return total / math.prod(layer.window.kernel)
    return total / sum(window_places(ops, layer.window, ops.ones_like(x[:1, :, :, :1])))
