"""What the contract costs: a backend trains at least 0.9 times as fast as a loop written by hand, and extracts features
at least 0.95 times as fast as its framework's best own loop.

Both work in turns, in one process; the median of the paired ratios counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import handwritten
import numpy as np
import own_loops

from harness import Adam, Batches, Examples, Recipe
from harness.models.efficientnet_lite0 import efficientnet_lite0
from harness.models.two_block_cnn import two_block_cnn

PAIRS, STEPS, BATCH, FLOOR = 7, 40, 64, 0.9
PICTURES, OWN = 256, 0.95


def test_a_backend_is_as_fast_as_a_loop_written_by_hand(backend: type) -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (1024, 32, 32, 3), np.uint8), random.integers(0, 10, 1024).astype(np.int32)
    batches = Batches.shuffled(Examples(images, labels), BATCH, 0, range(3))[:STEPS]
    model = two_block_cnn()
    runner = backend()
    trainer = runner.trainer(runner.build(model, model.init(0)), Recipe(Adam()))
    by_hand = getattr(handwritten, backend.name)(images, labels, batches.order)

    def ours() -> None:
        trainer.run(batches, np.full(STEPS, 1e-3))

    assert ratio(by_hand, ours, f"{backend.name}, training") >= FLOOR


def test_features_come_as_fast_as_from_the_frameworks_own_loop(backend: type) -> None:
    """EfficientNet-Lite0, whose trunk the transfer tasks are about; on pictures of a quarter of its own size, for time."""
    model, runner = efficientnet_lite0((112, 112, 3)), backend()
    images = np.random.default_rng(0).integers(0, 256, (PICTURES, *model.input_shape), np.uint8)
    batches = Batches.in_order(Examples(images, np.zeros(PICTURES, np.int32)), 32)
    net = runner.build(model, model.init(0))
    own = getattr(own_loops, backend.name)(net, images.astype(np.float32) / 255, 32)
    assert np.allclose(runner.forward(net, batches, upto="features"), own(), rtol=1e-3, atol=1e-4)

    def ours() -> None:
        runner.forward(net, batches, upto="features")

    assert ratio(own, ours, f"{backend.name}, features") >= OWN


def ratio(theirs: Callable[[], object], ours: Callable[[], object], what: str) -> float:
    """Our speed in shares of theirs: the median of pairs."""

    def seconds(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    pairs = [(seconds(theirs), seconds(ours)) for _ in range(PAIRS + 1)][1:]  # the first pair compiles
    ratios = sorted(their / our for their, our in pairs)
    print(f"{what}: {statistics.median(ratios):.2f} of the speed without us (pairs: {[round(r, 2) for r in ratios]})")
    return statistics.median(ratios)
