"""Suspects: common mistakes of backends, in NumPy.

Each suspect is the reference with a mistake, often a default of some framework. When a rule fails, the kit runs the
suspects of this rule. It names those that return the same values as the backend. The kit's tests check that each rule
catches and names all its suspects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness import spec
from harness.attack import Attack, changed_by
from harness.data import Batches, Examples
from harness.recipe import SGD, Adam, LossName, Objective, Recipe
from harness.reference import layers as reference
from harness.reference.backend import Net, NumPy, NumPyTrainer
from harness.reference.layers import LAYERS, Applied, Apply, Context, Gradients
from harness.reference.losses import cross_entropy
from harness.reference.optimizers import TensorOptimizer
from harness.spec import Array, Layer, Parameter, Upto

SUSPECTS: dict[str, dict[str, type[NumPy]]] = {}


def suspect(rule: str, cause: str, suspected: type[NumPy]) -> None:
    SUSPECTS.setdefault(rule, {})[cause] = suspected


def backend_with_layer(kind: type[Layer], apply: Apply) -> type[NumPy]:
    """The reference with another function for a layer."""
    network = type("SuspectNet", (Net,), {"layers": LAYERS | {kind: apply}})
    return type("Suspect", (NumPy,), {"network": network})


def with_layer(rule: str, cause: str, kind: type[Layer], apply: Apply) -> None:
    suspect(rule, cause, backend_with_layer(kind, apply))


def with_training(rule: str, cause: str, **members: Any) -> None:
    """Suspect the reference with another trainer."""
    training = type("SuspectTrainer", (NumPyTrainer,), members)
    suspect(rule, cause, type("Suspect", (NumPy,), {"training": training}))


def with_optimizer(rule: str, cause: str, **members: Any) -> None:
    """Suspect the reference with another update rule."""
    with_training(rule, cause, tensor_optimizer=type("SuspectOptimizer", (TensorOptimizer,), members))


def changed(apply: Apply, change: Callable[[Any], Any]) -> Apply:
    """The function of a layer, applied to `change(layer)`."""
    return lambda layer, context, *inputs: apply(change(layer), context, *inputs)


# Layers


def _both_sides(layer: Any) -> Any:
    """PyTorch's padding is the same number for both sides."""
    padding = tuple((max(sides), max(sides)) for sides in layer.window.padding)
    return replace(layer, padding=padding)


def _swapped_sides(layer: Any) -> Any:
    (top, bottom), (left, right) = layer.window.padding
    return replace(layer, padding=((bottom, top), (right, left)))


def _flipped(layer: spec.Conv, context: Context, x: Array) -> Applied:
    kernel = context.weights["kernel"][::-1, ::-1]
    return reference.conv(layer, context._replace(weights={**context.weights, "kernel": kernel}), x)


def _regrouped(layer: spec.Conv, context: Context, x: Array) -> Applied:
    """Channels assigned to the groups in turn, not as adjacent channels."""
    order = np.arange(x.shape[-1]).reshape(-1, layer.groups).T.ravel()
    return reference.conv(layer, context, x[..., order])


with_layer("convolution", "the same padding on both sides, (1, 1) for (0, 1), as PyTorch's `padding=1`", spec.Conv,
           changed(reference.conv, _both_sides))  # fmt: skip
with_layer("convolution", "the larger half of the padding on the wrong side", spec.Conv,
           changed(reference.conv, _swapped_sides))  # fmt: skip
with_layer("convolution", "a flipped kernel: a true convolution, not a cross-correlation", spec.Conv, _flipped)
with_layer("convolution_groups", "channels assigned to the groups in turn, not as adjacent channels", spec.Conv,
           _regrouped)  # fmt: skip


def _channels_first(layer: spec.Flatten, context: Context, x: Array) -> Applied:
    y = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    rows, columns, channels = x.shape[1:]
    return Applied(y, lambda dy: ((dy.reshape(-1, channels, rows, columns).transpose(0, 2, 3, 1),), {}))


with_layer("flatten", "channels first, the order of `nn.Flatten` on PyTorch's NCHW", spec.Flatten, _channels_first)
with_layer("normalize", "a mean that is subtracted, and a std that is ignored", spec.Normalize,
           lambda layer, context, x: reference.normalize(replace(layer, std=(1.0,)), context, x))  # fmt: skip
with_layer("normalize", "a variance in place of the std, as Keras' Normalization takes it", spec.Normalize,
           changed(reference.normalize, lambda layer: replace(layer, std=tuple(np.sqrt(layer.std)))))  # fmt: skip


def _zero_padded_max(layer: spec.MaxPool, context: Context, x: Array) -> Applied:
    (top, _bottom), (left, _right) = layer.window.padding
    y, backward, _ = reference.max_pool(replace(layer, padding=0), context, reference.pad(x, layer.window))
    rows, columns = x.shape[1:3]
    return Applied(y, lambda dy: ((backward(dy)[0][0][:, top : top + rows, left : left + columns],), {}))


def _shared_ties(layer: spec.MaxPool, context: Context, x: Array) -> Applied:
    window = layer.window
    flat = reference.windows(reference.pad(x, window, -np.inf), window)
    best = flat.max((-2, -1), keepdims=True)
    share = (flat == best) / (flat == best).sum((-2, -1), keepdims=True)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Gradients]:
        parts = (share * dy[..., None, None]).transpose(0, 1, 2, 4, 5, 3)
        return (reference.gather(parts, x, window),), {}

    return Applied(best[..., 0, 0], backward)


def _last_of_ties(layer: spec.MaxPool, context: Context, x: Array) -> Applied:
    (top, bottom), (left, right) = layer.window.padding
    turned = replace(layer, padding=((bottom, top), (right, left)))
    y, backward, _ = reference.max_pool(turned, context, x[:, ::-1, ::-1])
    return Applied(y[:, ::-1, ::-1], lambda dy: ((backward(dy[:, ::-1, ::-1])[0][0][:, ::-1, ::-1],), {}))


with_layer("max_pool", "zeros as padding, not -infinity", spec.MaxPool, _zero_padded_max)
with_layer("max_pool", "the same padding on both sides", spec.MaxPool, changed(reference.max_pool, _both_sides))
with_layer(
    "max_pool_ties", "the gradient shared among ties, as JAX does for a reshape and a max", spec.MaxPool, _shared_ties
)
with_layer("max_pool_ties", "a gradient for the last of equal values, not for the first", spec.MaxPool, _last_of_ties)
with_layer("avg_pool", "padding counted the other way (PyTorch and Flax count it, Keras does not)", spec.AvgPool,
           changed(reference.avg_pool, lambda layer: replace(layer, count_padding=not layer.count_padding)))  # fmt: skip
with_layer("global_avg_pool", "a sum in place of a mean", spec.GlobalAvgPool,
           lambda layer, context, x: Applied(x.sum((1, 2)), lambda dy: ((np.ones_like(x) * dy[:, None, None],), {})))  # fmt: skip


def _with_function(name: str, function: Callable[[Array], tuple[Array, Array]]) -> Apply:
    def apply(layer: spec.Activation, context: Context, x: Array) -> Applied:
        if layer.function != name:
            return reference.activation(layer, context, x)
        y, slope = function(x)
        return Applied(y, lambda dy: ((dy * slope,), {}))

    return apply


with_layer("activations", "relu with slope 0.5 at 0, as `jnp.maximum(x, 0)`", spec.Activation,
           _with_function("relu", lambda x: (np.maximum(x, 0), (np.sign(x) + 1) / 2)))  # fmt: skip
with_layer("activations", "relu6 with slope 0.5 at 0 and 6, as `jax.nn.relu6`", spec.Activation,
           _with_function("relu6", lambda x: (np.clip(x, 0, 6), (np.sign(x) - np.sign(x - 6)) / 2)))  # fmt: skip
with_layer("activations", "hard swish in place of swish", spec.Activation,
           _with_function("swish", lambda x: (x * np.clip(x + 3, 0, 6) / 6, np.clip(x / 3 + 0.5, 0, 1))))  # fmt: skip
with_layer("activations", "a hard sigmoid in place of the sigmoid", spec.Activation,
           _with_function("sigmoid", lambda x: (np.clip(x / 6 + 0.5, 0, 1), (abs(x) < 3) / 6)))  # fmt: skip


def _batch_norm(change: Callable[[Any], Layer]) -> Apply:
    return changed(reference.batch_norm, change)


def _unbiased(layer: spec.BatchNorm, context: Context, x: Array) -> Applied:
    done, n = reference.batch_norm(layer, context, x), x[..., 0].size
    if not context.training:
        return done
    kept = layer.momentum * context.weights["variance"]
    unbiased = kept + (done.statistics["variance"] - kept) * n / (n - 1)
    return done._replace(statistics={**done.statistics, "variance": unbiased})


with_layer(
    "batch_norm", "epsilon 1e-3, the default of Keras", spec.BatchNorm, _batch_norm(lambda b: replace(b, epsilon=1e-3))
)
with_layer(
    "batch_norm",
    "epsilon 1e-5, not that of the layer",
    spec.BatchNorm,
    _batch_norm(lambda b: replace(b, epsilon=1e-5)),
)
with_layer("batch_norm", "the batch's own statistics in evaluation", spec.BatchNorm,
           lambda layer, context, x: reference.batch_norm(layer, context._replace(training=True), x)
           ._replace(statistics={}))  # fmt: skip
with_layer("batch_norm_training", "momentum read as the weight of the new value, as PyTorch does", spec.BatchNorm,
           _batch_norm(lambda b: replace(b, momentum=1 - b.momentum)))  # fmt: skip
with_layer("batch_norm_training", "momentum 0.99, the default of Keras and Flax", spec.BatchNorm,
           _batch_norm(lambda b: replace(b, momentum=0.99)))  # fmt: skip
with_layer("batch_norm_training", "the unbiased running variance of PyTorch", spec.BatchNorm, _unbiased)
with_layer("batch_norm_training", "statistics that training does not update", spec.BatchNorm,
           lambda layer, context, x: reference.batch_norm(layer, context, x)._replace(statistics={}))  # fmt: skip
with_layer("composites", "branches joined in the wrong order", spec.Concat,
           lambda layer, context, *parts: Applied(np.concatenate(parts[::-1], -1), lambda dy: (
               tuple(np.split(dy, np.cumsum([p.shape[-1] for p in parts[::-1]])[:-1], -1)[::-1]), {})))  # fmt: skip
with_layer("composites", "a residual without its shortcut", spec.Add,
           lambda layer, context, body, shortcut: Applied(body, lambda dy: ((dy, 0 * dy), {})))  # fmt: skip


# Losses


def _loss(change: Callable[[LossName, Array, Array], tuple[Array, Array]]) -> dict[str, Any]:
    return {"cross_entropy": staticmethod(change)}


def _probabilities_as_logits(loss: LossName, logits: Array, labels: Array) -> tuple[Array, Array]:
    if loss == "sigmoid":
        p = 1 / (1 + np.exp(-logits))
        value, dp = cross_entropy(loss, p, labels)
        return value, dp * p * (1 - p)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    value, dp = cross_entropy(loss, p, labels)
    return value, p * (dp - (dp * p).sum(1, keepdims=True))


def _summed(loss: LossName, logits: Array, labels: Array) -> tuple[Array, Array]:
    value, gradient = cross_entropy(loss, logits, labels)
    return value * len(labels), gradient * len(labels)


for _rule in ("softmax_loss", "sigmoid_loss"):
    with_training(
        _rule,
        "probabilities in place of logits (Keras' default is from_logits=False)",
        **_loss(_probabilities_as_logits),
    )
    with_training(_rule, "the batch's losses summed, not averaged", **_loss(_summed))


# Optimisers


def _as(change: Callable[[Any], SGD | Adam]) -> dict[str, Any]:
    """The update rule with other options of the optimiser."""

    def begin(self: TensorOptimizer, optimizer: SGD | Adam, parameter: Parameter) -> None:
        TensorOptimizer.__init__(self, change(optimizer), parameter)

    return {"__init__": begin}


def _rate_in_velocity(self: Any, weight: Array, gradient: Array, lr: float) -> Any:
    """v = momentum * v - lr * g;  w += v."""
    optimizer = self.optimizer
    self.first = optimizer.momentum * self.first - lr * gradient
    return weight + (optimizer.momentum * self.first - lr * gradient if optimizer.nesterov else self.first)


def _epsilon_hat(self: Any, optimizer: Adam, gradient: Array) -> Any:
    """The bias correction applied to the rate, lr * sqrt(1 - b2^t) / (1 - b1^t), so that epsilon is not corrected."""
    self.first = optimizer.beta1 * self.first + (1 - optimizer.beta1) * gradient
    self.second = optimizer.beta2 * self.second + (1 - optimizer.beta2) * gradient**2
    fold = np.sqrt(1 - optimizer.beta2**self.steps) / (1 - optimizer.beta1**self.steps)
    return fold * self.first / (np.sqrt(self.second) + optimizer.epsilon)


def _uncorrected(self: Any, optimizer: Adam, gradient: Array) -> Any:
    self.first = optimizer.beta1 * self.first + (1 - optimizer.beta1) * gradient
    self.second = optimizer.beta2 * self.second + (1 - optimizer.beta2) * gradient**2
    return self.first / (np.sqrt(self.second) + optimizer.epsilon)


with_optimizer("sgd_momentum", "momentum ignored", **_as(lambda o: replace(o, momentum=0.0, nesterov=False)))
with_optimizer("sgd_momentum", "the learning rate inside the velocity, as in Keras' SGD", step=_rate_in_velocity)
with_optimizer("sgd_nesterov", "Nesterov ignored", **_as(lambda o: replace(o, nesterov=False)))
with_optimizer("adam", "an epsilon inside the bias correction, as in Keras' Adam", _adam=_epsilon_hat)
with_optimizer("adam", "epsilon 1e-7, the default of Keras", **_as(lambda o: replace(o, epsilon=1e-7)))
with_optimizer("adam", "moments without bias correction", _adam=_uncorrected)
with_optimizer(
    "coupled_decay",
    "decoupled decay, which Keras' `weight_decay` always is",
    **_as(lambda o: replace(o, decoupled=True)),
)
with_optimizer(
    "coupled_decay", "decay on every tensor, the default of PyTorch", **_as(lambda o: replace(o, decay_on="all"))
)
with_optimizer("coupled_decay", "twice the decay: the gradient of Keras' l2 regulariser is 2 * l2 * w",
               **_as(lambda o: replace(o, weight_decay=2 * o.weight_decay)))  # fmt: skip
with_optimizer(
    "decoupled_decay", "coupled decay, as in PyTorch's SGD and Adam", **_as(lambda o: replace(o, decoupled=False))
)
with_optimizer(
    "decoupled_decay", "decay on every tensor, the default of PyTorch", **_as(lambda o: replace(o, decay_on="all"))
)
with_optimizer("decoupled_decay", "decay ignored", **_as(lambda o: replace(o, weight_decay=0.0)))
with_optimizer("l1", "L1 ignored", **_as(lambda o: replace(o, l1=0.0)))
with_optimizer("l1", "L1 on every tensor", **_as(lambda o: replace(o, decay_on="all")))


# Training


def _run_at(rates: Callable[[Array], Array]) -> Callable[..., Array]:
    def segment(self: NumPyTrainer, batches: Batches, lr: Array, record: bool) -> Array:
        return NumPyTrainer.segment(self, batches, rates(lr), record)

    return segment


def _forgetful(self: NumPyTrainer, batches: Batches, lr: Array, record: bool) -> Array:
    NumPyTrainer.__init__(self, self.backend, self.net, self.recipe, self.seed)
    return NumPyTrainer.segment(self, batches, lr, record)


def _with_recipe(change: Callable[[Recipe], Recipe]) -> dict[str, Any]:
    def begin(self: NumPyTrainer, backend: NumPy, net: Net, recipe: Recipe, seed: int) -> None:
        NumPyTrainer.__init__(self, backend, net, change(recipe), seed)

    return {"__init__": begin}


def _frozen_in_training_mode(self: NumPyTrainer, backend: NumPy, net: Net, recipe: Recipe, seed: int) -> None:
    NumPyTrainer.__init__(self, backend, net, recipe, seed)
    self.training = frozenset(node.name for node in net.model.nodes)


with_training(
    "learning_rates",
    "the segment's first learning rate at every step",
    segment=_run_at(lambda lr: np.full_like(lr, lr[0])),
)
with_training(
    "learning_rates", "each step at the rate of the step before", segment=_run_at(lambda lr: np.r_[lr[:1], lr[:-1]])
)
with_training("segments", "an optimiser state that starts anew in each segment", segment=_forgetful)
with_training("part_rates", "the rates of parts ignored", **_with_recipe(
    lambda recipe: replace(recipe, rates=tuple((start, float(rate != 0)) for start, rate in recipe.rates))))  # fmt: skip
with_training("frozen_parts", "a frozen part left in training mode", __init__=_frozen_in_training_mode)
with_training("frozen_parts", "a frozen part that learns", **_with_recipe(lambda recipe: replace(recipe, rates=())))


# Inputs and outputs of a network


class _Averaged(NumPy):
    def input_gradient(self, net: Net, images: Array, labels: Array, objective: Objective) -> Array:
        return super().input_gradient(net, images, labels, objective) / len(labels)


class _By255(NumPy):
    def forward(self, net: Net, batches: Batches, *, upto: Upto = "logits") -> Array:
        examples = Examples(batches.examples.images, batches.examples.labels, 255)
        return super().forward(net, Batches(examples, batches.rows, batches.batch_size), upto=upto)


class _ChannelsFirstFeatures(NumPy):
    def forward(self, net: Net, batches: Batches, *, upto: Upto = "logits") -> Array:
        outputs = super().forward(net, batches, upto=upto)
        return outputs.transpose(0, 3, 1, 2) if outputs.ndim == 4 else outputs


suspect("input_gradient", "losses averaged over the batch before the gradient is taken", _Averaged)
suspect("pixels", "pixels divided by 255, not by pixel_max", _By255)
suspect("features", "pictures with channels first, as PyTorch keeps them", _ChannelsFirstFeatures)


# Attacks


def with_attack(cause: str, **members: Any) -> None:
    """Suspect the reference with another attack."""
    kind = type("SuspectAttack", (Attack,), members)

    def run_attack(
        self: NumPy, net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array
    ) -> Array:
        other = kind(**vars(attack))
        objective = other.objective(loss)
        return changed_by(other, images, start, lambda x: self.input_gradient(net, x, labels, objective))

    suspect("attacks", cause, type("Suspect", (NumPy,), {"run_attack": run_attack}))


def _unclipped(self: Attack, pictures: Array, images: Array, gradient: Array) -> Array:
    moved = pictures + self.step_size * np.sign(gradient)
    if self.norm != "linf":
        return Attack.step(self, pictures, images, gradient)
    return np.clip(moved, images - self.epsilon, images + self.epsilon)


def _unbounded(self: Attack, pictures: Array, images: Array, gradient: Array) -> Array:
    return Attack.step(replace(self, epsilon=1e9), pictures, images, gradient)


def _along_the_batch(self: Attack, pictures: Array, images: Array, gradient: Array) -> Array:
    """Gradients divided by the length of the whole batch's gradient."""
    if self.norm == "linf":
        return Attack.step(self, pictures, images, gradient)
    lengths = np.sqrt((gradient**2).sum((1, 2, 3), keepdims=True))
    share = lengths / np.sqrt((gradient**2).sum())
    steps = [
        Attack.step(replace(self, step_size=self.step_size * float(part)), picture[None], image[None], slope[None])
        for part, picture, image, slope in zip(share.ravel(), pictures, images, gradient, strict=True)
    ]
    return np.concatenate(steps)


with_attack("pixels below 0 or above 1", step=_unclipped)
with_attack("pictures further than epsilon from the originals", step=_unbounded)
with_attack("gradients divided by the length of the whole batch's gradient", step=_along_the_batch)
with_attack("the gradient of the loss in place of the logit's", objective=lambda self, loss: loss)
