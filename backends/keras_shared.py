"""Keras, whatever engine runs it: a functional model, `compile` and `fit`.

What differs between engines (feeding data, gradients, devices) is in `keras_tensorflow.py`, which picks its engine
before Keras is imported.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from harness import (
    SGD,
    Activation,
    Adam,
    Add,
    Array,
    AvgPool,
    Backend,
    Batches,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    LossName,
    MaxPool,
    Model,
    Node,
    Normalize,
    Recipe,
    Trainer,
    Unsupported,
    Upto,
    Weights,
    Window,
    hookimpl,
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

    def __init__(self, layer: Normalize, **options: Any) -> None:
        super().__init__(**options)
        self.mean, self.std = (np.array(values, self.compute_dtype) for values in (layer.mean, layer.std))

    def call(self, x: Any) -> Any:
        return (x - self.mean) / self.std


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

    def __init__(self, layer: Conv, **options: Any) -> None:
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


def lower(node: Node, multiply_dtype: Any) -> tuple[layers.Layer, ...]:
    """The layers for one node; the last one has its name and its tensors."""
    layer, name = node.layer, node.name
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
            return (DropOut(layer.rate, name=name),)
        case Add():
            return (layers.Add(name=name),)
        case Concat():
            return (layers.Concatenate(name=name),)
    raise Unsupported(f"keras has no lowering for the layer {type(layer).__name__}")


def convolution(layer: Conv, node: Node, dtype: Any) -> tuple[layers.Layer, ...]:
    """The convolution that suits the groups, behind a border of zeros unless "same" means the same numbers."""
    window, channels = layer.window, node.input_shape[-1]
    depthwise = layer.groups == channels and window.stride[0] == window.stride[1]
    grouped = layer.groups > 1 and not depthwise
    same = window.padded and window.padding == window.same_sides(node.input_shape) and not grouped
    border = (layers.ZeroPadding2D(window.padding),) if window.padded and not same else ()
    padding = "same" if same else "valid"
    options = {"use_bias": layer.bias, "dtype": dtype, "name": node.name}
    if grouped:
        return *border, GroupedConv(layer, dtype=dtype, name=node.name)
    if layer.groups > 1:
        multiplier = layer.channels // channels
        return *border, layers.DepthwiseConv2D(window.kernel, window.stride, padding, multiplier, **options)
    return *border, layers.Conv2D(layer.channels, window.kernel, window.stride, padding, **options)


class Net:
    """The functional model, and the same model cut at its features."""

    def __init__(self, model: Model, multiply_dtype: Any) -> None:
        self.model = model
        self.functions: dict[str, Any] = {}  # what an engine has compiled for this network
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


class PublishedOptimizer(keras.optimizers.Optimizer):
    """SGD and Adam as `harness.recipe` defines them.

    The stock ones differ: Adam folds its bias correction into the rate, so that epsilon weighs more in the first
    steps; SGD keeps the rate inside the velocity; every weight decay is decoupled.
    """

    SEGMENT = 4096  # steps whose learning rates fit into the table at once

    def __init__(self, recipe: Recipe, model: Model, names: Mapping[str, str]) -> None:
        super().__init__(learning_rate=TableOfRates(self))
        self.recipe, self.model, self.names = recipe, model, names

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        optimizer = self.recipe.optimizer
        self.table = self.add_variable((self.SEGMENT,), dtype=variables[0].dtype, name="rates")
        self.factors = [self.recipe.rate(self.names[variable.path]) for variable in variables]
        self.decays = [optimizer.decays(self.model.parameters[self.names[variable.path]]) for variable in variables]
        self.first = [self.add_variable_from_reference(variable, "first") for variable in variables]
        if isinstance(optimizer, Adam):
            self.second = [self.add_variable_from_reference(variable, "second") for variable in variables]

    def fill(self, rates: Array) -> None:
        """Put the learning rates of the next steps where those steps will look."""
        start = int(ops.convert_to_numpy(self.iterations))
        table = np.array(ops.convert_to_numpy(self.table))
        table[(start + np.arange(len(rates))) % self.SEGMENT] = rates
        self.table.assign(table)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index, optimizer = self._get_variable_index(variable), self.recipe.optimizer
        lr, weight = learning_rate * self.factors[index], ops.convert_to_tensor(variable)
        shrink = 0.0
        if self.decays[index]:
            if optimizer.l1:
                gradient = gradient + optimizer.l1 * ops.sign(weight)
            if optimizer.decoupled:
                shrink = optimizer.weight_decay
            elif optimizer.weight_decay:
                gradient = gradient + optimizer.weight_decay * weight
        move = self.adam if isinstance(optimizer, Adam) else self.sgd
        direction = move(optimizer, index, gradient)
        self.assign_sub(variable, lr * (direction + shrink * weight) if shrink else lr * direction)

    def sgd(self, optimizer: SGD, index: int, gradient: Any) -> Any:
        if not optimizer.momentum:
            return gradient
        velocity = optimizer.momentum * ops.convert_to_tensor(self.first[index]) + gradient
        self.assign(self.first[index], velocity)
        return gradient + optimizer.momentum * velocity if optimizer.nesterov else velocity

    def adam(self, optimizer: Adam, index: int, gradient: Any) -> Any:
        def average(slot: Any, beta: float, value: Any) -> Any:
            """The bias-corrected running mean."""
            mean = beta * ops.convert_to_tensor(slot) + (1 - beta) * value
            self.assign(slot, mean)
            steps = ops.cast(self.iterations + 1, mean.dtype)
            return mean / (1 - ops.power(ops.convert_to_tensor(beta, mean.dtype), steps))

        first = average(self.first[index], optimizer.beta1, gradient)
        second = average(self.second[index], optimizer.beta2, ops.square(gradient))
        return first / (ops.sqrt(second) + optimizer.epsilon)


class TableOfRates(keras.optimizers.schedules.LearningRateSchedule):
    """Each step's learning rate, as the harness put it into the optimiser's table."""

    def __init__(self, optimizer: PublishedOptimizer) -> None:
        self.optimizer = optimizer

    def __call__(self, step: Any) -> Any:
        return ops.take(self.optimizer.table, ops.mod(step, PublishedOptimizer.SEGMENT))


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

    @abstractmethod
    def feed(self, batches: Batches) -> Any:
        """A source of (pixels, labels) for `fit` and `predict`, from examples uploaded once."""

    @property
    def jit_compile(self) -> bool | str:
        return True if self.mode == "compiled" else "auto"

    def settings(self) -> dict[str, str]:
        automatic = f"auto: {'XLA' if self.device == 'gpu' else 'no XLA'}"
        return {
            "engine": keras.backend.backend(),
            "jit_compile": str(self.jit_compile).replace("auto", automatic),
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
