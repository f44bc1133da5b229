"""synthetic: artificial pictures of any size, for experiments without a download.

Each class has a smooth random pattern. A picture is the sum of the pattern of its class, a smooth pattern of its own with
twice the strength, and noise: a network can learn the classes, but makes some mistakes. All computations use whole
numbers, so the pixels are the same on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from harness import (
    Array,
    Dataset,
    DatasetLoader,
    LabelledPictures,
    LoadRequest,
    Shape,
    UsageError,
    cached_if_large,
    format_size,
    hookimpl,
)

VERSION = 1
"""Increased when the pixels change."""

CLASSES = 10
COUNTS = {"train": 2048, "test": 512}
GRID = 5
"""Rows and columns of random numbers, from which a smooth pattern is interpolated."""

OWN, NOISE = 2, 32
"""The strength of a picture's own pattern, relative to that of its class, and the largest value of its noise."""


def synthetic(request: LoadRequest) -> Dataset:
    shape = _shape(request.argument) if request.argument else request.shape
    size = format_size(shape)
    classes = tuple(f"pattern {label}" for label in range(CLASSES))
    return cached_if_large(
        request.places, f"synthetic-{VERSION}-{size}", f"synthetic:{size}", classes, shape,
        lambda split: _pictures(split, shape), sum(COUNTS.values()),
    )  # fmt: skip


def _shape(text: str) -> Shape:
    if not re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}x[1-9]\d{0,3}", text, re.ASCII):
        raise UsageError(
            f"synthetic takes ROWSxCOLUMNSxCHANNELS, such as synthetic:32x32x3, not {text!r}", code="wrong-form"
        )
    return tuple(map(int, text.split("x")))


def _pictures(split: str, shape: Shape) -> LabelledPictures:
    rows, columns, channels = shape
    down, across = _weights(rows), _weights(columns)

    def smooth(random: np.random.Generator) -> Array:
        grid = random.integers(-256, 257, (channels, GRID, GRID))
        return np.moveaxis(down @ grid @ across.T // (256 * 256), 0, -1)

    patterns = [smooth(np.random.default_rng([VERSION, label])) for label in range(CLASSES)]
    random = np.random.default_rng([VERSION, CLASSES + list(COUNTS).index(split)])
    for number in range(COUNTS[split]):
        label = number % CLASSES
        noise = random.integers(-NOISE, NOISE + 1, shape)
        yield np.clip(128 + (patterns[label] + OWN * smooth(random)) // 4 + noise, 0, 255), label


def _weights(size: int) -> Array:
    """The weight of each grid point in each of `size` pixels, times 256: a linear interpolation."""
    positions = np.arange(size) * (GRID - 1) * 256 // max(size - 1, 1)
    distance: Array = np.abs(positions[:, None] - 256 * np.arange(GRID))
    return (256 - distance).clip(0)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"synthetic": synthetic}
