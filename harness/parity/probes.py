"""Inputs on which frameworks fall out, and how far they are apart.

A tensor's deviation is  max|a - r| / max(max|r|, s / 1000),  where s is the largest value of its kind in the
network. (Elementwise relative error means nothing: a bias before a batch norm has gradient zero, and rounding moves
that by any factor.)
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
"""A gradient is read from one step of plain SGD, at a rate so large that the weights' own digits do not swallow it."""


def deviation(actual: Array, reference: Array, scale: float | None = None) -> float:
    """The deviation of `actual` from `reference`, as defined above. It is infinite if the shapes differ, or if `actual`
    holds anything but finite real numbers: NumPy would read words as numbers, and drop imaginary parts."""
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
    """First weights in which nothing is at its neutral value, so that no tensor can be mistaken for another.

    They are short fractions, whose products and sums are exact through the first layers: equal values stay equal in
    every framework, whatever the order of its sums.
    """
    weights, random = model.init(seed), np.random.default_rng(seed)
    for name, parameter in model.parameters.items():
        if parameter.role in ("bias", "offset", "mean"):
            weights[name] = random.normal(0, 0.1, parameter.shape).astype(np.float32)
        elif parameter.role in ("scale", "variance"):
            weights[name] = random.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
    weights = {name: np.round(tensor * 256) / np.float32(256) for name, tensor in weights.items()}
    for name, parameter in model.parameters.items():
        if parameter.role != "kernel":  # rounding has brought some back: an offset of 0 puts the mean where relu bends
            neutral = parameter.role in ("scale", "variance")
            weights[name] += (weights[name] == neutral) / np.float32(256)
    return weights


def awkward_examples(model: Model, count: int, seed: int = 0) -> Examples:
    """Pictures that are hard to agree on: in turns all black or grey, where every pool ties; blocks, some of them
    black or saturated; and noise."""
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
    return Examples(images, labels, pixel_max=256)  # so that pixels are short fractions too
