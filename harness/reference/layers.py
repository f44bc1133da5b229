"""Each layer, forward and backward.

A layer is a function of its inputs and of its context: its weights, and whether the network is training. It returns its
output and a function `backward`. This function takes the gradient of the loss with respect to the output, and returns
the gradients with respect to each input and to each weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from harness import spec
from harness.spec import Array, Window

Gradients = dict[str, Array]
Backward = Callable[[Array], tuple[tuple[Array, ...], Gradients]]


class Applied(NamedTuple):
    """A layer's output, its backward function, and its new statistics in training."""

    output: Array
    backward: Backward
    statistics: Mapping[str, Array] = {}


class Context(NamedTuple):
    """The arguments of a layer besides its inputs."""

    weights: Mapping[str, Array]
    training: bool
    random: np.random.Generator


Apply = Callable[..., Applied]


def normalize(layer: spec.Normalize, context: Context, x: Array) -> Applied:
    mean, std = np.array(layer.mean, x.dtype), np.array(layer.std, x.dtype)
    return Applied((x - mean) / std, lambda dy: ((dy / std,), {}))


def conv(layer: spec.Conv, context: Context, x: Array) -> Applied:
    """For each group, the matrix product of its patches and its part of the kernel."""
    kernel = context.weights["kernel"]
    rows, columns, depth, channels = kernel.shape
    window, groups = layer.window, layer.groups
    patches = windows(pad(x, window), window)  # n, output rows, output columns, input channels, rows, columns
    n, height, width = patches.shape[:3]
    patches = patches.reshape(n * height * width, groups, depth, rows * columns).transpose(1, 0, 3, 2)
    patches = patches.reshape(groups, n * height * width, rows * columns * depth)
    matrix = kernel.reshape(rows * columns * depth, groups, channels // groups).transpose(1, 0, 2)
    y = (patches @ matrix).transpose(1, 0, 2).reshape(n, height, width, channels)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Gradients]:
        parts = dy.reshape(n * height * width, groups, channels // groups).transpose(1, 0, 2)
        dmatrix = patches.transpose(0, 2, 1) @ parts
        gradients = {"kernel": dmatrix.transpose(1, 0, 2).reshape(kernel.shape)}
        dpatches = (parts @ matrix.transpose(0, 2, 1)).reshape(groups, n, height, width, rows, columns, depth)
        dpatches = dpatches.transpose(1, 2, 3, 4, 5, 0, 6).reshape(n, height, width, rows, columns, groups * depth)
        return (gather(dpatches, x, window),), gradients

    return _with_bias(context, y, backward)


def dense(layer: spec.Dense, context: Context, x: Array) -> Applied:
    kernel = context.weights["kernel"]
    return _with_bias(context, x @ kernel, lambda dy: ((dy @ kernel.T,), {"kernel": x.T @ dy}))


def batch_norm(layer: spec.BatchNorm, context: Context, x: Array) -> Applied:
    """In training, mean and variance depend on x, so `backward` subtracts the gradient that flows through them."""
    weights, axes = context.weights, tuple(range(x.ndim - 1))
    scale, offset = weights.get("scale", np.ones((), x.dtype)), weights.get("offset", np.zeros((), x.dtype))
    statistics = {}
    if context.training:
        mean, variance = x.mean(axes), x.var(axes)
        statistics = {
            name: layer.momentum * weights[name] + (1 - layer.momentum) * batch
            for name, batch in (("mean", mean), ("variance", variance))
        }
    else:
        mean, variance = weights["mean"], weights["variance"]
    root = np.sqrt(variance + layer.epsilon)
    unit = (x - mean) / root

    def backward(dy: Array) -> tuple[tuple[Array, ...], Gradients]:
        gradients = {"scale": (dy * unit).sum(axes), "offset": dy.sum(axes)}
        dunit = dy * scale
        if context.training:
            dunit = dunit - dunit.mean(axes) - unit * (dunit * unit).mean(axes)
        return (dunit / root,), {name: value for name, value in gradients.items() if name in weights}

    return Applied(unit * scale + offset, backward, statistics)


def activation(layer: spec.Activation, context: Context, x: Array) -> Applied:
    y, slope = FUNCTIONS[layer.function](x)
    return Applied(y, lambda dy: ((dy * slope,), {}))


def _logistic(x: Array) -> Array:
    tail = np.exp(-np.abs(x))  # never overflows
    share: Array = np.where(x >= 0, 1, tail) / (1 + tail)
    return share


def _swish(x: Array) -> tuple[Array, Array]:
    gate = _logistic(x)
    return x * gate, gate * (1 + x * (1 - gate))


FUNCTIONS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "relu": lambda x: (np.maximum(x, 0), x > 0),
    "relu6": lambda x: (np.clip(x, 0, 6), (x > 0) & (x < 6)),
    "swish": _swish,
    "sigmoid": lambda x: (_logistic(x), _logistic(x) * (1 - _logistic(x))),
    "tanh": lambda x: (np.tanh(x), 1 - np.tanh(x) ** 2),
}


def max_pool(layer: spec.MaxPool, context: Context, x: Array) -> Applied:
    window = layer.window
    flat = windows(pad(x, window, -np.inf), window)
    flat = flat.reshape(*flat.shape[:4], -1)
    winner = flat.argmax(-1)  # the first of equal values, in row-major order

    def backward(dy: Array) -> tuple[tuple[Array, ...], Gradients]:
        places = np.arange(flat.shape[-1]).reshape(window.kernel)[..., None]
        return (gather((winner[:, :, :, None, None] == places) * dy[:, :, :, None, None], x, window),), {}

    return Applied(flat.max(-1), backward)


def avg_pool(layer: spec.AvgPool, context: Context, x: Array) -> Applied:
    window = layer.window
    counted = np.ones((1, *x.shape[1:3], 1), x.dtype)
    area = windows(pad(counted, window, float(layer.count_padding)), window).sum((-2, -1))

    def backward(dy: Array) -> tuple[tuple[Array, ...], Gradients]:
        share = np.broadcast_to((dy / area)[:, :, :, None, None], (*dy.shape[:3], *window.kernel, dy.shape[3]))
        return (gather(share, x, window),), {}

    return Applied(windows(pad(x, window), window).sum((-2, -1)) / area, backward)


def global_avg_pool(layer: spec.GlobalAvgPool, context: Context, x: Array) -> Applied:
    area = x.shape[1] * x.shape[2]
    return Applied(x.mean((1, 2)), lambda dy: ((np.broadcast_to(dy[:, None, None] / area, x.shape),), {}))


def flatten(layer: spec.Flatten, context: Context, x: Array) -> Applied:
    return Applied(x.reshape(len(x), -1), lambda dy: ((dy.reshape(x.shape),), {}))


def dropout(layer: spec.Dropout, context: Context, x: Array) -> Applied:
    kept = np.ones((), x.dtype)
    if context.training:
        kept = ((context.random.random(x.shape) >= layer.rate) / (1 - layer.rate)).astype(x.dtype)
    return Applied(x * kept, lambda dy: ((dy * kept,), {}))


def add(layer: spec.Add, context: Context, left: Array, right: Array) -> Applied:
    return Applied(left + right, lambda dy: ((dy, dy), {}))


def concat(layer: spec.Concat, context: Context, *parts: Array) -> Applied:
    cuts = np.cumsum([part.shape[-1] for part in parts])[:-1]
    return Applied(np.concatenate(parts, -1), lambda dy: (tuple(np.split(dy, cuts, -1)), {}))


LAYERS: dict[type[spec.Layer], Apply] = {
    spec.Normalize: normalize,
    spec.Conv: conv,
    spec.BatchNorm: batch_norm,
    spec.Activation: activation,
    spec.MaxPool: max_pool,
    spec.AvgPool: avg_pool,
    spec.GlobalAvgPool: global_avg_pool,
    spec.Flatten: flatten,
    spec.Dense: dense,
    spec.Dropout: dropout,
    spec.Add: add,
    spec.Concat: concat,
}


def _with_bias(context: Context, y: Array, backward: Backward) -> Applied:
    if "bias" not in context.weights:
        return Applied(y, backward)

    def with_bias(dy: Array) -> tuple[tuple[Array, ...], Gradients]:
        inputs, gradients = backward(dy)
        return inputs, gradients | {"bias": dy.sum(tuple(range(dy.ndim - 1)))}

    return Applied(y + context.weights["bias"], with_bias)


def pad(x: Array, window: Window, value: float = 0.0) -> Array:
    return np.pad(x, ((0, 0), *window.padding, (0, 0)), constant_values=value)


def windows(padded: Array, window: Window) -> Array:
    """The pixels in every position of the window: (n, output rows, output columns, channels, rows, columns)."""
    down, right = window.stride
    return sliding_window_view(padded, window.kernel, axis=(1, 2))[:, ::down, ::right]


def gather(parts: Array, x: Array, window: Window) -> Array:
    """The gradient of the pixels of `x`, from the gradients of the values in each window.

    `parts` has the shape (n, output rows, output columns, window rows, window columns, channels). A pixel's gradient is
    the sum over all windows that contain the pixel. The gradients of the padding are dropped.
    """
    (top, bottom), (left, right) = window.padding
    padded = np.zeros((len(x), x.shape[1] + top + bottom, x.shape[2] + left + right, x.shape[3]), x.dtype)
    for place, positions in _places(window, parts.shape[1:3]):
        padded[:, positions[0], positions[1]] += parts[:, :, :, place[0], place[1]]
    return padded[:, top : top + x.shape[1], left : left + x.shape[2]]


def _places(window: Window, steps: tuple[Any, ...]) -> Iterator[tuple[tuple[int, int], tuple[slice, slice]]]:
    """Each place in the window, and the slices of the pixels that it covers as the window slides."""
    for place in np.ndindex(*window.kernel):
        starts_stops = zip(place, steps, window.stride, strict=True)
        covered = tuple(slice(start, start + (count - 1) * stride + 1, stride) for start, count, stride in starts_stops)
        yield (place[0], place[1]), (covered[0], covered[1])
