"""Random changes of pictures during training: flips, rotations, shifts, brightness and contrast.

The change of a picture depends only on the seed, the epoch and the picture's index in its dataset. It does not depend
on the batch, the order, a thread or the framework, so every framework trains on the same bytes.

All geometric changes are combined into one affine map, and a picture is resampled once, bilinearly: resampling twice
would blur it twice. Pixels from outside the picture are its reflection: a network could learn from black corners.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event, Thread
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from PIL import Image

from harness.data import Examples
from harness.errors import DataError
from harness.options import Range, check_ranges
from harness.spec import Array

LARGEST = {"rotation": 180.0, "zoom": 0.9, "translation": 1.0, "crop": 0.9, "brightness": 1.0, "contrast": 1.0}
"""The maximum of each option. A zoom or a crop of 1 would leave an empty picture."""


STREAM = 1
"""Makes the random numbers of a picture independent of those of the epoch's order. NumPy ignores a 0 at the end."""


class Draws(NamedTuple):
    """One random number from 0 to 1 for each kind of change. All of them are drawn, in this order, for any options, so
    that switching one option on does not change the others. Add new fields at the end."""

    flip: float
    rotation: float
    zoom: float
    down: float
    across: float
    side: float
    top: float
    left: float
    brightness: float
    contrast: float


class Affine(NamedTuple):
    """Maps each point (column, row) of the new picture to a point of the old picture: linear @ point + offset. Points
    are distances from the upper left corner; the centre of the first pixel is at (0.5, 0.5)."""

    linear: Array
    offset: Array

    @property
    def moves(self) -> bool:
        """Whether the map moves any pixel."""
        return bool((self.linear != np.eye(2)).any() or self.offset.any())


@dataclass(frozen=True)
class Augmentation:
    """The largest random changes of a picture. All are off by default."""

    flip: bool = False
    """Mirror half of the pictures, left to right."""
    rotation: float = 0.0
    """The largest angle in degrees, to either side."""
    zoom: float = 0.0
    """The scale is from 1 - zoom to 1 + zoom."""
    translation: float = 0.0
    """The largest shift, as a share of the height and of the width, in each direction."""
    crop: float = 0.0
    """A random window replaces the picture. Its sides are from 1 - crop to 1 of the picture's sides."""
    brightness: float = 0.0
    """The largest value that is added or subtracted, as a share of the range of the pixels."""
    contrast: float = 0.0
    """Distances from the mean of the picture are multiplied by 1 - contrast to 1 + contrast."""

    def __post_init__(self) -> None:
        check_ranges(self, **{name: Range(0, largest) for name, largest in LARGEST.items()})

    def __bool__(self) -> bool:
        """Whether any change is on."""
        return self.flip or any(getattr(self, name) for name in LARGEST)

    def apply(self, picture: Array, pixel_max: int, draws: Draws) -> Array:
        """Change one picture of whole numbers by its random numbers; returns a new array."""
        affine = self.affine(draws, picture.shape[0], picture.shape[1])
        levels = resampled(picture, affine) if affine.moves else picture.astype(np.float32)
        if self.brightness or self.contrast:
            factor = 1 + self.contrast * _signed(draws.contrast)
            shift = self.brightness * _signed(draws.brightness) * pixel_max
            mean = float(levels.mean(dtype=np.float64))
            levels *= factor
            levels += mean * (1 - factor) + shift
        rounded: Array = np.rint(levels, out=levels).clip(0, pixel_max, out=levels).astype(picture.dtype)
        return rounded

    def affine(self, draws: Draws, rows: int, columns: int) -> Affine:
        """The picture is cropped, mirrored, rotated, zoomed and shifted. The map goes from the new picture to the old
        one, so it is the inverse of these steps in reverse order."""
        size = np.array([columns, rows], np.float64)
        angle = math.radians(self.rotation * _signed(draws.rotation))
        side = 1 - self.crop * draws.side
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        mirror = np.diag([-1.0 if self.flip and draws.flip < 0.5 else 1.0, 1.0])
        linear = mirror @ rotation * (side / (1 + self.zoom * _signed(draws.zoom)))
        shift = size * self.translation * [_signed(draws.across), _signed(draws.down)]
        window = size * (1 - side) / 2 * [_signed(draws.left), _signed(draws.top)]
        return Affine(linear, size / 2 + window - linear @ (size / 2 + shift))


def _signed(draw: float) -> float:
    """Scale a number from [0, 1] to [-1, 1]."""
    return 2 * draw - 1


def resampled(picture: Array, affine: Affine) -> Array:
    """The picture under an affine map, not rounded: Pillow rounds down, which would darken it."""
    rows, columns, channels = picture.shape
    corners = np.array([[0, columns, 0, columns], [0, 0, rows, rows]])
    sources = affine.linear @ corners + affine.offset[:, None]
    left, top = np.floor(sources.min(axis=1)).astype(int) - 1  # bilinear: a pixel needs its neighbours
    right, bottom = np.ceil(sources.max(axis=1)).astype(int) + 1
    part = picture.take(_reflected(top, bottom, rows), 0).take(_reflected(left, right, columns), 1)
    (a, b), (c, d) = affine.linear
    x, y = affine.offset - [left, top]
    result = np.empty(picture.shape, np.float32)
    for channel in range(channels):
        image = Image.fromarray(part[..., channel].astype(np.float32))
        moved = image.transform((columns, rows), Image.Transform.AFFINE, (a, b, x, c, d, y), Image.Resampling.BILINEAR)
        result[..., channel] = np.asarray(moved)
    return result


def _reflected(start: int, stop: int, size: int) -> Array:
    """The indices of rows (or columns) from `start` to `stop`, which is excluded, if edges mirror the picture."""
    indices: Array = np.arange(start, stop) % (2 * size)
    mirrored: Array = np.minimum(indices, 2 * size - 1 - indices)
    return mirrored


def augmented(
    examples: Examples, augmentation: Augmentation, seed: int, epoch: int, stop: Event | None = None
) -> Examples:
    """All examples with the changes of one epoch, in the same order. Setting `stop` ends the work with Stopped."""
    if not np.issubdtype(examples.images.dtype, np.integer):
        raise DataError(
            f"pictures of type {examples.images.dtype} cannot be augmented, because their range is unknown: store them "
            "as whole numbers, or train without augmentation",
            code="wrong-type",
        )
    images = np.empty(examples.images.shape, examples.images.dtype)
    for index, picture in enumerate(np.asarray(examples.images)):
        if stop and stop.is_set():
            raise Stopped
        draws = Draws(*np.random.default_rng([seed, epoch, index, STREAM]).random(len(Draws._fields)))
        images[index] = augmentation.apply(picture, examples.pixel_max, draws)
    return Examples(images, examples.labels, examples.pixel_max)


class Stopped(Exception):
    """The pictures are no longer needed."""


class Ahead:
    """The augmented examples of each epoch. A thread makes the next epoch while the caller trains on the current one, so
    at most two epochs are in memory if the caller keeps none. Use it in a `with` statement, which ends the thread."""

    def __init__(self, examples: Examples, augmentation: Augmentation, seed: int, epochs: int) -> None:
        self.examples, self.augmentation, self.seed, self.epochs = examples, augmentation, seed, epochs
        self.worked_s = 0.0
        """Seconds for which the thread has worked, mostly while the caller did something else."""
        self._given = 0
        self._made: Examples | BaseException = Stopped()
        self._stop = Event()
        self._thread = self._start()

    def __iter__(self) -> Iterator[Examples]:
        return self

    def __next__(self) -> Examples:
        if self._given == self.epochs or self._stop.is_set():
            raise StopIteration
        self._thread.join()
        made, self._made = self._made, Stopped()
        if not isinstance(made, Examples):
            self._stop.set()
            raise made
        self._given += 1
        if self._given < self.epochs:
            self._thread = self._start()
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, within the time of one picture, and free its examples."""
        self._stop.set()
        self._thread.join()
        self._made = Stopped()

    def _start(self) -> Thread:
        thread = Thread(target=self._make, args=(self._given,), name="augmentation", daemon=True)
        thread.start()
        return thread

    def _make(self, epoch: int) -> None:
        start = time.perf_counter()
        try:
            self._made = augmented(self.examples, self.augmentation, self.seed, epoch, self._stop)
        except BaseException as error:
            self._made = error  # raised when the caller asks for these pictures
        self.worked_s += time.perf_counter() - start
