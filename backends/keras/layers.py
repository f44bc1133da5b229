"""Each layer of the specification as Keras layers: standard layers wherever they compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers, ops

from harness import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Node,
    Normalize,
    Unsupported,
    Window,
    pad_sides,
)

FUNCTIONS = {"relu": "relu", "relu6": "relu6", "swish": "silu", "sigmoid": "sigmoid", "tanh": "tanh"}


class Scaled(layers.Layer):
    """(x - mean) / std. Keras' Normalization layer rounds mean and std to float32."""

    def __init__(self, layer: Normalize, **options: Any) -> None:
        super().__init__(**options)
        self.mean, self.std = (np.array(values, self.compute_dtype) for values in (layer.mean, layer.std))

    def call(self, x: Any) -> Any:
        mean, std = (ops.convert_to_tensor(values, x.dtype) for values in (self.mean, self.std))
        return (x - mean) / std


class Border(layers.Layer):
    """Padding with -infinity, for max pooling. Keras' padding layers pad with zeros only."""

    def __init__(self, window: Window, **options: Any) -> None:
        super().__init__(**options)
        self.window = window

    def call(self, x: Any) -> Any:
        return pad_sides(ops, self.window, x, -np.inf)


class AveragePool(layers.Layer):
    """The mean of each window, without the padded zeros, for padding other than "same"."""

    def __init__(self, window: Window, **options: Any) -> None:
        super().__init__(**options)
        self.window = window

    def call(self, x: Any) -> Any:
        def pool(values: Any) -> Any:
            return ops.average_pool(pad_sides(ops, self.window, values), self.window.kernel, self.window.stride)

        return pool(x) / pool(ops.ones_like(x[:1, :, :, :1]))


class FreezableDropout(layers.Dropout):
    """Dropout that runs in evaluation mode if it is frozen. Keras' layer ignores `trainable`."""

    def call(self, x: Any, training: bool | None = False) -> Any:
        return super().call(x, training=training and self.trainable)


class GroupedConv(layers.Layer):
    """A convolution in groups, as a convolution for each group. On a CPU, TensorFlow's grouped convolution has no
    gradient."""

    def __init__(self, layer: Conv, **options: Any) -> None:
        super().__init__(**options)
        self.layer = layer

    def build(self, shape: tuple[int, ...]) -> None:
        tensors = self.layer.parameters(shape[1:])
        self.kernel = self.add_weight(name="kernel", shape=tensors["kernel"].shape)
        self.bias = None
        if self.layer.bias:
            self.bias = self.add_weight(name="bias", shape=tensors["bias"].shape, initializer="zeros")

    def call(self, x: Any) -> Any:
        groups = self.layer.groups
        parts = zip(ops.split(x, groups, -1), ops.split(ops.convert_to_tensor(self.kernel), groups, -1), strict=True)
        y = ops.concatenate([ops.conv(part, kernel, self.layer.window.stride) for part, kernel in parts], -1)
        return y if self.bias is None else y + self.bias


def keras_name(node: Node) -> str:
    """The node's name as the name of a layer. Keras allows no "/", and its PyTorch engine allows no "."."""
    return node.name.replace(".", ">")


def lower(node: Node, multiply_dtype: Any) -> tuple[layers.Layer, ...]:
    """The layers of a node. The last layer has its name and holds its tensors."""
    layer, name = node.layer, keras_name(node)
    match layer:
        case Normalize():
            return (Scaled(layer, name=name),)
        case Conv():
            return convolution(layer, node, multiply_dtype)
        case Dense():
            return (layers.Dense(layer.units, use_bias=layer.bias, dtype=multiply_dtype, name=name),)
        case BatchNorm():
            return (
                layers.BatchNormalization(
                    momentum=layer.momentum, epsilon=layer.epsilon, scale=layer.scale, center=layer.centre, name=name
                ),
            )
        case Activation():
            return (layers.Activation(FUNCTIONS[layer.function], name=name),)
        case MaxPool():
            window = layer.window
            same = window.padded and window.padding == window.same_sides(node.input_shape)
            border = (Border(window),) if window.padded and not same else ()
            return *border, layers.MaxPooling2D(window.kernel, window.stride, "same" if same else "valid", name=name)
        case AvgPool():
            window = layer.window
            if layer.count_padding or not window.padded:
                border = (layers.ZeroPadding2D(window.padding),) if window.padded else ()
                return *border, layers.AveragePooling2D(window.kernel, window.stride, name=name)
            if window.padding == window.same_sides(node.input_shape):
                return (layers.AveragePooling2D(window.kernel, window.stride, "same", name=name),)
            return (AveragePool(window, name=name),)
        case GlobalAvgPool():
            return (layers.GlobalAveragePooling2D(name=name),)
        case Flatten():
            return (layers.Flatten(name=name),)
        case Dropout():
            return (FreezableDropout(layer.rate, name=name),)
        case Add():
            return (layers.Add(name=name),)
        case Concat():
            return (layers.Concatenate(name=name),)
    raise Unsupported(
        f"keras has no layer {type(layer).__name__}: add it to {__name__}, or leave keras out", code="unsupported-layer"
    )


def convolution(layer: Conv, node: Node, dtype: Any) -> tuple[layers.Layer, ...]:
    """The convolution layer for this number of groups. A layer of zero padding comes first, unless "same" is equal."""
    window, channels = layer.window, node.input_shape[-1]
    depthwise = layer.groups == channels and window.stride[0] == window.stride[1]
    grouped = layer.groups > 1 and not depthwise
    same = window.padded and window.padding == window.same_sides(node.input_shape) and not grouped
    border = (layers.ZeroPadding2D(window.padding),) if window.padded and not same else ()
    padding = "same" if same else "valid"
    options = {"use_bias": layer.bias, "dtype": dtype, "name": keras_name(node)}
    if grouped:
        return *border, GroupedConv(layer, dtype=dtype, name=keras_name(node))
    if layer.groups > 1:
        multiplier = layer.channels // channels
        return *border, layers.DepthwiseConv2D(window.kernel, window.stride, padding, multiplier, **options)
    return *border, layers.Conv2D(layer.channels, window.kernel, window.stride, padding, **options)
