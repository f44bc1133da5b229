"""A fixed piece of work that shows whether the speed of the machine changes during a run."""

from __future__ import annotations

import time

import numpy as np

SIZE, TIMES = 50_000, 9


def machine_probe() -> float:
    """The seconds of a fixed piece of NumPy work on one core: the shortest of several times, about 4 ms each.

    It needs no framework and no threads. Every cell runs it before and after everything else. If the times of a run drift, the
    machine has become faster or slower, for instance because it is hot or has other work.
    """
    values = np.random.default_rng(0).random(SIZE)
    return min(_seconds(values) for _ in range(TIMES))


def _seconds(values: np.ndarray) -> float:
    start = time.perf_counter()
    np.sqrt(np.sort(values)).sum()
    return time.perf_counter() - start
