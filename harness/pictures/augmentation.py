"""Pictures changed at random while a network is trained: turned, moved, mirrored, made lighter.

What becomes of a picture depends on the seed, the epoch and the picture's place in its data set, and on nothing else:
not on the batch it is in, on the order, on a thread or on a framework. So every framework trains on the same bytes.

Everything that moves pixels is one affine map, and a picture is resampled once, bilinearly: two resamplings would blur
it twice. What comes in from outside is the picture's reflection, as black corners would be something to learn.
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
"""What each option may be at most. A zoom or a crop of 1 would leave nothing to be seen."""


STREAM = 1
"""Keeps the draws of a picture apart from those of its epoch's order: NumPy takes a 0 at the end for nothing."""


class Draws(NamedTuple):
    """One number from 0 to 1 for everything that is left to chance. All are drawn, in this order, whatever the options:
    switching one on does not change what the others do. A new one goes to the end."""

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
    """From each place (column, row) of a new picture to the one in the old picture that is seen there: linear @ place +
    offset. Places are distances from the upper left corner; the middle of the first pixel is at (0.5, 0.5)."""

    linear: Array
    offset: Array

    @property
    def moves(self) -> bool:
        """Whether any pixel is somewhere else than before."""
        return bool((self.linear != np.eye(2)).any() or self.offset.any())


@dataclass(frozen=True)
class Augmentation:
    """How much a picture may be changed. All of it is off by default."""

    flip: bool = False
    """Left becomes right, for every other picture."""
    rotation: float = 0.0
    """Degrees, to either side."""
    zoom: float = 0.0
    """The scale is from 1 - zoom to 1 + zoom."""
    translation: float = 0.0
    """A share of the height and of the width, in each direction."""
    crop: float = 0.0
    """A window, somewhere in the picture, becomes all of it; its sides are from 1 - crop to 1 of the picture's."""
    brightness: float = 0.0
    """A share of the range of the pixels, added or taken away."""
    contrast: float = 0.0
    """Distances from the picture's own mean are multiplied by 1 - contrast to 1 + contrast."""

    def __post_init__(self) -> None:
        check_ranges(self, **{name: Range(0, largest) for name, largest in LARGEST.items()})

    def __bool__(self) -> bool:
        """Whether it does anything."""
        return self.flip or any(getattr(self, name) for name in LARGEST)

    def apply(self, picture: Array, pixel_max: int, draws: Draws) -> Array:
        """One picture of whole numbers, changed as its draws say; a new array."""
        affine = self._affine(draws, picture.shape[0], picture.shape[1])
        levels = resampled(picture, affine) if affine.moves else picture.astype(np.float32)
        if self.brightness or self.contrast:
            factor = 1 + self.contrast * _either_way(draws.contrast)
            shift = self.brightness * _either_way(draws.brightness) * pixel_max
            mean = float(levels.mean(dtype=np.float64))
            levels *= factor
            levels += mean * (1 - factor) + shift
        rounded: Array = np.rint(levels, out=levels).clip(0, pixel_max, out=levels).astype(picture.dtype)
        return rounded

    def _affine(self, draws: Draws, rows: int, columns: int) -> Affine:
        """Seen from the old picture: a window is cut out, mirrored, turned, zoomed and moved; undone here from the last
        to the first."""
        size = np.array([columns, rows], np.float64)
        angle = math.radians(self.rotation * _either_way(draws.rotation))
        side = 1 - self.crop * draws.side
        turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        mirrored = np.diag([-1.0 if self.flip and draws.flip < 0.5 else 1.0, 1.0])
        linear = mirrored @ turned * (side / (1 + self.zoom * _either_way(draws.zoom)))
        moved = size * self.translation * [_either_way(draws.across), _either_way(draws.down)]
        window = size * (1 - side) / 2 * [_either_way(draws.left), _either_way(draws.top)]
        return Affine(linear, size / 2 + window - linear @ (size / 2 + moved))


def _either_way(draw: float) -> float:
    """A number from 0 to 1 as one from -1 to 1."""
    return 2 * draw - 1


def resampled(picture: Array, affine: Affine) -> Array:
    """A picture as an affine map shows it, not yet rounded: Pillow's own rounding is downwards, and darkens."""
    rows, columns, channels = picture.shape
    corners = np.array([[0, columns, 0, columns], [0, 0, rows, rows]])
    seen = affine.linear @ corners + affine.offset[:, None]
    left, top = np.floor(seen.min(axis=1)).astype(int) - 1  # bilinear: a pixel needs its neighbours
    right, bottom = np.ceil(seen.max(axis=1)).astype(int) + 1
    part = picture.take(_reflected(top, bottom, rows), 0).take(_reflected(left, right, columns), 1)
    (a, b), (c, d) = affine.linear
    x, y = affine.offset - [left, top]
    found = np.empty(picture.shape, np.float32)
    for channel in range(channels):
        image = Image.fromarray(part[..., channel].astype(np.float32))
        moved = image.transform((columns, rows), Image.Transform.AFFINE, (a, b, x, c, d, y), Image.Resampling.BILINEAR)
        found[..., channel] = np.asarray(moved)
    return found


def _reflected(start: int, stop: int, size: int) -> Array:
    """The rows, or columns, that stand from `start` to before `stop` where a picture is mirrored at its edges."""
    places: Array = np.arange(start, stop) % (2 * size)
    mirrored: Array = np.minimum(places, 2 * size - 1 - places)
    return mirrored


def augmented(
    examples: Examples, augmentation: Augmentation, seed: int, epoch: int, stop: Event | None = None
) -> Examples:
    """All examples as they are in one epoch, row by row as before. Setting `stop` ends the work with Stopped."""
    if not np.issubdtype(examples.images.dtype, np.integer):
        raise DataError(
            f"pictures of type {examples.images.dtype} cannot be augmented, as nothing says what range they have: store "
            "them as whole numbers, or train without augmentation"
        )
    images = np.empty(examples.images.shape, examples.images.dtype)
    for index, picture in enumerate(np.asarray(examples.images)):
        if stop and stop.is_set():
            raise Stopped
        draws = Draws(*np.random.default_rng([seed, epoch, index, STREAM]).random(len(Draws._fields)))
        images[index] = augmentation.apply(picture, examples.pixel_max, draws)
    return Examples(images, examples.labels, examples.pixel_max)


class Stopped(Exception):
    """Nobody wants these pictures any more."""


class Ahead:
    """The examples of epoch after epoch. The next ones are made in a thread while the caller trains on these, so no more
    than two epochs are in memory if the caller lets each go. To be used in a `with`, which ends the thread."""

    def __init__(self, examples: Examples, augmentation: Augmentation, seed: int, epochs: int) -> None:
        self.examples, self.augmentation, self.seed, self.epochs = examples, augmentation, seed, epochs
        self.worked_s = 0.0
        """Seconds that the thread has worked, most of them while the caller did something else."""
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
        """End the thread, within the time of one picture, and let go of what it has made."""
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
            self._made = error  # to be raised where the caller asks for these pictures
        self.worked_s += time.perf_counter() - start
