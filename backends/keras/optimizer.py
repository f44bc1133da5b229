"""Optimisers for every engine of Keras: those of `harness.recipe`, and Keras' own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from harness import SGD, Array, Model, Recipe, Unsupported, moment_count, update_direction


class TableOfRates(keras.optimizers.schedules.LearningRateSchedule):
    """A table of the learning rate of each step.

    The table is a variable of the optimiser, so a compiled step reads new values from it.
    """

    SIZE = 4096  # the number of steps in the table

    def keep_in(self, optimizer: keras.optimizers.Optimizer) -> None:
        self.optimizer = optimizer
        self.table = optimizer.add_variable((self.SIZE,), name="rates")

    def fill(self, rates: Array) -> None:
        """Write the learning rates of the next steps."""
        start = int(ops.convert_to_numpy(self.optimizer.iterations))
        table = np.array(ops.convert_to_numpy(self.table))
        table[(start + np.arange(len(rates))) % self.SIZE] = rates
        self.table.assign(table)

    def __call__(self, step: Any) -> Any:
        return ops.take(self.table, ops.mod(step, self.SIZE))


class PublishedOptimizer(keras.optimizers.Optimizer):
    """SGD and Adam as `harness.recipe` defines them.

    Keras' own optimisers differ. Adam applies the bias correction to the learning rate, so epsilon has more effect in
    the first steps. The velocity of SGD contains the learning rate. Weight decay is always decoupled.
    """

    def __init__(self, recipe: Recipe, model: Model, variables: Mapping[str, keras.Variable], lr: TableOfRates) -> None:
        super().__init__(learning_rate=lr)
        self.recipe, self.model = recipe, model
        self.names = {variable.path: name for name, variable in variables.items()}

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        optimizer = self.recipe.optimizer
        self.factors = [self.recipe.rate(self.names[variable.path]) for variable in variables]
        self.decays = [optimizer.decays(self.model.parameters[self.names[variable.path]]) for variable in variables]
        self.moments = [
            [self.add_variable_from_reference(variable, f"moment{number}") for number in range(moment_count(optimizer))]
            for variable in variables
        ]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        # Once for all tensors: TensorFlow would compute the powers of the betas again for each of them.
        self.step = ops.cast(self.iterations + 1, keras.config.floatx())
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index, weight = self._get_variable_index(variable), ops.convert_to_tensor(variable)
        slots = self.moments[index]
        direction, moments = update_direction(
            ops, self.recipe.optimizer, self.decays[index], weight, gradient,
            tuple(ops.convert_to_tensor(slot) for slot in slots), self.step,
        )  # fmt: skip
        for slot, moment in zip(slots, moments, strict=True):
            self.assign(slot, moment)
        self.assign_sub(variable, learning_rate * self.factors[index] * direction)


def stock_optimizer(
    recipe: Recipe, model: Model, variables: Mapping[str, keras.Variable], lr: TableOfRates | float
) -> keras.optimizers.Optimizer:
    """Keras' own optimiser of the same name, without a subclass: a subclass would lose the fast updates of PyTorch."""
    optimizer = recipe.optimizer
    if optimizer.l1:
        raise Unsupported("Keras' own optimisers have no L1: set l1 to 0, or use aligned semantics")
    if any(rate not in (0, 1) for _, rate in recipe.rates):
        raise Unsupported("Keras' own optimisers have one learning rate for all tensors: use aligned semantics")
    decay = optimizer.weight_decay or None
    if isinstance(optimizer, SGD):
        made = keras.optimizers.SGD(lr, float(optimizer.momentum), optimizer.nesterov, weight_decay=decay)
    elif optimizer.decoupled:
        made = keras.optimizers.AdamW(lr, optimizer.weight_decay)
    else:
        made = keras.optimizers.Adam(lr, weight_decay=decay)
    if decay:
        made.exclude_from_weight_decay(
            [v for name, v in variables.items() if not optimizer.decays(model.parameters[name])]
        )
    return made
