"""Examples, and the order in which a network sees them.

`Examples` are arrays that stay put, so that a backend can hold them on its device. `Batches` are those examples
in an order, which depends on the seed and the epoch alone, and so is the same for every framework.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.errors import DataError
from harness.spec import Array, Shape


@dataclass(frozen=True, eq=False)
class Examples:
    """Pictures (NHWC) and their labels. Whole-number pictures stand for `images / pixel_max`, which every backend
    computes by that division, in its own precision; floating-point pictures are taken as they are."""

    images: Array
    labels: Array
    pixel_max: int = 255
    divisor: int = field(init=False)
    """What pixels are divided by on their way into a network."""

    def __post_init__(self) -> None:
        whole = np.issubdtype(self.images.dtype, np.integer)
        object.__setattr__(self, "divisor", self.pixel_max if whole else 1)
        if self.images.ndim != 4 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"pictures are (n, rows, columns, channels) with n labels, not {self.images.shape} and {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, images: Array, dtype: np.typing.DTypeLike = np.float64) -> Array:
        """Some of these pictures as a network takes them in."""
        return np.divide(images, self.divisor, dtype=dtype)

    def take(self, rows: Array) -> Examples:
        """Some of these examples, as new arrays."""
        return Examples(self.images[rows], self.labels[rows], self.pixel_max)

    def limited(self, count: int | None) -> Examples:
        """A fixed choice of `count` examples with each class in its share; all of them, and no copy, if there are
        no more or no limit is set. The first rows would not do: many data sets are stored class by class."""
        if count is None or count >= len(self):
            return self
        return self.take(stratified(self.labels, count))


@dataclass(frozen=True)
class Dataset:
    """A data set with its fixed splits, which no seed of a run changes."""

    name: str
    classes: tuple[str, ...]
    train: Examples
    test: Examples
    notes: tuple[str, ...] = ()
    """What a reader of results should know, such as pictures that were left out."""

    kept_fingerprint: str | None = field(default=None, init=False, compare=False, repr=False)
    """The fingerprint, if it is stored beside the pictures. A data set that is made from this one by `replace` has none."""

    def __post_init__(self) -> None:
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise DataError(
                f"{self.name}: pictures for training are {self.train.images.shape[1:]}, "
                f"those of the test {self.test.images.shape[1:]}; they must have one shape"
            )
        for split, examples in (("train", self.train), ("test", self.test)):
            present = np.unique(examples.labels)
            if len(present) < 2:
                raise DataError(
                    f"{self.name}: the {split} split holds {len(examples)} examples of {len(present)} classes; it needs 2 or more"
                )
            if present[0] < 0 or present[-1] >= len(self.classes):
                raise DataError(
                    f"{self.name}: the {split} split has labels from {present[0]} to {present[-1]}, "
                    f"outside its {len(self.classes)} classes"
                )

    @property
    def shape(self) -> Shape:
        """The rows, columns and channels of every picture."""
        return self.train.images.shape[1:]

    def held_out(self, share: float) -> tuple[Examples, Examples]:
        """The training split without a fixed share of each class, and that share: settings are chosen on it, so that
        the test split stays unseen. No seed of a run changes which examples it holds."""
        mask = fixed_share(self.train.labels, share, self.classes, self.name)
        return self.train.take(~mask), self.train.take(mask)

    def for_training(self, validation: float, limit: int | None) -> tuple[Examples, Examples | None]:
        """What to train on and, if a share is to be held out, that share: both together at most `limit` examples."""
        limited = replace(self, train=self.train.limited(limit))
        return limited.held_out(validation) if validation else (limited.train, None)

    def with_notes(self, *notes: str) -> Dataset:
        """The same data set, with more notes."""
        noted = replace(self, notes=(*self.notes, *notes))
        object.__setattr__(noted, "kept_fingerprint", self.kept_fingerprint)
        return noted

    @property
    def fingerprint(self) -> str:
        """Changes whenever a pixel or a label does. It is computed anew each time, also to find out whether somebody has
        changed the arrays, unless it is stored beside pictures that nobody can change."""
        return self.kept_fingerprint or self.computed_fingerprint()

    def computed_fingerprint(self) -> str:
        """The fingerprint of the arrays as they are now: all of them are read."""
        digest = hashlib.sha256()
        for examples in (self.train, self.test):
            for array in (examples.images, examples.labels):
                digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def stratified(labels: Array, count: int) -> Array:
    """A mask of `count` rows with each class in its share: of every run of rows within a class, the last of each step.

    Rows are ranked by how far into their class they come; those that cross a multiple of the step are taken.
    """
    chosen = np.zeros(len(labels), bool)
    order = np.argsort(labels, kind="stable")  # class by class, in the order of the file
    chosen[order[np.floor(np.arange(1, count + 1) * len(labels) / count).astype(int) - 1]] = True
    return chosen


def fixed_share(labels: Array, share: float, classes: Sequence[str], name: str) -> Array:
    """A mask of a fixed share of the rows, of which no class may take all or none."""
    mask = stratified(labels, round(len(labels) * share))
    for label in np.unique(labels):
        left, taken = np.bincount(mask[labels == label], minlength=2)
        if not left or not taken:
            raise DataError(
                f"{name}: holding out {share:g} of {len(labels)} examples takes {taken} of the {left + taken} of class "
                f"{classes[label]!r}, and both parts need some: bring more of them, or hold out another share"
            )
    return mask


class Batches:
    """Examples in an order, cut into batches. Every batch is full but, in evaluation, perhaps the last."""

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
        """Each epoch in an order of its own; what does not fill a batch at an epoch's end is left out."""
        size = len(examples) // batch_size * batch_size
        if not size:
            raise DataError(
                f"{len(examples)} examples do not fill one batch of {batch_size}: take a smaller batch_size"
            )
        orders = [np.random.default_rng([seed, epoch]).permutation(len(examples))[:size] for epoch in epochs]
        return cls(examples, np.concatenate(orders), batch_size)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, steps: slice) -> Batches:
        """Some consecutive batches."""
        start, stop, stride = steps.indices(len(self))
        if stride != 1:
            raise DataError(f"batches can be cut into runs, not into every {stride}th")
        return Batches(self.examples, self.rows[start * self.batch_size : stop * self.batch_size], self.batch_size)

    @property
    def order(self) -> Array:
        """The rows of each batch, (batches, batch_size). A short last batch repeats its last row, so that every
        batch has one shape; `len(rows)` tells how many results are real."""
        missing = len(self) * self.batch_size - len(self.rows)
        return np.pad(self.rows, (0, missing), mode="edge").reshape(len(self), self.batch_size)

    @property
    def fingerprint(self) -> str:
        """Changes whenever the order does."""
        return hashlib.sha256(self.order.tobytes()).hexdigest()[:16]

    def __iter__(self) -> Iterator[Array]:
        """The rows of each batch, the last one perhaps short."""
        for start in range(0, len(self.rows), self.batch_size):
            yield self.rows[start : start + self.batch_size]
