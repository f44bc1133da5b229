"""Batches for engines without a data pipeline. NumPy gathers them on the host."""

from __future__ import annotations

import keras
import numpy as np

from harness import Array, Examples


class HostPictures:
    """Pictures and labels on the host."""

    def __init__(self, examples: Examples, dtype: str) -> None:
        self.images, self.labels = examples.images, examples.labels
        self.divisor = np.asarray(examples.divisor, dtype)

    def batch(self, rows: Array) -> tuple[Array, Array]:
        return self.images[rows].astype(self.divisor.dtype) / self.divisor, self.labels[rows]


class HostBatches(keras.utils.PyDataset):
    """A batch for each row of `order`."""

    def __init__(self, pictures: HostPictures, order: Array) -> None:
        super().__init__()
        self.pictures, self.order = pictures, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, step: int) -> tuple[Array, Array]:
        return self.pictures.batch(self.order[step])
