"""Batches of pictures for PyTorch: gathered on the device, or read from files by a `DataLoader`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from harness import Array, Batches, Examples, FileExamples, Pipeline, cores


class Uploaded(NamedTuple):
    """Examples on the device."""

    images: Tensor
    labels: Tensor

    @classmethod
    def of(cls, examples: Examples, device: torch.device | str) -> Uploaded:
        images = torch.from_numpy(np.array(examples.images)).to(device)  # a copy: files may be mapped
        return cls(images, torch.from_numpy(examples.labels.astype(np.int64)).to(device))

    def batches(self, order: Array) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.from_numpy(order).to(self.images.device):
            yield self.images.index_select(0, rows), self.labels[rows]


class PictureFiles(Dataset):
    """Each picture is read when it is needed. Each worker process has random numbers of its own."""

    def __init__(self, examples: FileExamples) -> None:
        self.examples = examples

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        seed = int(torch.randint(2**63 - 1, (), device="cpu"))
        picture = self.examples.read(row, np.random.default_rng(seed))
        return torch.from_numpy(picture), int(self.examples.labels[row])


class Order(Sampler):
    """The rows of each batch."""

    rows: Array

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.rows.tolist())

    def __len__(self) -> int:
        return len(self.rows)


class LoaderPipeline:
    """A `DataLoader` with a worker process for each core. The processes are started once."""

    def __init__(self, examples: FileExamples, device: torch.device | str) -> None:
        self.about = f"DataLoader, {cores()} processes; Pillow; random changes as in samebench"
        self.order = Order()
        self.loader = DataLoader(
            PictureFiles(examples), batch_sampler=self.order, num_workers=cores(), persistent_workers=True,
            pin_memory=str(device).startswith("cuda"), generator=torch.Generator("cpu").manual_seed(examples.seed),
        )  # fmt: skip

    def batches(self, order: Array) -> Iterator[tuple[Tensor, Tensor]]:
        self.order.rows = order
        return iter(self.loader)


def on_device(
    source: Pipeline, batches: Batches, device: torch.device | str, dtype: torch.dtype
) -> Iterator[tuple[Tensor, Tensor]]:
    """The pixels and the labels of each batch, on the device."""
    for images, labels in source.batches(batches.order):
        pixels = images.to(device, dtype, non_blocking=True)  # new memory, so that the division may be in place
        yield pixels.div_(batches.examples.divisor), labels.to(device, non_blocking=True)
