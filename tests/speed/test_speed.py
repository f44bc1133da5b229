"""What the contract costs: a backend trains at least 0.9 times as fast as a loop written by hand.

Both train the two-block-cnn on CIFAR-10 shapes, in turns, in one process; the median of the paired ratios counts.
"""

from __future__ import annotations

import statistics
import time

import handwritten
import numpy as np

from harness import Adam, Batches, Examples, Recipe
from harness.models.two_block_cnn import two_block_cnn

PAIRS, STEPS, BATCH, FLOOR = 7, 40, 64, 0.9


def test_a_backend_is_as_fast_as_a_loop_written_by_hand(backend: type) -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (1024, 32, 32, 3), np.uint8), random.integers(0, 10, 1024).astype(np.int32)
    batches = Batches.shuffled(Examples(images, labels), BATCH, 0, range(3))[:STEPS]
    model = two_block_cnn()
    runner = backend()
    trainer = runner.trainer(runner.build(model, model.init(0)), Recipe(Adam()))
    by_hand = getattr(handwritten, backend.name)(images, labels, batches.order)

    def seconds(work) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def ours() -> None:
        trainer.run(batches, np.full(STEPS, 1e-3))

    pairs = [(seconds(by_hand), seconds(ours)) for _ in range(PAIRS + 1)][1:]  # the first pair compiles
    ratios = sorted(hand / own for hand, own in pairs)
    print(
        f"{backend.name}: {statistics.median(ratios):.2f} of a hand-written loop's speed (pairs: {[round(r, 2) for r in ratios]})"
    )
    assert statistics.median(ratios) >= FLOOR
