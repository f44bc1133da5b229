"""The update rules of `harness.recipe`, for a single tensor."""

from __future__ import annotations

import numpy as np

from harness.recipe import SGD, Adam
from harness.spec import Array, Parameter


class TensorOptimizer:
    """The optimiser of a tensor, with its moments."""

    def __init__(self, optimizer: SGD | Adam, parameter: Parameter) -> None:
        self.optimizer = optimizer
        self.decays = optimizer.decays(parameter)
        self.steps = 0
        self.first: Array = np.zeros(parameter.shape)
        self.second: Array = np.zeros(parameter.shape)

    def step(self, weight: Array, gradient: Array, lr: float) -> Array:
        """The tensor after a step."""
        optimizer = self.optimizer
        self.steps += 1
        decoupled_decay = 0.0
        if self.decays:
            gradient = gradient + optimizer.l1 * np.sign(weight)
            if optimizer.decoupled:
                decoupled_decay = optimizer.weight_decay
            else:
                gradient = gradient + optimizer.weight_decay * weight
        direction = self._adam(optimizer, gradient) if isinstance(optimizer, Adam) else self._sgd(optimizer, gradient)
        return weight - lr * (direction + decoupled_decay * weight)

    def _sgd(self, optimizer: SGD, gradient: Array) -> Array:
        self.first = optimizer.momentum * self.first + gradient
        return gradient + optimizer.momentum * self.first if optimizer.nesterov else self.first

    def _adam(self, optimizer: Adam, gradient: Array) -> Array:
        self.first = optimizer.beta1 * self.first + (1 - optimizer.beta1) * gradient
        self.second = optimizer.beta2 * self.second + (1 - optimizer.beta2) * gradient**2
        first = self.first / (1 - optimizer.beta1**self.steps)
        second = self.second / (1 - optimizer.beta2**self.steps)
        return first / (np.sqrt(second) + optimizer.epsilon)
