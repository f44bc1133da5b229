"""Rules about time: when a call returns, its work is done; and nobody waits while nothing works."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from harness.conformance.kit import Kit, network, rule
from harness.data import Batches
from harness.parity.probes import awkward_examples, generic_weights
from harness.recipe import SGD, Recipe
from harness.spec import Conv, MaxPool, relu
from harness.timing.clock import Clock
from harness.timing.load import Usage, stalled

NETWORK = network(Conv(16, 3, padding=1), relu, MaxPool(2), Conv(16, 3, padding=1), relu)

LENGTH = 0.25
"""The shortest measured training in seconds."""

SEGMENTS, ATTEMPTS = 8, 3
"""The number of segments, and the number of attempts. Other work of the machine may disturb some of them."""

PENDING = 0.05
"""The largest share of a training that may still be pending when it returns."""

IDLE = 0.25
"""The largest share of a training on a CPU in which no thread may work."""


class Training:
    """A short training of a small network, which can be repeated."""

    def __init__(self, kit: Kit) -> None:
        self.backend = kit.backend("float32" if "float32" in kit.type.precisions else "float64")
        self.net = self.backend.build(NETWORK, generic_weights(NETWORK))
        self.trainer = self.backend.trainer(self.net, Recipe(SGD(lr=1e-4)))
        self.examples, self.steps = awkward_examples(NETWORK, 64), 4
        self.finish()  # it compiles
        while _seconds(self.finish) < LENGTH:
            self.steps *= 2

    def run(self) -> None:
        rows = np.resize(np.arange(len(self.examples)), 32 * self.steps)
        self.trainer.run(Batches(self.examples, rows, 32), np.full(self.steps, 1e-4))

    def finish(self) -> None:
        """Run, and wait for work that is still pending."""
        self.run()
        self.backend.weights(self.net)

    def timed(self) -> Usage:
        clock = Clock()
        with clock.phase("train"):
            self.run()
        return clock.usage["train"][0]


@rule
def check_nothing_pending(kit: Kit) -> None:
    """No work is pending when `run` returns: reading the weights directly afterwards takes no longer than later."""
    training = Training(kit)
    shares = [_pending_share(training) for _ in range(ATTEMPTS)]
    kit.demand(
        min(shares) <= PENDING,
        f"after run() had returned, reading the weights waited for {min(shares):.0%} of the time of run(): wait for the device "
        "before you return (block_until_ready, synchronize)",
    )


def _pending_share(training: Training) -> float:
    took = _seconds(training.run)
    directly, later = (_seconds(lambda: training.backend.weights(training.net)) for _ in range(2))
    return max(directly - later, 0.0) / took


@rule
def check_no_stalls(kit: Kit) -> None:
    """Segments of the same work take the same time, and somebody works all the time."""
    training = Training(kit)
    problem: str | None = None
    for _ in range(ATTEMPTS):
        segments = [training.timed() for _ in range(SEGMENTS)]
        if (problem := _stall(segments, on_cpu=training.backend.device == "cpu")) is None:
            return
    kit.fail(f"{problem}, in {ATTEMPTS} attempts: look for sleeps, timers, and threads that wait for each other")


def _stall(segments: list[Usage], *, on_cpu: bool) -> str | None:
    """What is wrong with segments of the same work; None if nothing is."""
    delayed = [segment.delayed_s or 0.0 for segment in segments]
    found = stalled([segment.seconds for segment in segments], [segment.own_s for segment in segments], delayed)
    if found:
        times = ", ".join(f"{segment.seconds:.2f}" for segment in segments)
        return (
            f"{len(found)} of {len(segments)} segments stalled: they took longer, with no more work (seconds: {times})"
        )
    idle = min(segment.idle_share for segment in segments)
    if on_cpu and idle > IDLE:
        return f"no thread worked for {idle:.0%} of the time"
    return None


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
