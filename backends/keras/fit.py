"""Keras on an engine that compiles: `fit` runs many steps at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from backends.keras.backend import KerasBackend, Net, loss_of
from backends.keras.optimizer import PublishedOptimizer, TableOfRates, stock_optimizer
from harness import Array, Batches, Model, Recipe, Trainer, Upto

MakeOptimizer = Callable[[Recipe, Model, Mapping[str, keras.Variable], TableOfRates], keras.optimizers.Optimizer]


class KerasTrainer(Trainer):
    def __init__(self, backend: FitBackend, net: Net, recipe: Recipe, seed: int, make: MakeOptimizer) -> None:
        self.backend, self.net, self.recipe, self.keras = backend, net, recipe, net.training
        self.rates = TableOfRates()
        self.optimizer = make(recipe, net.model, net.variables(), self.rates)
        self.rates.keep_in(self.optimizer)
        net.seed_dropout(seed)
        self.take_over()
        self.optimizer.build(self.keras.trainable_variables)

    def take_over(self) -> None:
        """Compile the Keras model for this trainer. A Keras model has only one optimiser at a time."""
        self.net.train_only(self.recipe)
        self.keras.compile(
            self.optimizer, loss_of(self.recipe.loss), jit_compile=self.backend.jit_compile,
            steps_per_execution=self.backend.steps_per_execution,
        )  # fmt: skip

    def segment(self, batches: Batches, lr: Array, record: bool) -> Array:
        if self.keras.optimizer is not self.optimizer:
            self.take_over()
        size = 1 if record else TableOfRates.SIZE
        parts = [slice(start, start + size) for start in range(0, len(batches), size)]
        losses = np.array([self.fit(batches[part], lr[part]) for part in parts])
        return losses if record else np.average(losses, weights=[len(batches[part]) for part in parts]).reshape(1)

    def fit(self, batches: Batches, lr: Array) -> float:
        """Run all steps in a single call of `fit`. Returns their mean loss, which is all that Keras logs."""
        self.rates.fill(lr)
        history = self.keras.fit(
            self.backend.feed(self.keras, batches),
            steps_per_epoch=len(batches),
            shuffle=False,  # the harness gives the order
            verbose=0,
        )
        return float(history.history["loss"][0])


class FitBackend(KerasBackend):
    """The part of the backend that is the same on engines that compile."""

    steps_per_execution: ClassVar[int] = 16
    """The number of steps that Keras runs at once. After each execution, `fit` waits for the losses and logs them."""

    @abstractmethod
    def feed(self, model: keras.Model, batches: Batches) -> Any:
        """A source of batches for `fit` and `predict` of this Keras model."""

    def settings(self) -> dict[str, str]:
        return super().settings() | {"steps_per_execution": str(self.steps_per_execution)}

    def forward(self, net: Net, batches: Batches, *, upto: Upto = "logits") -> Array:
        model = net.keras[upto]
        return model.predict(self.feed(model, batches), steps=len(batches), verbose=0)

    def trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> KerasTrainer:
        return KerasTrainer(self, net, recipe, seed, PublishedOptimizer)

    def native_trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> KerasTrainer:
        return KerasTrainer(self, net, recipe, seed, stock_optimizer)
