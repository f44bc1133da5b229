"""folder:PATH: your own pictures, with one sub-folder for each class, in PATH or in PATH/train and PATH/test."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness import DataError, Dataset, DatasetLoader, LoadRequest, UsageError, hookimpl
from harness.datasets.photos import decoded, in_folder


def folder(request: LoadRequest) -> Dataset:
    """The pictures in PATH. It is relative to the current folder, or else to the data folder."""
    if not request.argument:
        raise UsageError("the dataset folder needs a path: write folder:PATH", code="missing-option")
    here = Path(os.path.expanduser(request.argument))
    root = here if here.is_dir() else request.places.find(request.argument)
    if root is None or not root.is_dir():
        raise DataError(
            f"folder: there is no folder {here.absolute()}; give the path of a folder with a sub-folder for each class",
            code="not-found",
        )
    return decoded(in_folder(f"folder:{request.argument}", root), request)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"folder": folder}
