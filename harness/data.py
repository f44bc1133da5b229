"""Examples, and the order in which a network gets them.

`Examples` are arrays that never change, so a backend can keep them on its device. `Batches` are examples in an order.
The order depends only on the seed and the epoch, so it is the same for every framework.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from harness.errors import DataError
from harness.spec import Array, Shape


@dataclass(frozen=True, eq=False)
class Examples:
    """Pictures (NHWC) and their labels. Each backend divides whole-number pictures by `pixel_max`, in its own precision.
    Floating-point pictures are used as they are."""

    images: Array
    labels: Array
    pixel_max: int = 255
    files: Array | None = None
    """The paths of the files that hold the pictures; None if the pictures are not in files of their own."""

    are_read_from_files: ClassVar[bool] = False
    """Whether backends read the pictures from their files: see `harness.pictures.own_pipeline`."""

    divisor: int = field(init=False)
    """Pixels are divided by this before they enter a network."""

    def __post_init__(self) -> None:
        whole = np.issubdtype(self.images.dtype, np.integer)
        object.__setattr__(self, "divisor", self.pixel_max if whole else 1)
        if self.images.ndim != 4 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                "pictures must have the shape (n, rows, columns, channels), and labels the shape (n,), "
                f"not {self.images.shape} and {self.labels.shape}",
                code="wrong-shape",
            )

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, images: Array, dtype: np.typing.DTypeLike = np.float64) -> Array:
        """Some of these pictures, divided as a network takes them."""
        return np.divide(images, self.divisor, dtype=dtype)

    def wrong_scale(self) -> str | None:
        """What is wrong if these pixels cannot mean what their type says, with what to do. The first pictures are examined."""
        first = self.images[:64]
        if not first.size or not np.isfinite(most := float(first.max())):
            return None
        if self.divisor > 1 and most == 1:
            return f"pixels of 0 and 1, which are divided by {self.divisor}: give them as floating-point numbers, or set pixel_max to 1"
        if self.divisor == 1 and most > 1 and first.dtype.kind == "f" and not np.any(first % 1):
            return (
                f"whole pixels up to {most:.0f} as {first.dtype}, and floating-point pixels are not divided: give them as uint8, or "
                "divide them by their largest value"
            )
        return None

    def take(self, rows: Array) -> Examples:
        """Some of these examples, as new arrays."""
        files = None if self.files is None else self.files[rows]
        return Examples(self.images[rows], self.labels[rows], self.pixel_max, files)

    def limited(self, count: int | None) -> Examples:
        """A fixed, stratified choice of `count` examples; all of them, without a copy, if `count` is None or too large.
        The first rows would not do: many datasets are stored class by class."""
        if count is None or count >= len(self):
            return self
        return self.take(stratified(self.labels, count))


@dataclass(frozen=True)
class Dataset:
    """A dataset with fixed splits. No seed of a run changes them."""

    name: str
    classes: tuple[str, ...]
    train: Examples
    test: Examples
    notes: tuple[str, ...] = ()
    """Notes for readers of results, such as the number of pictures that were left out."""

    is_one_picture: bool = False
    """Whether it is a single picture, for tasks that do not train. Other datasets need two classes."""

    kept_fingerprint: str | None = field(default=None, init=False, compare=False, repr=False)
    """The fingerprint, if it is stored beside the pictures. A dataset that is made from this one by `replace` has none."""

    def __post_init__(self) -> None:
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise DataError(
                f"{self.name}: all pictures must have the same shape, but those of the train split are "
                f"{self.train.images.shape[1:]}, and those of the test split {self.test.images.shape[1:]}",
                code="wrong-shape",
            )
        if self.train.divisor != self.test.divisor:
            raise DataError(
                f"{self.name}: the pixels of both splits must have the same range, but those of the train split "
                f"({self.train.images.dtype}) are divided by {self.train.divisor}, and those of the test split "
                f"({self.test.images.dtype}) by {self.test.divisor}",
                code="wrong-type",
            )
        for split, examples in (("train", self.train), ("test", self.test)):
            if scale_problem := examples.wrong_scale():
                raise DataError(f"{self.name}: the {split} split has {scale_problem}", code="wrong-type")
            present = np.unique(examples.labels)
            if len(present) < 2 and not self.is_one_picture:
                raise DataError(
                    f"{self.name}: the {split} split has {len(examples)} examples of {len(present)} classes; it needs 2 or more classes",
                    code="wrong-classes",
                )
            if present[0] < 0 or present[-1] >= len(self.classes):
                raise DataError(
                    f"{self.name}: the {split} split has labels from {present[0]} to {present[-1]}, "
                    f"and they must be numbers from 0 to {len(self.classes) - 1}, one for each class",
                    code="wrong-classes",
                )

    @property
    def shape(self) -> Shape:
        """The rows, columns and channels of every picture."""
        return self.train.images.shape[1:]

    def held_out(self, share: float) -> tuple[Examples, Examples]:
        """Divide the training split into training examples and a fixed share of each class for validation. Choose options
        by the validation share, so that the test split stays unseen. It does not depend on the seed of a run."""
        mask = fixed_share(self.train.labels, share, self.classes, self.name)
        return self.train.take(~mask), self.train.take(mask)

    def for_training(self, validation: float, limit: int | None) -> tuple[Examples, Examples | None]:
        """The examples to train on, and those for validation (None for a share of 0): at most `limit` in all."""
        limited = replace(self, train=self.train.limited(limit))
        return limited.held_out(validation) if validation else (limited.train, None)

    def with_notes(self, *notes: str) -> Dataset:
        """The same dataset, with more notes."""
        return self._with(notes=(*self.notes, *notes))

    def with_files(self, train: Array | None, test: Array | None) -> Dataset:
        """The same dataset, with the paths of the files that hold its pictures."""
        return self._with(train=replace(self.train, files=train), test=replace(self.test, files=test))

    def _with(self, **changes: Any) -> Dataset:
        """The same pictures, with other information about them."""
        changed = replace(self, **changes)
        object.__setattr__(changed, "kept_fingerprint", self.kept_fingerprint)
        return changed

    @property
    def fingerprint(self) -> str:
        """A hash of all pixels and labels. Cached datasets store it, because reading all pixels takes time."""
        return self.kept_fingerprint or self.computed_fingerprint()

    def computed_fingerprint(self) -> str:
        """The fingerprint of the arrays as they are now; it reads all of them."""
        digest = hashlib.sha256()
        for examples in (self.train, self.test):
            for array in (examples.images, examples.labels):
                digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def stratified(labels: Array, count: int) -> Array:
    """A mask of `count` rows, in which each class keeps its share.

    The rows are sorted by class, each class in the order of the file, and `count` rows are taken at even distances.
    """
    chosen = np.zeros(len(labels), bool)
    order = np.argsort(labels, kind="stable")  # class by class, in the order of the file
    chosen[order[np.floor(np.arange(1, count + 1) * len(labels) / count).astype(int) - 1]] = True
    return chosen


def fixed_share(labels: Array, share: float, classes: Sequence[str], name: str) -> Array:
    """A mask of a fixed share of the rows. Raises DataError if it would contain all rows or no row of a class."""
    mask = stratified(labels, round(len(labels) * share))
    for label in np.unique(labels):
        left, taken = np.bincount(mask[labels == label], minlength=2)
        if not left or not taken:
            raise DataError(
                f"{name}: holding out {share:g} of {len(labels)} examples takes {taken} of the {left + taken} examples of "
                f"class {classes[label]!r}, but both parts need some: add pictures of it, or hold out another share",
                code="too-few-examples",
            )
    return mask


class Batches:
    """Examples in an order, divided into batches. All batches are full; in evaluation the last one may be shorter."""

    def __init__(self, examples: Examples, rows: Array, batch_size: int) -> None:
        self.examples = examples
        self.rows = np.asarray(rows, np.int32)
        self.batch_size = batch_size

    @classmethod
    def in_order(cls, examples: Examples, batch_size: int) -> Batches:
        """Every example once, as stored."""
        return cls(examples, np.arange(len(examples)), batch_size)

    @classmethod
    def shuffled(cls, examples: Examples, batch_size: int, seed: int, epochs: Sequence[int]) -> Batches:
        """Each epoch in its own order. Examples that do not fill a batch at the end of an epoch are left out."""
        size = len(examples) // batch_size * batch_size
        if not size:
            raise DataError(
                f"{len(examples)} examples do not fill one batch of {batch_size}: use a smaller batch_size",
                code="too-few-examples",
            )
        orders = [np.random.default_rng([seed, epoch]).permutation(len(examples))[:size] for epoch in epochs]
        return cls(examples, np.concatenate(orders), batch_size)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, steps: slice) -> Batches:
        """Some consecutive batches."""
        start, stop, stride = steps.indices(len(self))
        if stride != 1:
            raise DataError(
                f"a slice of batches must be consecutive: its step must be 1, not {stride}", code="out-of-range"
            )
        return Batches(self.examples, self.rows[start * self.batch_size : stop * self.batch_size], self.batch_size)

    @property
    def order(self) -> Array:
        """The rows of each batch, with the shape (batches, batch_size). A shorter last batch repeats its last row, so that
        all batches have the same shape; only the first `len(rows)` results count."""
        missing = len(self) * self.batch_size - len(self.rows)
        return np.pad(self.rows, (0, missing), mode="edge").reshape(len(self), self.batch_size)

    @property
    def fingerprint(self) -> str:
        """A hash of the order."""
        return hashlib.sha256(self.order.tobytes()).hexdigest()[:16]

    def __iter__(self) -> Iterator[Array]:
        """The rows of each batch. The last batch may be shorter."""
        for start in range(0, len(self.rows), self.batch_size):
            yield self.rows[start : start + self.batch_size]
