"""folder:PATH: the reader's own pictures, in one sub-folder a class, or in train/ and test/ with one each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness import DataError, Dataset, DatasetLoader, LoadRequest, UsageError, hookimpl
from harness.datasets.photos import decoded, in_folder


def folder(wanted: LoadRequest) -> Dataset:
    """Pictures below PATH, which is looked for from here and then in the data folder."""
    if not wanted.argument:
        raise UsageError("folder needs to know which one: say folder:PATH")
    here = Path(wanted.argument).expanduser()
    root = here if here.is_dir() else wanted.places.find(wanted.argument)
    if root is None or not root.is_dir():
        raise DataError(
            f"folder: there is no folder {here.absolute()}; give the path of one that has a sub-folder a class"
        )
    return decoded(in_folder(f"folder:{wanted.argument}", root), wanted)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"folder": folder}
