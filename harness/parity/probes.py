"""Probes of a certificate: weights and pictures that reveal differences, and the deviation, which measures them.

The deviation of a tensor a from a reference r is  max|a - r| / max(max|r|, s / 1000),  where s is the largest value of
its kind in the network. An elementwise relative error would mean nothing: the gradient of a bias before a batch norm is
zero, and rounding changes it by any factor.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.arrays.returned import is_real
from harness.backend import Precision
from harness.data import Examples
from harness.spec import Array, Model, class_count

LIMITS: Mapping[Precision, float] = {"float64": 1e-9, "float32": 1e-4, "tf32": 3e-2, "bfloat16": 3e-2}
"""The largest deviation from the reference that a backend may have, in each precision."""

GRADIENT_LR = 2.0**20
"""The learning rate for reading a gradient from a step of plain SGD. It is large, so that the change keeps its digits
beside the weights."""


def deviation(actual: Array, reference: Array, scale: float | None = None) -> float:
    """The deviation of `actual` from `reference`, as defined above. It is infinite if the shapes differ, or if `actual`
    holds anything but finite real numbers. (NumPy would read strings as numbers, and drop imaginary parts.)"""
    actual = np.asarray(actual)
    if not is_real(actual.dtype):
        return float("inf")
    actual, reference = actual.astype(np.float64), np.asarray(reference, np.float64)
    if actual.shape != reference.shape or not np.isfinite(actual).all():
        return float("inf")
    largest = np.abs(reference).max()
    floor = max(largest, (largest if scale is None else scale) / 1000)
    return float(np.abs(actual - reference).max() / floor) if floor else float(np.abs(actual).max())


def generic_weights(model: Model, seed: int = 0) -> dict[str, Array]:
    """Initial weights without neutral values such as 0 and 1, so that a missing or exchanged tensor is noticed.

    They are short binary fractions, so products and sums are exact in the first layers. There, equal values stay equal
    in every framework, for any order of a sum.
    """
    weights, random = model.init(seed), np.random.default_rng(seed)
    for name, parameter in model.parameters.items():
        if parameter.role in ("bias", "offset", "mean"):
            weights[name] = random.normal(0, 0.1, parameter.shape).astype(np.float32)
        elif parameter.role in ("scale", "variance"):
            weights[name] = random.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
    weights = {name: np.round(tensor * 256) / np.float32(256) for name, tensor in weights.items()}
    for name, parameter in model.parameters.items():
        if parameter.role != "kernel":  # rounding makes some values neutral again, such as an offset of 0
            neutral = parameter.role in ("scale", "variance")
            weights[name] += (weights[name] == neutral) / np.float32(256)
    return weights


def awkward_examples(model: Model, count: int, seed: int = 0) -> Examples:
    """Pictures that reveal differences: in turn, a uniform picture, in which all values of a pool are equal; blocks of
    two sizes, some of them black or white; and noise."""
    random = np.random.default_rng(seed)
    rows, columns, channels = model.input_shape
    levels = np.array([0, 0, 64, 160, 255], np.uint8)

    def blocks(size: int) -> Array:
        few = random.choice(levels, (-(-rows // size), -(-columns // size), channels))
        return few.repeat(size, 0).repeat(size, 1)[:rows, :columns]

    kinds = (
        lambda: np.full((rows, columns, channels), random.choice(levels)),
        lambda: blocks(3),
        lambda: blocks(-(-max(rows, columns) // 2)),
        lambda: random.integers(0, 256, (rows, columns, channels), np.uint8),
    )
    images = np.stack([kinds[number % len(kinds)]() for number in range(count)])
    labels = random.integers(0, class_count(model), count).astype(np.int32)
    return Examples(images, labels, pixel_max=256)  # pixels are short binary fractions too
