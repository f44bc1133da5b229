"""Training pictures that the framework's own input pipeline reads from their files, decodes and changes.

This is each framework's own way, as with `--semantics native`, so there are no certificates. The order of the pictures is that of
the harness, and random changes have the same limits as in `harness.pictures.augmentation`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from harness.data import Examples
from harness.errors import UsageError
from harness.pictures.augmentation import Augmentation, Draws
from harness.pictures.files import read_picture
from harness.spec import Array


@dataclass(frozen=True, eq=False)
class FileExamples(Examples):
    """Examples with their files, and the random changes of a picture each time it is read."""

    are_read_from_files: ClassVar[bool] = True

    files: Array = field(kw_only=True)
    augmentation: Augmentation = Augmentation()
    seed: int = 0

    @classmethod
    def of(cls, examples: Examples, augmentation: Augmentation, seed: int) -> Self:
        if examples.files is None:
            raise UsageError(
                "--pipeline own reads picture files, and this dataset has none: use folder:PATH or another dataset of photos, or "
                "leave the option out",
                code="conflicting-options",
            )
        return cls(
            examples.images, examples.labels, examples.pixel_max,
            files=examples.files, augmentation=augmentation, seed=seed,
        )  # fmt: skip

    def read(self, row: int, random: np.random.Generator) -> Array:
        """The picture of a row, read from its file by Pillow and changed at random: for pipelines that call Python."""
        picture = read_picture(Path(self.files[row]), self.images.shape[1:])
        if not self.augmentation:
            return picture.copy()
        return self.augmentation.apply(picture, self.pixel_max, Draws(*random.random(len(Draws._fields))))


class Pipeline(Protocol):
    """A source of batches."""

    about: str
    """What reads, decodes and changes the pictures, with its numbers of threads or processes, for the record."""

    def batches(self, order: Array) -> Iterable[Any]:
        """A batch for each row of `order`, whose numbers are rows of the examples."""
