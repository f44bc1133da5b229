"""Early stopping by the validation loss, with the same rule for every framework."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.errors import renamed_method
from harness.options import AT_LEAST_0, AT_LEAST_1, FACTOR, check_ranges
from harness.spec import Weights


@dataclass(frozen=True)
class Stopping:
    """The rule of early stopping. An epoch is better if its validation loss is more than `min_delta` below the best one."""

    patience: int = 3
    """Training ends after this number of epochs without a better one."""
    min_delta: float = 1e-3
    """The smallest fall of the validation loss that counts as better."""
    plateau_patience: int = 1
    """The learning rate is multiplied by `plateau_factor` after this number of epochs without a better one."""
    plateau_factor: float = 0.3
    """The factor on the learning rate; see plateau_patience."""

    def __post_init__(self) -> None:
        check_ranges(
            self, patience=AT_LEAST_1, min_delta=AT_LEAST_0, plateau_patience=AT_LEAST_1, plateau_factor=FACTOR
        )


@dataclass
class Watch:
    """Follows the validation loss of each epoch, and keeps the best weights."""

    stopping: Stopping
    best: float
    """The smallest validation loss so far; at first, the loss before training."""

    kept: Weights
    """The weights with that loss."""

    best_epoch: int = field(default=0, init=False)
    epoch: int = field(default=0, init=False)
    factor: float = field(default=1.0, init=False)
    """The learning rate of the next epoch, as a multiple of the option's."""

    def update(self, loss: float) -> bool:
        """Record the loss of an epoch. Returns True if it is the best so far; the caller then sets `kept`."""
        self.epoch += 1
        better = loss < self.best - self.stopping.min_delta
        if better:
            self.best, self.best_epoch = loss, self.epoch
        elif self.waited % self.stopping.plateau_patience == 0:
            self.factor *= self.stopping.plateau_factor
        return better

    sees = renamed_method("sees", "update")

    @property
    def waited(self) -> int:
        """The number of epochs since the best one."""
        return self.epoch - self.best_epoch

    @property
    def done(self) -> bool:
        return self.waited >= self.stopping.patience
