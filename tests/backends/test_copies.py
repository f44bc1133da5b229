"""Copies between host and device, and waits for the device, in each step of a training: a budget for each backend.

On a CPU a copy costs little. On a GPU every copy in a step takes as long as a small kernel, and a wait stops the loop from running
ahead. So the numbers are counted here, where they cost nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from harness import Adam, Batches, Examples, Recipe
from harness.models.two_block_cnn import two_block_cnn

MODEL = two_block_cnn((8, 8, 1))
FEW, MANY = 16, 48

TORCH_CALLS = ("as_tensor", "tensor", "from_numpy")
TORCH_METHODS = ("item", "cpu", "numpy", "tolist", "__float__", "__int__", "__bool__")

BACKENDS = ("pytorch", "keras-on-torch")


def training(backend: type) -> Any:
    """A function that trains for a number of steps. Everything has been compiled."""
    runner = backend("cpu")
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (64, *MODEL.input_shape), np.uint8)
    examples = Examples(images, random.integers(0, 10, 64).astype(np.int32))
    trainer = runner.trainer(runner.build(MODEL, MODEL.init(0)), Recipe(Adam()))

    def run(steps: int) -> None:
        rows = np.resize(np.arange(64), 16 * steps)
        trainer.run(Batches(examples, rows, 16), np.full(steps, 1e-3))

    run(FEW), run(MANY)
    return run


def test_pytorch_copies_nothing_in_a_step(backend: type, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if backend.name not in BACKENDS:
        pytest.skip("its copies are counted in another way")
    if mode != "default":
        pytest.skip("compiled code is not counted")
    import torch

    run, counted = training(backend), Counter[str]()

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counting(*args: Any, **options: Any) -> Any:
            counted[name] += 1
            return original(*args, **options)

        monkeypatch.setattr(owner, name, counting)

    for name in TORCH_CALLS:
        count(torch, name)
    for name in TORCH_METHODS:
        count(torch.Tensor, name)

    def calls(steps: int) -> Counter[str]:
        counted.clear()
        run(steps)
        return Counter(counted)

    few, many = calls(FEW), calls(MANY)
    a_step = {name: (many[name] - few[name]) / (MANY - FEW) for name in many}
    print(f"{backend.name}: calls in a step: { {name: number for name, number in a_step.items() if number} }")
    assert sum(few.values()), "nothing was counted"
    assert not sum(a_step.values()), a_step


def test_jax_copies_nothing_in_a_step(backend: type) -> None:
    """JAX raises if a step copies a number or an array from the host, or reads one."""
    if backend.name != "jax":
        pytest.skip("only JAX guards its copies")
    import jax

    run = training(backend)
    with jax.transfer_guard("disallow"):
        run(FEW)
        run(MANY)
    with pytest.raises(Exception, match="transfer"), jax.transfer_guard("disallow"):
        jax.jit(lambda x: x + 1)(np.ones(3))


def test_tensorflow_waits_once_for_many_steps(backend: type, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each execution of `fit`, Keras reads the loss. An execution has several steps."""
    if backend.name != "keras" or mode != "default":
        pytest.skip("only for Keras on TensorFlow")
    import tensorflow as tf

    run, waits = training(backend), []
    eager = type(tf.constant(0.0))
    original = eager.numpy
    monkeypatch.setattr(eager, "numpy", lambda self: (waits.append(1), original(self))[1])

    def counted(steps: int) -> int:
        waits.clear()
        run(steps)
        return len(waits)

    few, many = counted(FEW), counted(MANY)
    a_step = (many - few) / (MANY - FEW)
    print(f"keras: {a_step:.2f} waits in a step, {few} in {FEW} steps")
    assert few and a_step <= 2 / backend.steps_per_execution
