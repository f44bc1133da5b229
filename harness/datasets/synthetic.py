"""synthetic: made-up pictures of any size that can be learned, for trying things out without any download.

Each class is a smooth random pattern. A picture is the pattern of its class, a smooth pattern of its own, twice as
strong, and noise: a network can learn the classes, but not without a mistake. Everything is computed in whole
numbers, so that the pixels are the same on every machine.
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
"""Goes up when the pixels change."""

CLASSES = 10
COUNTS = {"train": 2048, "test": 512}
GRID = 5
"""Rows and columns of the random numbers that a smooth pattern runs through."""

OWN, NOISE = 2, 32
"""The strength of a picture's own pattern, of which its class has 1, and of its noise."""


def synthetic(wanted: LoadRequest) -> Dataset:
    shape = _shape(wanted.argument) if wanted.argument else wanted.shape
    size = format_size(shape)
    classes = tuple(f"pattern {label}" for label in range(CLASSES))
    return cached_if_large(
        wanted.places, f"synthetic-{VERSION}-{size}", f"synthetic:{size}", classes, shape,
        lambda split: _pictures(split, shape), sum(COUNTS.values()),
    )  # fmt: skip


def _shape(text: str) -> Shape:
    if not re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}x[1-9]\d{0,3}", text, re.ASCII):
        raise UsageError(f"synthetic takes rows x columns x channels, such as synthetic:32x32x3, not {text!r}")
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
    """How much of each grid point is in each of `size` pixels, in 256ths: linear between two neighbours."""
    positions = np.arange(size) * (GRID - 1) * 256 // max(size - 1, 1)
    distance: Array = np.abs(positions[:, None] - 256 * np.arange(GRID))
    return (256 - distance).clip(0)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"synthetic": synthetic}
