"""Early stopping: the decisions for a series of losses."""

from __future__ import annotations

import pytest
from refusals import refused

from harness.errors import UsageError
from harness.tasks.common.stopping import Stopping, Watch


def watched(losses: list[float], before: float = 1.0, **options: float) -> Watch:
    """The watch after a training with these losses, until it is done."""
    watch = Watch(Stopping(**options), before, kept={})
    for loss in losses:
        watch.update(loss)
        if watch.done:
            break
    return watch


def test_it_goes_on_as_long_as_it_gets_better():
    watch = watched([0.9, 0.8, 0.7, 0.6])
    assert (watch.epoch, watch.best_epoch, watch.best, watch.factor) == (4, 4, 0.6, 1.0)


def test_it_ends_after_so_many_epochs_that_are_not_better():
    watch = watched([0.9, 0.95, 0.91, 0.92, 0.1], patience=3)
    assert (watch.epoch, watch.best_epoch, watch.best) == (4, 1, 0.9), "what came later was never seen"


def test_an_epoch_is_better_only_by_more_than_the_least_change():
    assert watched([0.95, 0.9], min_delta=0.1, patience=5).best_epoch == 0
    assert watched([0.95, 0.89], min_delta=0.1, patience=5).best_epoch == 2, "small steps add up"


def test_without_a_better_epoch_the_first_weights_are_kept():
    watch = watched([1.1, 1.2, 1.3])
    assert (watch.epoch, watch.best_epoch, watch.best) == (3, 0, 1.0)


def test_on_a_plateau_the_rate_falls_and_stays_down():
    watch = watched([0.9, 0.95, 0.94, 0.93, 0.92], patience=9, plateau_patience=2, plateau_factor=0.5)
    assert watch.factor == 0.25, "after two epochs, and after four"
    assert watched([0.9, 0.95, 0.8], plateau_factor=0.5).factor == 0.5, "a better epoch does not raise it again"


def test_a_loss_that_is_no_number_is_never_better():
    assert watched([float("nan")] * 3).best_epoch == 0


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ({"patience": 0}, ["Stopping.patience", 1, 0]),
        ({"plateau_patience": 0}, ["Stopping.plateau_patience", 1, 0]),
        ({"min_delta": -1.0}, ["Stopping.min_delta", 0, -1.0]),
        ({"plateau_factor": 0.0}, ["Stopping.plateau_factor", 0, 1, 0.0]),
    ],
)
def test_invalid_options_are_refused(option, values):
    with refused(UsageError, "out-of-range", *values):
        Stopping(**option)
