"""The speed limit of this machine for a backend: the best rate of arithmetic that its framework reaches here.

It is measured in the process of a cell, with the framework, the precision and the threads of the cell, by two simple networks: a
chain of matrix products, and a chain of 3x3 convolutions.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from harness.backend import Backend
from harness.data import Batches, Examples
from harness.spec import Conv, Dense, Flatten, GlobalAvgPool, Layer, Model
from harness.timing.clock import Rate
from harness.timing.load import Usage, load_problem
from harness.timing.record import as_record

SHORTEST = 0.05
"""The shortest measured forward pass in seconds. Shorter passes are repeated."""

TIMES = 3
"""The number of measurements. The best one counts."""

MOST_BATCHES = 4096

IMPOSSIBLE = 3.0
"""Speeds above the peak by more than this factor are impossible. Fast algorithms for convolutions (Winograd) save multiplications,
but at most by this factor."""


def peak_flops(backend: Backend[Any]) -> float:
    """Floating-point operations per second: the best of both networks."""
    size, batch = (1, 16) if backend.device == "cpu" else (8, 64)  # a GPU needs more work at once
    wide = [Dense(1024 * size), Dense(1024 * size)]
    product = _network("matrix-product", (1, 1, 1024 * size), [Flatten(), *wide])
    kernels = [Conv(64 * min(size, 4), 3, padding=1)] * 3
    convolution = _network("convolution", (16, 16, 64), [*kernels, GlobalAvgPool()])
    return max(_rate(backend, product, 16 * batch), _rate(backend, convolution, batch))


def above_peak(speed: float, peak: float, while_measured: Usage) -> str | None:
    """The reason why a speed in operations per second is impossible; None if it is possible, or if other processes disturbed
    the measurement of the peak."""
    if speed <= IMPOSSIBLE * peak or load_problem(as_record([Rate(1.0, while_measured)])):
        return None
    return (
        f"its speed is impossible: {speed / 1e9:,.0f} Gflop/s, more than {IMPOSSIBLE:.0f} times the {peak / 1e9:,.0f} Gflop/s that "
        "matrix products and convolutions reach here; a step has probably returned before its work was done"
    )


def _network(name: str, shape: tuple[int, int, int], trunk: list[Layer]) -> Model:
    return Model(name, shape, tuple(trunk), (Dense(2),))


def _rate(backend: Backend[Any], model: Model, batch: int) -> float:
    """Operations per second of forward passes of this network."""
    net = backend.build(model, model.init(0))
    images = np.random.default_rng(0).integers(0, 256, (batch, *model.input_shape), np.uint8)
    examples, count = Examples(images, np.zeros(batch, np.int32)), 1

    def seconds(count: int) -> float:
        batches = Batches(examples, np.tile(np.arange(batch), count), batch)
        start = time.perf_counter()
        backend.forward(net, batches)
        return time.perf_counter() - start

    seconds(count)  # it compiles
    while seconds(count) < SHORTEST and count < MOST_BATCHES:
        count *= 2
    fastest = min(seconds(count) for _ in range(TIMES))
    return count * batch * model.flops / fastest
