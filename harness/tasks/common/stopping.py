"""When a training has learned enough: one decision for every framework, made on pictures that it is not trained on."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.errors import renamed_method
from harness.options import AT_LEAST_0, AT_LEAST_1, FACTOR, check_ranges
from harness.spec import Weights


@dataclass(frozen=True)
class Stopping:
    """How the validation loss decides. An epoch is better if its loss is more than `min_delta` below the best so far."""

    patience: int = 3
    """Epochs in a row that are not better, after which training ends."""
    min_delta: float = 1e-3
    plateau_patience: int = 1
    """As many, after which the learning rate is multiplied by `plateau_factor`."""
    plateau_factor: float = 0.3

    def __post_init__(self) -> None:
        check_ranges(
            self, patience=AT_LEAST_1, min_delta=AT_LEAST_0, plateau_patience=AT_LEAST_1, plateau_factor=FACTOR
        )


@dataclass
class Watch:
    """Follows the validation loss from epoch to epoch, and keeps the best weights."""

    stopping: Stopping
    best: float
    """The smallest loss so far; to begin with, that before the first epoch."""

    kept: Weights
    """The weights of that loss."""

    best_epoch: int = field(default=0, init=False)
    epoch: int = field(default=0, init=False)
    factor: float = field(default=1.0, init=False)
    """What the next epoch's learning rate is multiplied by."""

    def update(self, loss: float) -> bool:
        """Take in an epoch's loss; whether it is the best so far, and its weights are to be kept."""
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
        """Epochs since the best one."""
        return self.epoch - self.best_epoch

    @property
    def done(self) -> bool:
        return self.waited >= self.stopping.patience
