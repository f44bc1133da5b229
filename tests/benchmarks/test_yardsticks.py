"""The yardsticks do the same work as the backends, and a backend is about as fast.

`samebench bench-overhead` measures the ratios with its floor of 0.97. The floor here is lower, because CI is noisy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from slower import is_slower

from harness import Adam
from harness.running.overhead import FILES, checkout
from harness.worker.overhead import WORKS, Bench, difference, programs

FLOOR = 0.9
SAME = 1e-4
"""The largest relative difference between the first losses, features or attacked pictures."""

STEPS = 4

QUICK = "two-block-cnn"
TASKS = [pytest.param(task, marks=() if task == QUICK else pytest.mark.slow, id=task) for task in WORKS]


@pytest.mark.parametrize("task", TASKS)
def test_every_form_of_a_yardstick_does_the_same_work(
    backend: type, mode: str, quick_compiler: None, task: str
) -> None:
    """A program loads every first weight, so it has the same parameters; its first result is the same."""
    bench = Bench(WORKS[task], backend("cpu", mode))
    batches, forms = bench.order(STEPS), programs(checkout() / FILES[backend.name], bench.work.program, bench.given())
    ours = bench.ours()(batches)
    for name, over in forms.items():
        assert difference(ours, over(batches.order)()) <= SAME, name


def test_results_of_other_work_are_different(backend: type, mode: str, quick_compiler: None) -> None:
    """Without this, the test above could not fail: another learning rate changes the losses by more."""
    work = WORKS[QUICK]
    bench, other = (Bench(each, backend("cpu", mode)) for each in (work, replace(work, optimizer=Adam(lr=2e-3))))
    batches = bench.order(STEPS)
    assert difference(bench.ours()(batches), other.ours()(batches)) > SAME


def test_a_backend_trains_about_as_fast_as_its_yardstick(backend: type, mode: str, quick_compiler: None) -> None:
    """Each form of the yardstick is a test of its own."""
    bench = Bench(WORKS[QUICK], backend("cpu", mode))
    batches, forms = bench.order(20), programs(checkout() / FILES[backend.name], bench.work.program, bench.given())
    ours = bench.ours()
    for name, over in forms.items():
        if (backend.name, name) not in KNOWN:
            what = f"{backend.name} {mode}, training, against {name!r}"
            assert not is_slower(over(batches.order), lambda: ours(batches), what, FLOOR)


KNOWN: dict[tuple[str, str], str] = {}
"""Forms that are faster than the backend, each with the reason."""


def test_a_yardstick_gets_each_layer_of_the_network_once(backend: type, mode: str) -> None:
    bench = Bench(WORKS["cifar-resnet"], backend("cpu", mode))
    tensors = [tensor for layer in bench.given().weights for tensor in layer.values()]
    counts = bench.model.counts()
    assert sum(map(np.size, tensors)) == counts.total + counts.buffers
