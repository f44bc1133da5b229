"""Batches of pictures that Grain, the input pipeline of JAX's authors, reads from files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from harness import Array, FileExamples, Unavailable, cores

AHEAD = 2
"""The number of batches that each thread prepares ahead."""


class GrainPipeline:
    """Threads read whole batches. Python waits for Pillow outside its lock, so threads suffice."""

    def __init__(self, examples: FileExamples) -> None:
        try:
            import grain
        except ImportError as error:
            raise Unavailable(
                f"the own pipeline of JAX is Grain, which cannot be imported ({error}): pip install grain",
                code="not-installed",
            ) from None
        self.grain, self.examples, self.calls = grain, examples, 0
        self.about = f"Grain {grain.__version__}, {cores()} threads; Pillow; random changes as in samebench"
        self.options = grain.ReadOptions(num_threads=cores(), prefetch_buffer_size=AHEAD * cores())

    def batches(self, order: Array) -> Iterable[tuple[Array, Array]]:
        """Pictures as they are stored, and their labels."""
        self.calls += 1  # other random changes in each epoch
        source = self.grain.MapDataset.source(order.ravel()).seed(hash((self.examples.seed, self.calls)) % 2**32)
        batches = source.random_map(self._read).batch(order.shape[1])
        found: Iterable[tuple[Array, Array]] = batches.to_iter_dataset(self.options)
        return found

    def _read(self, row: Any, random: np.random.Generator) -> tuple[Array, Any]:
        return self.examples.read(row, random), self.examples.labels[row]
