"""The reference as a backend, "numpy".

All other backends are compared with it. It is also a short example for authors of a backend.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from harness import (
    Array,
    Backend,
    Batches,
    Device,
    Examples,
    Layer,
    Model,
    Objective,
    Recipe,
    Trainer,
    Unsupported,
    Upto,
    Weights,
    check_weights,
    hookimpl,
)
from harness.reference.layers import LAYERS, Applied, Apply, Context
from harness.reference.losses import cross_entropy, slope
from harness.reference.optimizers import TensorOptimizer


class Net:
    """A network: its model and its tensors, in float64."""

    layers: ClassVar[dict[type[Layer], Apply]] = LAYERS

    def __init__(self, model: Model, weights: Weights) -> None:
        for node in model.nodes:
            if type(node.layer) not in self.layers:
                raise Unsupported(
                    f"the reference has no layer {type(node.layer).__name__}: add it to harness.reference.layers",
                    code="unsupported-layer",
                )
        self.model = model
        self.random = np.random.default_rng(0)
        self.load(weights)

    def load(self, weights: Weights) -> None:
        check_weights(self.model, weights)
        self.weights = {name: np.array(weights[name], np.float64) for name in self.model.parameters}

    def run(self, pixels: Array, training: frozenset[str] = frozenset()) -> dict[str, Applied]:
        """The output of every node. The nodes in `training` run in training mode."""
        done = {Model.INPUT: Applied(pixels, lambda dy: ((dy,), {}))}
        for node in self.model.nodes:
            own = {name: self.weights[f"{node.name}.{name}"] for name in node.parameters}
            context = Context(own, node.name in training, self.random)
            values = (done[name].output for name in node.inputs)
            done[node.name] = self.layers[type(node.layer)](node.layer, context, *values)
        return done

    def backward(self, done: dict[str, Applied], gradient: Array) -> dict[str, Array]:
        """The gradients of all tensors and of the pixels ("input"), from the gradient of the logits."""
        flowing = {self.model.end(): gradient}
        gradients: dict[str, Array] = {}
        for node in reversed(self.model.nodes):
            inputs, own = done[node.name].backward(flowing.pop(node.name))
            gradients |= {f"{node.name}.{name}": value for name, value in own.items()}
            for name, value in zip(node.inputs, inputs, strict=True):
                flowing[name] = flowing[name] + value if name in flowing else value
        return gradients | {Model.INPUT: flowing[Model.INPUT]}


class NumPyTrainer(Trainer):
    """Plain training: forward, backward, and an update of each tensor."""

    tensor_optimizer: ClassVar[type[TensorOptimizer]] = TensorOptimizer
    cross_entropy = staticmethod(cross_entropy)

    def __init__(self, backend: NumPy, net: Net, recipe: Recipe, seed: int) -> None:
        self.backend, self.net, self.recipe, self.seed = backend, net, recipe, seed
        net.random = np.random.default_rng(seed)
        frozen = recipe.frozen(net.model)
        self.training = frozenset(node.name for node in net.model.nodes if node.name not in frozen)
        self.optimizers = {
            name: self.tensor_optimizer(recipe.optimizer, net.model.parameters[name])
            for name in recipe.learned(net.model)
        }
        self.gradients: dict[str, Array] = {}  # of the last step

    def segment(self, batches: Batches, lr: Array, record: bool) -> Array:
        pixels, labels = self.backend.on_device(batches.examples)
        steps = zip(batches, lr, strict=True)
        return np.array([self.step(pixels[rows], labels[rows], rate) for rows, rate in steps])

    def step(self, pixels: Array, labels: Array, lr: float) -> float:
        """Train for one step. Return the loss before the update."""
        net = self.net
        done = net.run(pixels, self.training)
        losses, dlogits = self.cross_entropy(self.recipe.loss, done[net.model.end()].output, labels)
        gradients = net.backward(done, dlogits / len(labels))
        self.gradients = {name: gradients[name] for name in self.optimizers}
        for name, optimizer in self.optimizers.items():
            net.weights[name] = optimizer.step(net.weights[name], gradients[name], lr * self.recipe.rate(name))
        for node in self.training:
            net.weights |= {f"{node}.{name}": value for name, value in done[node].statistics.items()}
        return float(losses.mean())


class NumPy(Backend[Net]):
    """The float64 reference."""

    name = "numpy"
    precisions = ("float64",)

    network: ClassVar[type[Net]] = Net
    training: ClassVar[type[NumPyTrainer]] = NumPyTrainer

    def start(self, device: str) -> Device:
        return "cpu"

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def upload(self, examples: Examples) -> tuple[Array, Array]:
        return examples.pixels(examples.images), examples.labels

    def build(self, model: Model, weights: Weights) -> Net:
        return self.network(model, weights)

    def weights(self, net: Net) -> dict[str, Array]:
        return dict(net.weights)

    def device_of(self, net: Net) -> Device:
        return "cpu"

    def load(self, net: Net, weights: Weights) -> None:
        net.load(weights)

    def forward(self, net: Net, batches: Batches, *, upto: Upto = "logits") -> Array:
        pixels, _ = self.on_device(batches.examples)
        return np.concatenate([net.run(pixels[rows])[net.model.end(upto)].output for rows in batches])

    def trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> NumPyTrainer:
        return self.training(self, net, recipe, seed)

    def input_gradient(self, net: Net, images: Array, labels: Array, objective: Objective) -> Array:
        done = net.run(np.asarray(images, np.float64))
        return net.backward(done, slope(objective, done[net.model.end()].output, labels))[Model.INPUT]


@hookimpl
def samebench_backend() -> type[NumPy]:
    return NumPy
