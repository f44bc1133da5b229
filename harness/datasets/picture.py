"""picture:PATH: one picture, for attacks on it. No task can train on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness import (
    DataError,
    Dataset,
    DatasetLoader,
    Examples,
    LoadRequest,
    UsageError,
    hookimpl,
    picture_errors,
    read_picture,
)


def picture(request: LoadRequest) -> Dataset:
    if not request.argument:
        raise UsageError("the dataset picture needs a path: write picture:PATH", code="missing-option")
    file = Path(os.path.expanduser(request.argument))
    if not file.is_file():
        raise DataError(f"there is no picture {file}: give the path of a file that exists", code="not-found")
    with picture_errors(file):
        pixels = read_picture(file, request.shape)
    alone = Examples(pixels[None], np.zeros(1, np.int32))
    return Dataset(f"picture:{file.name}", ("picture",), alone, alone, is_one_picture=True)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"picture": picture}
