"""digits: the 1,797 handwritten digits of scikit-learn, 8x8 pixels with values from 0 to 16.

The split is fixed and stratified: the test split is a fifth of each class, 360 pictures in all, for every seed. The table
is read from scikit-learn's files, without importing it: a cell imports only one framework.

`digits:0-4` and `digits:5-9` contain only the digits of that range, for transfer from the first to the second.
"""

from __future__ import annotations

import gzip
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness import DataError, Dataset, DatasetLoader, Examples, LoadRequest, UsageError, hookimpl, stratified

TABLE = Path("datasets", "data", "digits.csv.gz")
TEST = 360


def digits(request: LoadRequest) -> Dataset:
    first, last = _range(request.argument) if request.argument else (0, 9)
    package = importlib.util.find_spec("sklearn")
    places = [Path(folder) / TABLE for folder in (package.submodule_search_locations or [])] if package else []
    table = next((place for place in places if place.exists()), None)
    if table is None:
        raise DataError(
            f"digits: scikit-learn's file {TABLE} is missing; install it with: pip install scikit-learn",
            code="not-installed",
        )
    with gzip.open(table, "rt") as lines:
        values = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    examples = Examples(values[:, :-1].reshape(-1, 8, 8, 1), values[:, -1].astype(np.int32), pixel_max=16)
    rows = stratified(examples.labels, TEST)
    train, test = (_between(examples.take(split), first, last) for split in (~rows, rows))
    name = f"digits:{request.argument}" if request.argument else "digits"
    return Dataset(name, tuple("0123456789"[first : last + 1]), train, test)


def _range(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[0-8]-[1-9]", text, re.ASCII) or text[0] >= text[2]:
        raise UsageError(
            f"digits takes a range of digits after its colon, such as digits:5-9, not {text!r}", code="wrong-form"
        )
    return int(text[0]), int(text[2])


def _between(examples: Examples, first: int, last: int) -> Examples:
    """The digits of a range. The first one is class 0."""
    chosen = examples.take((examples.labels >= first) & (examples.labels <= last))
    return Examples(chosen.images, chosen.labels - first, chosen.pixel_max)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"digits": digits}
