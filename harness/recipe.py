"""How to train a network, as a value: the optimiser, the schedule, the loss, and the learning rates of its parts.

The update rules below are the definition. Every backend must reproduce them, even where the framework's optimiser of
the same name differs. `harness/reference/optimizers.py` holds the same rules in NumPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.errors import OutOfRange, SpecError
from harness.options import AT_LEAST_0, BELOW_1, SHARE, check_ranges
from harness.spec import Array, Dropout, Model, Parameter

LossName = Literal["softmax", "sigmoid"]
"""The loss: cross-entropy of several classes, or of two classes from a single logit. It is the mean over the batch."""

Objective = Literal["softmax", "sigmoid", "logit"]
"""The quantity differentiated with respect to the pixels: a loss, or minus the label's logit."""


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The base of SGD and Adam: L1 and weight decay of a tensor w.

    Before the update, the gradient becomes

        g + l1 * sign(w)                        with decoupled decay
        g + l1 * sign(w) + weight_decay * w     with coupled decay

    Decoupled decay also subtracts lr * weight_decay * w from the tensor. L1 and decay apply to kernels, and with
    `decay_on="all"` also to biases and batch-norm parameters. The reported loss includes no penalty.
    """

    lr: float
    """The learning rate."""
    weight_decay: float = 0.0
    """The weight of the penalty on large weights."""
    decoupled: bool = False
    """Whether the decay is subtracted from the weights (decoupled) or added to the gradient."""
    l1: float = 0.0
    """The weight of the penalty on the sum of absolute values."""
    decay_on: Literal["kernels", "all"] = "kernels"
    """The tensors that decay: kernels only, or also biases and batch-norm parameters."""

    def __post_init__(self) -> None:
        check_ranges(self, lr=AT_LEAST_0, weight_decay=AT_LEAST_0, l1=AT_LEAST_0)

    def decays(self, parameter: Parameter) -> bool:
        """Whether decay or L1 applies to this tensor."""
        return bool(self.weight_decay or self.l1) and (self.decay_on == "all" or parameter.role == "kernel")


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """v = momentum * v + g;  w -= lr * v, or with Nesterov  w -= lr * (g + momentum * v).

    The velocity v starts at 0. It does not contain the learning rate, so a change of the rate acts at once.
    """

    lr: float = 0.01
    momentum: float = 0.0
    """The share of the last velocity that is kept in each step."""
    nesterov: bool = False
    """Whether the gradient is added once more after the velocity has changed (Nesterov)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, momentum=BELOW_1)
        if self.nesterov and not self.momentum:
            raise SpecError("nesterov needs a momentum above 0", code="conflicting-options")


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Adam as published: both moments are bias-corrected, and epsilon is outside the root.

    m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g**2
    w -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon),  t = 1, 2, ...
    """

    lr: float = 1e-3
    beta1: float = 0.9
    """The share of the last mean of gradients that is kept in each step."""
    beta2: float = 0.999
    """The share of the last mean of squared gradients that is kept in each step."""
    epsilon: float = 1e-8
    """Added to the root in the denominator, so that it is not zero."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, beta1=BELOW_1, beta2=BELOW_1, epsilon=AT_LEAST_0)


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay."""

    weight_decay: float = 0.01
    decoupled: bool = True


@dataclass(frozen=True)
class Schedule:
    """The learning rate over a training, as factors on the optimiser's rate. The base class is constant."""

    def factors(self, steps: int) -> Array:
        """One factor for each of `steps` steps."""
        return np.ones(steps)


Constant = Schedule
"""The schedule of a constant learning rate."""


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 at the first step down to `final`. A step after the last one would reach `final`."""

    final: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, final=AT_LEAST_0)

    def factors(self, steps: int) -> Array:
        return self.final + (1 - self.final) * (1 + np.cos(math.pi * np.arange(steps) / max(steps, 1))) / 2


@dataclass(frozen=True)
class StepDecay(Schedule):
    """The rate is multiplied by `factor` after each share of the training in `at`."""

    at: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_ranges(self, at=SHARE, factor=AT_LEAST_0)

    def factors(self, steps: int) -> Array:
        return self.factor ** np.searchsorted(np.array(self.at) * steps, np.arange(steps), side="right")


@dataclass(frozen=True)
class Warmup(Schedule):
    """A linear rise to 1 over the first `share` of the training, and the schedule `then` over the rest."""

    share: float = 0.05
    then: Schedule = Schedule()

    def __post_init__(self) -> None:
        check_ranges(self, share=SHARE)

    def factors(self, steps: int) -> Array:
        warmup = round(self.share * steps)
        return np.concatenate([np.arange(1, warmup + 1) / max(warmup, 1), self.then.factors(steps - warmup)])


@dataclass(frozen=True)
class Recipe:
    """A way to train any network.

    `loss` is the mean cross-entropy of the batch, from logits: "softmax" for several classes, or "sigmoid" for a single
    logit and labels 0 and 1.

    `rates` multiplies the learning rate of parts of the network. Each pair holds the start of a node's path and a
    factor. The longest start that fits wins. A part at rate 0 is frozen: it has no gradient, and all its layers run in
    evaluation mode, so batch norms keep their statistics.
    """

    optimizer: SGD | Adam
    schedule: Schedule = Schedule()
    loss: LossName = "softmax"
    rates: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for start, rate in self.rates:
            if rate not in AT_LEAST_0:
                raise OutOfRange("Recipe", "rates", f"of {start!r} must be {AT_LEAST_0}, not {rate}")

    def rate(self, name: str) -> float:
        """The factor on the learning rate of the node or parameter called `name`."""
        fitting = [(len(start), rate) for start, rate in self.rates if f"{name}.".startswith(f"{start}.")]
        return max(fitting)[1] if fitting else 1.0

    def learning_rates(self, steps: int) -> Array:
        """The learning rate at each step, in float64."""
        return self.optimizer.lr * self.schedule.factors(steps)

    def frozen(self, model: Model) -> tuple[str, ...]:
        """The nodes of `model` that do not learn."""
        return tuple(node.name for node in model.nodes if self.rate(node.name) == 0)

    def learned(self, model: Model) -> tuple[str, ...]:
        """The tensors of `model` that learn: they have a gradient and are not frozen."""
        return tuple(name for name, tensor in model.parameters.items() if tensor.trainable and self.rate(name))

    def flops(self, model: Model) -> int:
        """The floating-point operations of a training step for one picture.

        Every layer computes its output. A layer that learns also computes the gradient of its kernel. A layer also computes
        the gradient of its input if a tensor before it learns; the first layer never does.
        """
        learned = {name.rpartition(".")[0] for name in self.learned(model)}
        after_learned: dict[str, bool] = {Model.INPUT: False}
        total = 0
        for node in model.nodes:
            before = any(after_learned[name] for name in node.inputs)
            after_learned[node.name] = before or node.name in learned
            total += node.flops * (1 + (self.rate(f"{node.name}.kernel") != 0) + before)
        return total

    def draws_masks(self, model: Model) -> bool:
        """Whether training draws dropout masks. Each framework draws different masks."""
        return any(
            isinstance(node.layer, Dropout) and node.layer.rate > 0 and self.rate(node.name) > 0 for node in model.nodes
        )

    def check(self, model: Model) -> None:
        """Raise unless this recipe can train `model`."""
        for start, _ in self.rates:
            if not any(f"{node.name}.".startswith(f"{start}.") for node in model.nodes):
                known = sorted({node.name.split(".")[0] for node in model.nodes} | {n.name for n in model.nodes})
                raise SpecError(f"{model.name} has no part {start!r}; it has {', '.join(known)}", code="unknown-name")
        if not self.learned(model):
            raise SpecError(
                f"nothing of {model.name} learns: all parts with parameters are at rate 0; set another rate for one",
                code="conflicting-options",
            )
        if self.loss != loss_for(model):
            raise SpecError(
                f"{self.loss} loss does not fit {model.name} with {model.logits_shape[0]} logits: "
                "sigmoid needs exactly 1 logit, softmax 2 or more",
                code="wrong-shape",
            )


def loss_for(model: Model) -> LossName:
    """The loss that fits a network's logits."""
    return "sigmoid" if model.logits_shape == (1,) else "softmax"
