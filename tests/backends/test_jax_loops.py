"""On a GPU, JAX runs many steps in a compiled loop. Here the loop runs on the CPU, where it is only slow."""

from __future__ import annotations

import numpy as np
import pytest

from harness import Adam, Batches, BatchNorm, Conv, Dense, Dropout, Examples, Flatten, Model, Recipe, relu

MODEL = Model("looped", (6, 6, 2), (Conv(4, 3), BatchNorm(), relu, Dropout(0.2), Flatten()), (Dense(3),))
STEPS = 150  # two whole chunks and a part of one


def trained(backend: type, loops: bool) -> tuple[np.ndarray, dict[str, np.ndarray], list[int]]:
    """The losses, the weights, and the number of steps in each call of the compiled loop."""
    runner = backend("cpu", precision="float64")
    runner.loops = loops
    random = np.random.default_rng(0)
    examples = Examples(random.integers(0, 256, (40, 6, 6, 2), np.uint8), random.integers(0, 3, 40).astype(np.int32))
    net = runner.build(MODEL, MODEL.init(0))
    trainer, calls = runner.trainer(net, Recipe(Adam())), []
    losses = [trainer.run(Batches(examples, np.arange(8), 8), np.full(1, 1e-3))]
    loop = trainer.whole_chunk
    trainer.whole_chunk = lambda *given: (calls.append(1), loop(*given))[1]
    rows = random.integers(0, 40, 8 * STEPS)
    losses.append(trainer.run(Batches(examples, rows, 8), np.linspace(1e-3, 1e-4, STEPS), record=True))
    return np.concatenate(losses), runner.weights(net), calls


def test_a_compiled_loop_trains_as_single_steps_do(backend: type) -> None:
    if backend.name != "jax":
        pytest.skip("only JAX has a compiled loop over steps")
    (losses, weights, calls), (one_by_one, expected, none) = trained(backend, True), trained(backend, False)
    assert len(calls) == 2 and not none
    np.testing.assert_allclose(losses, one_by_one, rtol=1e-10)
    assert len(losses) == 1 + STEPS
    for name, tensor in weights.items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-9, atol=1e-12)
