"""The speed of attacks, compared with foolbox.

A backend attacks about as fast as foolbox, and on JAX, where foolbox compiles nothing, at least twice as fast. Both
programs run in turn in the same process. A test fails if paired ratios prove that the speed is below the floor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from slower import is_slower

from harness import Attack, Model
from harness.models.efficientnet_lite0 import efficientnet_lite0
from harness.models.two_block_cnn import two_block_cnn

FOOLBOX, NOT_JITTED, ANY_MACHINE = 0.97, 2.0, 1.5
"""Floors of the speed of samebench's attacks, relative to foolbox.

FOOLBOX: foolbox gets the network as an experienced user gives it. NOT_JITTED: on JAX, foolbox gets a network without
`jax.jit`, and the machine does no other work. ANY_MACHINE: the same in CI. This ratio depends on the machine: it was
2.6 to 2.9 on a machine without other work, and 1.94 in CI. Without samebench's own jit, it was 0.95.
"""

SMALL = (two_block_cnn, (32, 32, 3), 64)
LARGE = (efficientnet_lite0, (112, 112, 3), 8)
"""A network, the size of its pictures, and the batch size of the attack."""


@pytest.mark.parametrize(
    ("build", "shape", "batch"),
    [pytest.param(*SMALL, id="small"), pytest.param(*LARGE, marks=pytest.mark.slow, id="large")],
)
def test_attacks_are_as_fast_as_those_of_foolbox(
    backend: type, mode: str, build: Callable, shape: tuple, batch: int
) -> None:
    if mode == "compiled" and build is efficientnet_lite0:
        pytest.skip("compilation takes minutes")
    floor = max(FOOLBOX, float(mode == "compiled"))
    assert not is_slower_than_foolbox(backend, mode, backend.name, build(shape), batch, floor)


@pytest.mark.parametrize(
    ("build", "shape", "batch", "floor"),
    [
        (*SMALL, ANY_MACHINE),
        pytest.param(*SMALL, NOT_JITTED, marks=pytest.mark.slow),
        pytest.param(*LARGE, NOT_JITTED, marks=pytest.mark.slow),
    ],
)
def test_attacks_are_faster_than_foolbox_where_foolbox_compiles_nothing(
    backend: type, build: Callable, shape: tuple, batch: int, floor: float
) -> None:
    if backend.name != "jax":
        pytest.skip("only for JAX, where foolbox compiles nothing")
    steps = 3 if build is efficientnet_lite0 else 10  # a step of the large network takes seconds
    assert not is_slower_than_foolbox(backend, "default", "jax, not jitted", build(shape), batch, floor, steps)


def is_slower_than_foolbox(
    backend: type, mode: str, given: str, model: Model, batch: int, floor: float, steps: int = 10
) -> bool:
    """Whether the backend's attack is too slow compared with foolbox. `given` names the form of the network for
    foolbox."""
    if backend.name not in ("pytorch", "keras", "jax"):
        pytest.skip("foolbox supports PyTorch, TensorFlow and JAX")
    import foolboxes

    runner, random = backend("cpu", mode), np.random.default_rng(0)
    images = random.uniform(size=(batch, *model.input_shape)).astype(np.float32)
    labels = random.integers(0, model.logits_shape[0], batch).astype(np.int32)
    net = runner.build(model, model.init(0))
    attack, theirs = Attack(steps=steps), foolboxes.perturb(given, net, mode)
    by_us = partial(runner.perturb, net, images, labels, attack, "softmax", images)
    by_them = partial(theirs, images, labels, attack)
    return is_slower(by_them, by_us, f"{given}, {mode}, attacks on {model.name}", floor)
