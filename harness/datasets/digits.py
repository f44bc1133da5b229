"""digits: the 1,797 handwritten digits that come with scikit-learn, 8x8 pixels with values from 0 to 16.

The split is fixed and stratified: a fifth of each class, 360 pictures in all, is the test set, whatever the seed of
a run. The table is read from scikit-learn's own files, without importing it: in a cell there is one framework only.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from harness.data import Dataset, Examples
from harness.errors import DataError
from harness.markers import hookimpl

TABLE = Path("datasets", "data", "digits.csv.gz")
TEST = 360


def digits() -> Dataset:
    package = importlib.util.find_spec("sklearn")
    places = [Path(folder) / TABLE for folder in (package.submodule_search_locations or [])] if package else []
    table = next((place for place in places if place.exists()), None)
    if table is None:
        raise DataError(f"digits: scikit-learn's file {TABLE} is not there; install it with: pip install scikit-learn")
    with gzip.open(table, "rt") as lines:
        values = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    examples = Examples(values[:, :-1].reshape(-1, 8, 8, 1), values[:, -1].astype(np.int32), pixel_max=16)
    test = stratified(examples.labels, TEST)
    return Dataset("digits", tuple("0123456789"), examples.take(~test), examples.take(test))


def stratified(labels: np.ndarray, count: int) -> np.ndarray:
    """A mask of `count` rows with each class in its share: of every run of rows within a class, the last of each step.

    Rows are ranked by how far into their class they come; those that cross a multiple of the step are taken.
    """
    chosen = np.zeros(len(labels), bool)
    order = np.argsort(labels, kind="stable")  # class by class, in the order of the file
    chosen[order[np.floor(np.arange(1, count + 1) * len(labels) / count).astype(int) - 1]] = True
    return chosen


@hookimpl
def samebench_datasets() -> Mapping[str, Callable[[], Dataset]]:
    return {"digits": digits}
