"""How a data set and a network meet: what a loader is asked for, and pictures brought to what the network takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from harness.data import Dataset, Examples
from harness.errors import SpecError, UsageError
from harness.options import change
from harness.pictures.files import MODES, RESIZE_VERSION, brought_to
from harness.pictures.filters import check_steps, stepped, steps_key
from harness.ranges import AT_LEAST_1, check_ranges
from harness.spec import Array, Model, Shape
from harness.storage.datasets import LabelledPictures, cached_if_large
from harness.storage.places import Places
from harness.task import ModelBuilder
from harness.text import format_size

PREFIX = "data."


@dataclass(frozen=True)
class DataOptions:
    """Options that hold for every data set."""

    size: int | None = None
    """Rows and columns to bring the pictures to; None leaves the choice to the data set and the network."""
    broken: Literal["refuse", "skip"] = "refuse"
    """Whether pictures that cannot be read are an error, or left out and said to be."""

    steps: tuple[str, ...] = ()
    """What all pictures go through, in this order, such as grey or canny:100-200; see harness/pictures/filters.py."""

    def __post_init__(self) -> None:
        check_steps(self.steps)
        check_ranges(self, size=AT_LEAST_1)
        if self.broken not in ("refuse", "skip"):
            raise UsageError(f"data.broken must be 'refuse' or 'skip', not {self.broken!r}")


@dataclass(frozen=True)
class LoadRequest:
    """What a loader is asked for."""

    places: Places
    argument: str = ""
    """What follows the colon of the data set's name: the PATH of folder:PATH."""
    shape: Shape = (32, 32, 3)
    """What pictures of various sizes are brought to. Data sets whose pictures all have one size ignore it: they are
    brought to the network's size afterwards, if they have to be."""
    broken: Literal["refuse", "skip"] = "refuse"
    """What to do with pictures that cannot be read."""

    def refuse_argument(self, name: str) -> None:
        """To be called by a data set that takes no argument."""
        if self.argument:
            raise UsageError(f"{name} takes nothing after a colon, not {self.argument!r}: say {name}")


DatasetLoader = Callable[[LoadRequest], Dataset]
"""A function that loads a dataset, as a plugin returns it."""


@dataclass(frozen=True)
class NetworkInput:
    """A network, as far as its input goes."""

    build: ModelBuilder
    published: Shape
    trained: bool = False
    """Whether it has learned from pictures of the published shape: it is then given no others, unless a size is asked
    for."""

    @classmethod
    def untrained(cls, build: ModelBuilder) -> NetworkInput:
        """One that has weights yet to learn."""
        return cls(build, cast(Callable[[], Model], build)().input_shape)  # every builder has defaults


class Loaders(Protocol):
    """Loaders by name; asking for a name that is not there raises an error that says so."""

    def __getitem__(self, name: str, /) -> DatasetLoader: ...


def split_name(name: str) -> tuple[str, str]:
    """The name of a data set and its argument."""
    loader, _, argument = name.partition(":")
    return loader, argument


def split_options(options: Mapping[str, Any]) -> tuple[DataOptions, dict[str, Any]]:
    """The options of the data among those of a cell, and the others."""
    own = {path.removeprefix(PREFIX): value for path, value in options.items() if path.startswith(PREFIX)}
    others = {path: value for path, value in options.items() if not path.startswith(PREFIX)}
    return change(DataOptions(), own, PREFIX), others


def load(name: str, loaders: Loaders, network: NetworkInput, options: DataOptions, places: Places) -> Dataset:
    """A data set, its pictures as the network takes them."""
    loader, argument = split_name(name)
    size, published = options.size, network.published
    shape = (size, size, published[-1]) if size else published
    dataset = loaders[loader](LoadRequest(places, argument, shape, options.broken))
    shape = shape if network.trained else _shape_for(dataset, network.build, size, shape)
    return _through(options.steps, _brought_to(shape, dataset, places), places)


def _shape_for(dataset: Dataset, build: ModelBuilder, size: int | None, otherwise: Shape) -> Shape:
    """The data set's own shape or the size asked for, in its own colours or others, if the network takes that."""
    area = (size, size) if size else dataset.shape[:2]
    for channels in (dataset.shape[-1], *MODES):
        try:
            build((*area, channels), len(dataset.classes))
        except SpecError:
            continue
        return (*area, channels)
    return otherwise


def _brought_to(shape: Shape, dataset: Dataset, places: Places) -> Dataset:
    if shape == dataset.shape:
        return dataset
    own, size = (format_size(one) for one in (dataset.shape, shape))
    key, note = f"brought-{dataset.fingerprint}-{size}-{RESIZE_VERSION}", f"pictures were brought from {own} to {size}"
    return _remade(dataset, shape, lambda part: brought_to(part.images, part.pixel_max, shape), key, note, places)


def _through(steps: tuple[str, ...], dataset: Dataset, places: Places) -> Dataset:
    if not steps:
        return dataset
    key = f"stepped-{dataset.fingerprint}-{dataset.train.pixel_max}-{dataset.test.pixel_max}-{steps_key(steps)}"
    note = f"pictures went through {', '.join(steps)}"
    return _remade(dataset, dataset.shape, lambda part: stepped(steps, part.images, part.pixel_max), key, note, places)


def _remade(
    dataset: Dataset, shape: Shape, make: Callable[[Examples], Iterator[Array]], key: str, note: str, places: Places
) -> Dataset:
    """The data set with other pictures in the place of its own, kept under `key` if they are many, and told of."""
    parts = {"train": dataset.train, "test": dataset.test}

    def splits(split: str) -> LabelledPictures:
        return zip(make(parts[split]), parts[split].labels.tolist(), strict=True)

    count = len(dataset.train) + len(dataset.test)
    found = cached_if_large(places, key, dataset.name, dataset.classes, shape, splits, count)
    return found.with_notes(*dataset.notes, note)
