"""When a training has learned enough: one decision for every framework, made on pictures that it is not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from harness.errors import UsageError


class Limits(Protocol):
    """The options that a decision is made by."""

    patience: int
    min_delta: float
    plateau_patience: int
    plateau_factor: float


def check_limits(task: str, limits: Limits) -> None:
    """Raise unless the options make sense."""
    for name in ("patience", "plateau_patience"):
        if getattr(limits, name) < 1:
            raise UsageError(f"{task}.{name} is a number of epochs, at least 1, not {getattr(limits, name)}")
    if limits.min_delta < 0:
        raise UsageError(f"{task}.min_delta must be at least 0, not {limits.min_delta}")
    if not 0 < limits.plateau_factor <= 1:
        raise UsageError(f"{task}.plateau_factor must be above 0 and at most 1, not {limits.plateau_factor}")


@dataclass
class Watch:
    """Follows the validation loss from epoch to epoch.

    An epoch is better if the loss is more than `min_delta` below the best so far. After `plateau_patience` epochs in a
    row that are not, the learning rate is multiplied by `plateau_factor`; after `patience`, training ends. The best
    weights are kept, and are what remains.
    """

    limits: Limits
    best: float
    """The loss before the first epoch."""

    kept: Any
    """The weights of that loss."""

    best_epoch: int = 0
    epoch: int = 0
    factor: float = 1.0
    """Of the learning rate of the next epoch."""

    def sees(self, loss: float) -> bool:
        """Take in an epoch's loss; whether it is the best so far, and its weights are to be kept."""
        self.epoch += 1
        better = loss < self.best - self.limits.min_delta
        if better:
            self.best, self.best_epoch = loss, self.epoch
        elif self.waited % self.limits.plateau_patience == 0:
            self.factor *= self.limits.plateau_factor
        return better

    @property
    def waited(self) -> int:
        """Epochs since the best one."""
        return self.epoch - self.best_epoch

    @property
    def done(self) -> bool:
        return self.waited >= self.limits.patience
