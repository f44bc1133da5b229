"""Keras on any engine: a functional model.

The engines differ in data feeding, gradients and devices. This code is in `on_tensorflow.py`, `on_jax.py` and
`on_torch.py`. Each of them chooses its engine before it imports Keras.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers, ops
from keras.src.backend.common import dtypes

from backends.keras.layers import FreezableDropout, lower
from harness import (
    Array,
    Attack,
    AttackKind,
    AttackNumbers,
    Backend,
    LossName,
    Model,
    Node,
    Objective,
    Recipe,
    Unavailable,
    Upto,
    Weights,
    hookimpl,
    picture_losses,
)

__all__ = ["KerasBackend", "Net", "hookimpl", "keras", "objective_of", "ops"]

# The name of each tensor in Keras. The axes are those of the specification, except for depthwise kernels.
ATTRIBUTES = {
    "kernel": "kernel",
    "bias": "bias",
    "scale": "gamma",
    "offset": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}


class Net:
    """The functional model from pixels to logits, and the model from pixels to features."""

    gradient_of: Callable[[Objective], Any]
    attack_of: Callable[[AttackKind, Objective], Any]
    """The engine's functions. Each is made on its first use."""

    call: Mapping[str, Callable[..., Any]]
    """The networks as functions, on an engine that does not compile them in `fit` and `predict`."""

    def __init__(self, model: Model, multiply_dtype: Any, model_class: type[keras.Model] = keras.Model) -> None:
        self.model = model
        inputs = keras.Input(model.input_shape, name=Model.INPUT)
        values = {Model.INPUT: inputs}
        self.owners: dict[str, layers.Layer] = {}

        def apply(node: Node, *inputs: Any) -> Any:
            value = inputs if len(inputs) > 1 else inputs[0]
            for layer in lower(node, multiply_dtype):
                value = layer(value)
            self.owners[node.name], values[node.name] = layer, value
            return value

        model.run(apply, inputs)
        self.keras: dict[Upto, keras.Model] = {
            upto: model_class(inputs, layers.Activation("linear", dtype=keras.config.floatx())(values[model.end(upto)]))
            for upto in ("logits", "features")
        }
        self.training = model_class(inputs, self.keras["logits"].output)
        """The same layers. Keras compiles training separately from prediction, so both remain compiled."""

    def train_only(self, recipe: Recipe) -> None:
        """Freeze the layers that do not learn."""
        for name, layer in self.owners.items():
            layer.trainable = recipe.rate(name) != 0

    def seed_dropout(self, seed: int) -> None:
        """Give each dropout layer its own random stream."""
        for number, layer in enumerate(self.owners.values()):
            if isinstance(layer, FreezableDropout) and layer.rate:
                layer.seed_generator.state.assign([seed % 2**31, number])

    def variables(self) -> dict[str, keras.Variable]:
        """The Keras variable for each name in `model.parameters`."""
        return {
            f"{node.name}.{name}": getattr(self.owners[node.name], ATTRIBUTES[name])
            for node in self.model.nodes
            for name in node.parameters
        }


def loss_of(loss: LossName, reduction: str = "sum_over_batch_size") -> keras.losses.Loss:
    if loss == "softmax":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    return keras.losses.BinaryCrossentropy(from_logits=True, reduction=reduction)


def objective_of(objective: Objective) -> Callable[[Any, Any], Any]:
    """A function from labels and logits to the sum of the pictures' objectives."""
    if objective != "logit":
        return loss_of(objective, "sum")

    return lambda labels, logits: ops.sum(picture_losses(ops, objective, logits, ops.cast(labels, "int32")))


class KerasBackend(Backend[Net]):
    """The part of the backend that is the same on all engines."""

    modes: ClassVar[tuple[str, ...]] = ("default", "compiled")
    precisions = ("float32", "tf32", "bfloat16", "float64")
    native = {
        "first weights": "kernels Glorot-uniform: variance 2 / (fan_in + fan_out); biases zero, as layers draw them",
        "SGD": "keras.optimizers.SGD: the velocity holds the learning rate; weight decay is decoupled",
        "Adam": "keras.optimizers.Adam: betas 0.9 and 0.999, epsilon 1e-7, added before the bias correction; weight "
        "decay is decoupled",
        "AdamW": "keras.optimizers.AdamW: betas 0.9 and 0.999, epsilon 1e-7, added before the bias correction",
    }

    model_class: ClassVar[type[keras.Model]] = keras.Model

    auto: ClassVar[Mapping[str, str]]
    """The meaning of `jit_compile="auto"` on each device, for this engine."""

    @abstractmethod
    def gradient_function(self, net: Net, objective: Objective) -> Any:
        """A function that returns the gradient of the pixels, compiled if the engine compiles."""

    @abstractmethod
    def attack_function(self, net: Net, kind: AttackKind, objective: Objective) -> Any:
        """A function that runs a whole attack. Its arguments are the start, the originals, the labels, the numbers of
        the attack and the number of steps."""

    def run_attack(self, net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Array:
        dtype = keras.config.floatx()
        first, pictures = (ops.convert_to_tensor(x, dtype) for x in (images, start))
        numbers = AttackNumbers(*(ops.convert_to_tensor(number, dtype) for number in attack.numbers))
        run = net.attack_of(attack.kind, attack.objective(loss))
        return ops.convert_to_numpy(run(pictures, first, ops.convert_to_tensor(labels), numbers, attack.steps))

    def start_keras(self, engine: str) -> None:
        """Set up Keras for this precision. Raise if Keras runs on another engine."""
        if keras.backend.backend() != engine:
            raise Unavailable(
                f"Keras runs on {keras.backend.backend()} in this process, not on {engine}: start a new process"
            )
        dtype = "float64" if self.precision == "float64" else "float32"
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        if engine != "tensorflow":  # on other engines, Keras would compute float64 batch norms in float32
            dtypes.BIT64_TO_BIT32_DTYPE["float64"] = dtype

    @property
    def jit_compile(self) -> bool | str:
        return True if self.mode == "compiled" else "auto"

    def settings(self) -> dict[str, str]:
        return {
            "engine": keras.backend.backend(),
            "jit_compile": str(self.jit_compile).replace("auto", f"auto: {self.auto[self.device]}"),
            "floatx": keras.config.floatx(),
        }

    def build(self, model: Model, weights: Weights) -> Net:
        policy = keras.DTypePolicy("mixed_bfloat16") if self.precision == "bfloat16" else None
        net = Net(model, policy, self.model_class)
        net.gradient_of = cache(partial(self.gradient_function, net))
        net.attack_of = cache(partial(self.attack_function, net))
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

    def native_weights(self, model: Model, seed: int) -> dict[str, Array]:
        random.seed(seed)  # Keras draws the seeds of layers from it; `set_random_seed` would import TensorFlow
        return {
            name: tensor.astype(np.float32)
            for name, tensor in self.weights(Net(model, keras.DTypePolicy("float32"))).items()
        }
