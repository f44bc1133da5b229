"""The steps of each backend as benchmarks of pytest-benchmark: a training step, a forward pass, an attack.

    pytest tests/benchmarks/test_steps.py --backend jax --benchmark-save before
    pytest tests/benchmarks/test_steps.py --backend jax --benchmark-compare

A round of training is 20 steps in one call, because the first and the last step of a call take longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.worker.overhead import WORKS, Bench

ROUNDS = 3
SLOW = ("cifar-resnet", "two-block-cnn-256", "fine-tuning", "feature-extraction")
STEPS = {"adversarial": 1}
TASKS = [pytest.param(task, marks=pytest.mark.slow if task in SLOW else (), id=task) for task in WORKS]

Measure = Callable[[str, int, Callable[[], Any]], Any]


@pytest.fixture
def measured(quick_compiler: None, benchmark: Any, backend: type, mode: str) -> Measure:
    """Benchmarks a function after a call that compiles, and returns its last result."""

    def run(group: str, pictures: int, function: Callable[[], Any]) -> Any:
        benchmark.group = group
        benchmark.extra_info |= {"backend": backend.name, "mode": mode, "pictures": pictures}
        return benchmark.pedantic(function, rounds=ROUNDS, warmup_rounds=1)

    return run


@pytest.mark.parametrize("task", TASKS)
def test_the_work_of_a_task(measured: Measure, backend: type, mode: str, task: str) -> None:
    """Training, or features, or an attack: the work that `samebench bench-overhead` compares."""
    bench = Bench(WORKS[task], backend("cpu", mode))
    batches, run = bench.order(STEPS.get(task, 20)), bench.ours()
    assert np.isfinite(measured(task, len(batches.rows), lambda: run(batches))).all()


@pytest.mark.parametrize("batch_size", [1, 64])
def test_a_forward_pass(measured: Measure, backend: type, mode: str, batch_size: int) -> None:
    bench = Bench(WORKS["two-block-cnn"], backend("cpu", mode))
    net, batches = bench.backend.build(bench.model, bench.weights), bench.order(1)
    batches = type(batches)(batches.examples, batches.rows[:batch_size], batch_size)
    logits = measured(f"forward, batch {batch_size}", batch_size, lambda: bench.backend.forward(net, batches))
    assert logits.shape == (batch_size, 10)
