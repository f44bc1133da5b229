"""The array operations of each framework are those of NumPy."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from harness.arrays.operations import NUMPY, ArrayOperations

X = np.random.default_rng(0).normal(size=(4, 3, 2))
PLACES = np.array([[[1, 0]], [[0, 0]], [[2, 1]], [[1, 1]]])
CASES = {
    "sign": lambda ops, x, _: ops.sign(ops.where(x > 0, x, 0.0)),
    "sqrt": lambda ops, x, _: ops.sqrt(x * x),
    "exp": lambda ops, x, _: ops.exp(x),
    "log": lambda ops, x, _: ops.log(x * x),
    "tanh": lambda ops, x, _: ops.tanh(x),
    "where": lambda ops, x, _: ops.where(x > 0, x, 0.5),
    "clip": lambda ops, x, _: ops.clip(ops.clip(x, -0.5, 0.5), x - 0.1, x + 0.1),
    "sum": lambda ops, x, _: ops.sum(x, axis=(1, 2), keepdims=True) + ops.sum(x, axis=0),
    "mean": lambda ops, x, _: ops.mean(x, axis=(0, 1)),
    "max": lambda ops, x, _: ops.max(x, axis=1, keepdims=True) + ops.max(x, axis=(1, 2))[:, None, None],
    "ones_like": lambda ops, x, _: ops.ones_like(x[:1]),
    "pad": lambda ops, x, _: ops.pad(x, ((0, 0), (1, 2), (0, 3)), constant_values=-7.0),
    "concatenate": lambda ops, x, _: ops.concatenate([x, -x], axis=-1),
    "take_along_axis": lambda ops, x, places: ops.take_along_axis(x, places, axis=1),
}


def test_every_operation_has_a_case():
    assert CASES.keys() == {name for name in vars(ArrayOperations) if not name.startswith("_")}


@pytest.mark.parametrize("name", CASES)
def test_operation(name, backend):
    if backend.name == "pytorch":
        import torch

        from backends.pytorch.operations import TORCH as ops

        array, back = torch.tensor, np.asarray
    elif backend.name == "jax":
        ops = importlib.import_module("jax.numpy")
        array, back = ops.asarray, np.asarray
    else:
        ops = importlib.import_module("keras.ops")
        array, back = ops.convert_to_tensor, ops.convert_to_numpy
    backend(precision="float64")
    found, expected = back(CASES[name](ops, array(X), array(PLACES))), CASES[name](NUMPY, X, PLACES)
    assert found.shape == expected.shape and found.dtype == np.float64
    assert found == pytest.approx(expected, abs=1e-12)
