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
    SamebenchError,
    UsageError,
    hookimpl,
    read_picture,
)


def picture(request: LoadRequest) -> Dataset:
    if not request.argument:
        raise UsageError("the dataset picture needs a path: write picture:PATH", code="missing-option")
    file = Path(os.path.expanduser(request.argument))
    if not file.is_file():
        raise DataError(f"there is no picture {file}: give the path of a file that exists", code="not-found")
    try:
        pixels = read_picture(file, request.shape)
    except SamebenchError:
        raise
    except Exception as error:  # Pillow raises many types of errors for a damaged file
        raise DataError(
            f"{file} cannot be read as a picture: {error}; give a JPEG or PNG file", code="unreadable-file"
        ) from None
    alone = Examples(pixels[None], np.zeros(1, np.int32))
    return Dataset(f"picture:{file.name}", ("picture",), alone, alone, is_one_picture=True)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"picture": picture}
