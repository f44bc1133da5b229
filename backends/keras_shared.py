"""Keras, whatever engine runs it: a functional model, `compile` and `fit`.

What differs between engines (feeding data, gradients, devices) is in `keras_tensorflow.py`, which picks its engine
before Keras is imported.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers, ops
from keras.src.backend.common import dtypes

from backends.keras_optimizer import PublishedOptimizer
from harness import (
    Array,
    Backend,
    Batches,
    LossName,
    Model,
    Node,
    Recipe,
    Trainer,
    Unavailable,
    Unsupported,
    Upto,
    Weights,
    Window,
    hookimpl,
    spec,
)

__all__ = ["KerasBackend", "Net", "hookimpl", "keras"]

# Keras' name for each tensor; the axes are ours already, but for depthwise kernels.
ATTRIBUTES = {
    "kernel": "kernel",
    "bias": "bias",
    "scale": "gamma",
    "offset": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}
FUNCTIONS = {"relu": "relu", "relu6": "relu6", "swish": "silu", "sigmoid": "sigmoid", "tanh": "tanh"}


class Scaled(layers.Layer):
    """(x - mean) / std; the stock Normalization layer rounds both to float32."""

    def __init__(self, layer: spec.Normalize, **options: Any) -> None:
        super().__init__(**options)
        self.mean, self.std = (np.array(values, self.compute_dtype) for values in (layer.mean, layer.std))

    def call(self, x: Any) -> Any:
        mean, std = (ops.convert_to_tensor(values, x.dtype) for values in (self.mean, self.std))
        return (x - mean) / std


class Border(layers.Layer):
    """A border of -infinity, for max pooling; stock padding layers know zeros only."""

    def __init__(self, window: Window, **options: Any) -> None:
        super().__init__(**options)
        self.sides = ((0, 0), *window.padding, (0, 0))

    def call(self, x: Any) -> Any:
        return ops.pad(x, self.sides, constant_values=-np.inf)


class AveragePool(layers.Layer):
    """Mean over windows, where only the real pixels count and the border is not that of "same"."""

    def __init__(self, window: Window, **options: Any) -> None:
        super().__init__(**options)
        self.window = window

    def call(self, x: Any) -> Any:
        def pool(values: Any) -> Any:
            padded = ops.pad(values, ((0, 0), *self.window.padding, (0, 0)))
            return ops.average_pool(padded, self.window.kernel, self.window.stride)

        return pool(x) / pool(ops.ones_like(x[:1, :, :, :1]))


class DropOut(layers.Dropout):
    """Off where it is frozen, as batch norm is; the stock layer does not look at `trainable`."""

    def call(self, x: Any, training: bool | None = False) -> Any:
        return super().call(x, training=training and self.trainable)


class GroupedConv(layers.Layer):
    """A convolution in groups, one by one: TensorFlow has no gradient for its own grouped convolution on a CPU."""

    def __init__(self, layer: spec.Conv, **options: Any) -> None:
        super().__init__(**options)
        self.layer = layer

    def build(self, shape: tuple[int, ...]) -> None:
        tensors = self.layer.parameters(shape[1:])
        self.kernel = self.add_weight(name="kernel", shape=tensors["kernel"].shape)
        self.bias = self.add_weight(name="bias", shape=tensors["bias"].shape) if self.layer.bias else None

    def call(self, x: Any) -> Any:
        groups = self.layer.groups
        parts = zip(ops.split(x, groups, -1), ops.split(ops.convert_to_tensor(self.kernel), groups, -1), strict=True)
        y = ops.concatenate([ops.conv(part, kernel, self.layer.window.stride) for part, kernel in parts], -1)
        return y if self.bias is None else y + self.bias


def keras_name(node: Node) -> str:
    """The node's name as a layer's: Keras takes no "/" and PyTorch, below it, no "."."""
    return node.name.replace(".", ">")


def lower(node: Node, multiply_dtype: Any) -> tuple[layers.Layer, ...]:
    """The layers for one node; the last one has its name and its tensors."""
    layer, name = node.layer, keras_name(node)
    match layer:
        case spec.Normalize():
            return (Scaled(layer, name=name),)
        case spec.Conv():
            return convolution(layer, node, multiply_dtype)
        case spec.Dense():
            return (layers.Dense(layer.units, use_bias=layer.bias, dtype=multiply_dtype, name=name),)
        case spec.BatchNorm():
            return (
                layers.BatchNormalization(
                    momentum=layer.momentum, epsilon=layer.epsilon, scale=layer.scale, center=layer.centre, name=name
                ),
            )
        case spec.Activation():
            return (layers.Activation(FUNCTIONS[layer.function], name=name),)
        case spec.MaxPool():
            window = layer.window
            same = window.padded and window.padding == window.same_sides(node.input_shape)
            border = (Border(window),) if window.padded and not same else ()
            return *border, layers.MaxPooling2D(window.kernel, window.stride, "same" if same else "valid", name=name)
        case spec.AvgPool():
            window = layer.window
            if layer.count_padding or not window.padded:
                border = (layers.ZeroPadding2D(window.padding),) if window.padded else ()
                return *border, layers.AveragePooling2D(window.kernel, window.stride, name=name)
            if window.padding == window.same_sides(node.input_shape):
                return (layers.AveragePooling2D(window.kernel, window.stride, "same", name=name),)
            return (AveragePool(window, name=name),)
        case spec.GlobalAvgPool():
            return (layers.GlobalAveragePooling2D(name=name),)
        case spec.Flatten():
            return (layers.Flatten(name=name),)
        case spec.Dropout():
            return (DropOut(layer.rate, name=name),)
        case spec.Add():
            return (layers.Add(name=name),)
        case spec.Concat():
            return (layers.Concatenate(name=name),)
    raise Unsupported(f"keras has no lowering for the layer {type(layer).__name__}")


def convolution(layer: spec.Conv, node: Node, dtype: Any) -> tuple[layers.Layer, ...]:
    """The convolution that suits the groups, behind a border of zeros unless "same" means the same numbers."""
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


class Net:
    """The functional model, and the same model cut at its features."""

    def __init__(self, model: Model, multiply_dtype: Any) -> None:
        self.model = model
        self.gradients: dict[LossName, Any] = {}  # of the pixels, as the engine has compiled them
        inputs = keras.Input(model.input_shape, name=Model.INPUT)
        values = {Model.INPUT: inputs}
        self.owners: dict[str, layers.Layer] = {}
        for node in model.nodes:
            *before, owner = lower(node, multiply_dtype)
            value: Any = [values[name] for name in node.inputs]
            value = value if len(value) > 1 else value[0]
            for layer in (*before, owner):
                value = layer(value)
            values[node.name] = value
            self.owners[node.name] = owner
        self.keras: dict[Upto, keras.Model] = {
            upto: keras.Model(inputs, layers.Activation("linear", dtype=keras.config.floatx())(values[model.end(upto)]))
            for upto in ("logits", "features")
        }

    def seed_dropout(self, seed: int) -> None:
        """Give each drop-out layer a stream of its own."""
        for number, layer in enumerate(self.owners.values()):
            if isinstance(layer, DropOut) and layer.rate:
                layer.seed_generator.state.assign([seed % 2**31, number])

    def variables(self) -> dict[str, keras.Variable]:
        """Keras' variable for each name in `model.parameters`."""
        return {
            f"{node.name}.{name}": getattr(self.owners[node.name], ATTRIBUTES[name])
            for node in self.model.nodes
            for name in node.parameters
        }


class Recorder(keras.callbacks.Callback):
    """Each step's loss: `fit` logs a running mean, which starts anew at every step here."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        self.losses.append(logs["loss"])
        self.model.reset_metrics()


class KerasTrainer(Trainer):
    def __init__(self, backend: KerasBackend, net: Net, recipe: Recipe, seed: int) -> None:
        recipe.check(net.model)
        self.backend, self.net, self.recipe, self.keras = backend, net, recipe, net.keras["logits"]
        names = {variable.path: name for name, variable in net.variables().items()}
        self.optimizer = PublishedOptimizer(recipe, net.model, names)
        net.seed_dropout(seed)
        self.take_over()
        self.optimizer.build(self.keras.trainable_variables)

    def take_over(self) -> None:
        """Make this the training that `fit` does: a Keras model has one at a time."""
        for name, layer in self.net.owners.items():
            layer.trainable = self.recipe.rate(name) != 0
        self.keras.compile(self.optimizer, loss_of(self.recipe.loss), jit_compile=self.backend.jit_compile)

    def segment(self, batches: Batches, lr: Array, record: bool) -> Array:
        if self.keras.optimizer is not self.optimizer:
            self.take_over()
        size = PublishedOptimizer.SEGMENT
        parts = [slice(start, start + size) for start in range(0, len(batches), size)]
        losses = [self.fit(batches[part], lr[part], record) for part in parts]
        if record:
            return np.concatenate(losses)
        return np.average(losses, axis=0, weights=[len(batches[part]) for part in parts])

    def fit(self, batches: Batches, lr: Array, record: bool) -> Array:
        """One `fit` for the whole segment."""
        self.optimizer.fill(lr)
        recorder = Recorder()
        history = self.keras.fit(
            self.backend.feed(batches),
            steps_per_epoch=len(batches),
            shuffle=False,  # the order is the harness's
            verbose=0,
            callbacks=[recorder] if record else [],
        )
        return np.array(recorder.losses if record else history.history["loss"], np.float64)


def loss_of(loss: LossName, reduction: str = "sum_over_batch_size") -> keras.losses.Loss:
    if loss == "softmax":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    return keras.losses.BinaryCrossentropy(from_logits=True, reduction=reduction)


class KerasBackend(Backend[Net]):
    """What all engines share."""

    modes = ("default", "compiled")
    precisions = ("float32", "tf32", "bfloat16", "float64")

    auto: ClassVar[Mapping[str, str]]
    """What `jit_compile="auto"` means on each device, with this engine."""

    @abstractmethod
    def feed(self, batches: Batches) -> Any:
        """A source of (pixels, labels) for `fit` and `predict`, from examples uploaded once."""

    @abstractmethod
    def gradient_function(self, net: Net, loss: LossName) -> Any:
        """A function, compiled where the engine compiles, for the gradient of the pixels."""

    def gradient_of(self, net: Net, loss: LossName) -> Any:
        """That function, made the first time it is asked for."""
        if loss not in net.gradients:
            net.gradients[loss] = self.gradient_function(net, loss)
        return net.gradients[loss]

    def start_keras(self, engine: str) -> None:
        """Set Keras up for this precision, and be sure that it is on the engine that this backend is about."""
        if keras.backend.backend() != engine:
            raise Unavailable(
                f"Keras runs on {keras.backend.backend()} in this process, not on {engine}: start a new one"
            )
        dtype = "float64" if self.precision == "float64" else "float32"
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        if engine != "tensorflow":  # there, Keras takes float64 for a slip and computes batch norms in float32
            dtypes.BIT64_TO_BIT32_DTYPE["float64"] = dtype

    @property
    def jit_compile(self) -> bool | str:
        return True if self.mode == "compiled" else "auto"

    def settings(self) -> dict[str, str]:
        return {
            "engine": keras.backend.backend(),
            "jit_compile": str(self.jit_compile).replace("auto", f"auto: {self.auto[self.device]}"),
            "floatx": keras.config.floatx(),
            "pictures": "gathered on the host, ahead of time",
        }

    def build(self, model: Model, weights: Weights) -> Net:
        net = Net(model, keras.DTypePolicy("mixed_bfloat16") if self.precision == "bfloat16" else None)
        self.load(net, weights)
        for part in net.keras.values():
            part.compile(jit_compile=self.jit_compile)
        return net

    def weights(self, net: Net) -> dict[str, Array]:
        shapes = net.model.parameters
        return {
            name: ops.convert_to_numpy(variable).reshape(shapes[name].shape)
            for name, variable in net.variables().items()
        }

    def load(self, net: Net, weights: Weights) -> None:
        for name, variable in net.variables().items():
            variable.assign(np.reshape(weights[name], variable.shape))

    def forward(self, net: Net, batches: Batches, *, upto: Upto = "logits") -> Array:
        outputs = net.keras[upto].predict(self.feed(batches), steps=len(batches), verbose=0)
        return outputs[: len(batches.rows)]

    def trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> KerasTrainer:
        return KerasTrainer(self, net, recipe, seed)
