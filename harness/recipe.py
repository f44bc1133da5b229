"""How a network is trained, as a value: optimiser, schedule, loss, and which parts learn at which rate.

The update rules below are the definition. Every backend must reproduce them, whatever its framework's own
optimiser does by that name (see `harness/reference/optimizers.py` for the same in NumPy).
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
"""The loss: cross-entropy over classes, or over the two sides of one logit. Both take logits, and are means over a batch."""

Objective = Literal["softmax", "sigmoid", "logit"]
"""The quantity differentiated with respect to the pixels: a loss, or minus the label's logit."""


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What SGD and Adam share. Before the update, the gradient of a decayed tensor w becomes

        g + l1 * sign(w)                 and, with coupled decay,  + weight_decay * w

    while decoupled decay leaves the gradient alone and adds  lr * weight_decay * w  to what is subtracted.
    Kernels are decayed; biases and batch-norm parameters only with `decay_on="all"`. The reported loss never
    includes a penalty.
    """

    lr: float
    weight_decay: float = 0.0
    decoupled: bool = False
    l1: float = 0.0
    decay_on: Literal["kernels", "all"] = "kernels"

    def __post_init__(self) -> None:
        check_ranges(self, lr=AT_LEAST_0, weight_decay=AT_LEAST_0, l1=AT_LEAST_0)

    def decays(self, parameter: Parameter) -> bool:
        """Whether decay and L1 touch this tensor."""
        return bool(self.weight_decay or self.l1) and (self.decay_on == "all" or parameter.role == "kernel")


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """v = momentum * v + g;  w -= lr * v, or with Nesterov  w -= lr * (g + momentum * v).

    The velocity starts at 0 and holds no learning rate, so a change of rate acts at once.
    """

    lr: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, momentum=BELOW_1)
        if self.nesterov and not self.momentum:
            raise SpecError("nesterov needs a momentum above 0")


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Adam as published: both moments bias-corrected, epsilon outside the root.

    m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g**2
    w -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon),  t = 1, 2, ...
    """

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

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
    """The learning rate over a training, as factors on the optimiser's own rate. This one is constant."""

    def factors(self, steps: int) -> Array:
        """One factor for each of `steps` steps."""
        return np.ones(steps)


Constant = Schedule
"""The schedule that changes nothing."""


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 at the first step down towards `final`, which the step after the last would reach."""

    final: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, final=AT_LEAST_0)

    def factors(self, steps: int) -> Array:
        return self.final + (1 - self.final) * (1 + np.cos(math.pi * np.arange(steps) / max(steps, 1))) / 2


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiplied by `factor` at each share of the training in `at`."""

    at: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_ranges(self, at=SHARE, factor=AT_LEAST_0)

    def factors(self, steps: int) -> Array:
        return self.factor ** np.searchsorted(np.array(self.at) * steps, np.arange(steps), side="right")


@dataclass(frozen=True)
class Warmup(Schedule):
    """A line up to 1 over the first `share` of the training, then `then` over the rest."""

    share: float = 0.05
    then: Schedule = Schedule()

    def __post_init__(self) -> None:
        check_ranges(self, share=SHARE)

    def factors(self, steps: int) -> Array:
        rising = round(self.share * steps)
        return np.concatenate([np.arange(1, rising + 1) / max(rising, 1), self.then.factors(steps - rising)])


@dataclass(frozen=True)
class Recipe:
    """A way to train any network.

    `loss` is the mean cross-entropy of the batch, from logits: "softmax" over the classes, or "sigmoid" for a
    single logit and labels 0 and 1.

    `rates` multiplies the learning rate of parts of the network: a pair names the start of a node's path, and the
    longest start that fits wins. At rate 0 a part is frozen: no gradient, and every layer in evaluation mode, so
    that batch norms keep their statistics.
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
        """The tensors of `model` that learn: what has a gradient and is not frozen."""
        return tuple(name for name, tensor in model.parameters.items() if tensor.trainable and self.rate(name))

    def draws_masks(self, model: Model) -> bool:
        """Whether training draws drop-out masks, which no two frameworks share."""
        return any(
            isinstance(node.layer, Dropout) and node.layer.rate > 0 and self.rate(node.name) > 0 for node in model.nodes
        )

    def check(self, model: Model) -> None:
        """Raise unless this recipe can train `model`."""
        for start, _ in self.rates:
            if not any(f"{node.name}.".startswith(f"{start}.") for node in model.nodes):
                known = sorted({node.name.split(".")[0] for node in model.nodes} | {n.name for n in model.nodes})
                raise SpecError(f"{model.name} has no part {start!r}; it has {', '.join(known)}")
        if not self.learned(model):
            raise SpecError(f"nothing of {model.name} learns: every part that has parameters is at rate 0")
        if self.loss != loss_for(model):
            raise SpecError(
                f"{self.loss} loss does not fit {model.name} with {model.logits_shape[0]} logits: "
                "sigmoid takes exactly one, softmax two or more"
            )


def loss_for(model: Model) -> LossName:
    """The loss that fits a network's logits."""
    return "sigmoid" if model.logits_shape == (1,) else "softmax"
