"""The update rules of `harness.recipe`, for one tensor at a time."""

from __future__ import annotations

import numpy as np

from harness.recipe import SGD, Adam
from harness.spec import Array, Parameter


class TensorOptimizer:
    """The optimiser of one tensor: its moments, and how a step moves it."""

    def __init__(self, optimizer: SGD | Adam, parameter: Parameter) -> None:
        self.optimizer = optimizer
        self.decays = optimizer.decays(parameter)
        self.steps = 0
        self.first: Array = np.zeros(parameter.shape)
        self.second: Array = np.zeros(parameter.shape)

    def step(self, weight: Array, gradient: Array, lr: float) -> Array:
        """The tensor after one step."""
        optimizer = self.optimizer
        self.steps += 1
        shrink = 0.0
        if self.decays:
            gradient = gradient + optimizer.l1 * np.sign(weight)
            if optimizer.decoupled:
                shrink = optimizer.weight_decay
            else:
                gradient = gradient + optimizer.weight_decay * weight
        direction = self._adam(optimizer, gradient) if isinstance(optimizer, Adam) else self._sgd(optimizer, gradient)
        return weight - lr * (direction + shrink * weight)

    def _sgd(self, optimizer: SGD, gradient: Array) -> Array:
        self.first = optimizer.momentum * self.first + gradient
        return gradient + optimizer.momentum * self.first if optimizer.nesterov else self.first

    def _adam(self, optimizer: Adam, gradient: Array) -> Array:
        self.first = optimizer.beta1 * self.first + (1 - optimizer.beta1) * gradient
        self.second = optimizer.beta2 * self.second + (1 - optimizer.beta2) * gradient**2
        first = self.first / (1 - optimizer.beta1**self.steps)
        second = self.second / (1 - optimizer.beta2**self.steps)
        return first / (np.sqrt(second) + optimizer.epsilon)
