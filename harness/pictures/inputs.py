"""Loading a dataset for a network: the request to a loader, and pictures in the shape that the network takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from harness.data import Dataset, Examples
from harness.errors import SpecError, UsageError
from harness.options import AT_LEAST_1, change, check_ranges
from harness.pictures.files import MODES, RESIZE_VERSION, resize_pictures
from harness.pictures.filters import check_steps, stepped, steps_key
from harness.spec import Array, Model, Shape
from harness.storage.datasets import LabelledPictures, cached_if_large
from harness.storage.places import Places
from harness.task import ModelBuilder
from harness.text import format_size

PREFIX = "data."


@dataclass(frozen=True)
class DataOptions:
    """Options for every dataset."""

    size: int | None = None
    """Rows and columns of the resized pictures; None depends on the dataset and the network."""
    broken: Literal["refuse", "skip"] = "refuse"
    """Whether pictures that cannot be read are an error (refuse) or are left out, with a note (skip)."""

    steps: tuple[str, ...] = ()
    """Filters for all pictures, in this order, such as grey or canny:100-200; see harness/pictures/filters.py."""

    pipeline: Literal["harness", "own"] = "harness"
    """The source of training batches: pictures in memory, the same for all frameworks (harness); or each framework's own input
    pipeline, which reads the files in every epoch (own)."""

    def __post_init__(self) -> None:
        check_steps(self.steps)
        if self.pipeline == "own" and self.steps:
            raise UsageError(
                "data.steps are filters of samebench, and the own pipelines of frameworks do not have them: leave out data.steps, "
                "or --pipeline own",
                code="conflicting-options",
            )
        check_ranges(self, size=AT_LEAST_1)
        if self.broken not in ("refuse", "skip"):
            raise UsageError(f"data.broken must be 'refuse' or 'skip', not {self.broken!r}", code="unknown-name")


@dataclass(frozen=True)
class LoadRequest:
    """The arguments of a loader."""

    places: Places
    argument: str = ""
    """The text after the colon of the dataset's name: the PATH of folder:PATH."""
    shape: Shape = (32, 32, 3)
    """The shape for pictures of various sizes. Datasets whose pictures all have the same size ignore it: samebench
    resizes them afterwards if the network needs another size."""
    broken: Literal["refuse", "skip"] = "refuse"
    """Whether pictures that cannot be read are an error or are left out."""

    def refuse_argument(self, name: str) -> None:
        """Raise UsageError if there is an argument: for datasets that take none."""
        if self.argument:
            raise UsageError(
                f"the dataset {name} takes no argument, not {self.argument!r}: write {name} without a colon",
                code="wrong-form",
            )


DatasetLoader = Callable[[LoadRequest], Dataset]
"""A function that loads a dataset, as a plugin returns it."""


@dataclass(frozen=True)
class NetworkInput:
    """The input of a network."""

    build: ModelBuilder
    published: Shape
    trained: bool = False
    """Whether the network was trained on pictures of the published shape. It then gets only this shape, unless the user
    sets a size."""

    @classmethod
    def untrained(cls, build: ModelBuilder) -> NetworkInput:
        """The input of a network without trained weights."""
        return cls(build, cast(Callable[[], Model], build)().input_shape)  # every builder has defaults


class Loaders(Protocol):
    """Loaders by name; an unknown name raises UsageError."""

    def __getitem__(self, name: str, /) -> DatasetLoader: ...


def split_name(name: str) -> tuple[str, str]:
    """Split "NAME:ARGUMENT" into the name of a dataset and its argument."""
    loader, _, argument = name.partition(":")
    return loader, argument


def split_options(options: Mapping[str, Any]) -> tuple[DataOptions, dict[str, Any]]:
    """Split the options of a cell into those of the data and the others."""
    own = {path.removeprefix(PREFIX): value for path, value in options.items() if path.startswith(PREFIX)}
    others = {path: value for path, value in options.items() if not path.startswith(PREFIX)}
    return change(DataOptions(), own, PREFIX), others


def load(name: str, loaders: Loaders, network: NetworkInput, options: DataOptions, places: Places) -> Dataset:
    """Load a dataset, with pictures in the shape that the network takes."""
    loader, argument = split_name(name)
    size, published = options.size, network.published
    shape = (size, size, published[-1]) if size else published
    dataset = loaders[loader](LoadRequest(places, argument, shape, options.broken))
    shape = shape if network.trained else _shape_for(dataset, network.build, size, shape)
    return _filtered(options.steps, _resized(shape, dataset, places), places)


def _shape_for(dataset: Dataset, build: ModelBuilder, size: int | None, otherwise: Shape) -> Shape:
    """The size of the dataset or of the options, with channels that the network takes; `otherwise` if it takes none."""
    area = (size, size) if size else dataset.shape[:2]
    for channels in (dataset.shape[-1], *MODES):
        try:
            build((*area, channels), len(dataset.classes))
        except SpecError:
            continue
        return (*area, channels)
    return otherwise


def _resized(shape: Shape, dataset: Dataset, places: Places) -> Dataset:
    if shape == dataset.shape:
        return dataset
    own, size = format_size(dataset.shape), format_size(shape)
    key, note = f"brought-{dataset.fingerprint}-{size}-{RESIZE_VERSION}", f"pictures were resized from {own} to {size}"
    return _remade(dataset, shape, lambda part: resize_pictures(part.images, part.pixel_max, shape), key, note, places)


def _filtered(steps: tuple[str, ...], dataset: Dataset, places: Places) -> Dataset:
    if not steps:
        return dataset
    key = f"stepped-{dataset.fingerprint}-{dataset.train.pixel_max}-{dataset.test.pixel_max}-{steps_key(steps)}"
    note = f"pictures were filtered by {', '.join(steps)}"
    return _remade(dataset, dataset.shape, lambda part: stepped(steps, part.images, part.pixel_max), key, note, places)


def _remade(
    dataset: Dataset, shape: Shape, make: Callable[[Examples], Iterator[Array]], key: str, note: str, places: Places
) -> Dataset:
    """The dataset with changed pictures and a note about them. Large datasets are cached under `key`."""
    parts = {"train": dataset.train, "test": dataset.test}

    def splits(split: str) -> LabelledPictures:
        return zip(make(parts[split]), parts[split].labels.tolist(), strict=True)

    count = len(dataset.train) + len(dataset.test)
    changed = cached_if_large(places, key, dataset.name, dataset.classes, shape, splits, count)
    return changed.with_files(dataset.train.files, dataset.test.files).with_notes(*dataset.notes, note)
