"""digits: the 1,797 handwritten digits that come with scikit-learn, 8x8 pixels with values from 0 to 16.

The split is fixed and stratified: a fifth of each class, 360 pictures in all, is the test set, whatever the seed of
a run. The table is read from scikit-learn's own files, without importing it: in a cell there is one framework only.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.data import Dataset, Examples, stratified
from harness.errors import DataError
from harness.inputs import DatasetLoader, Wanted
from harness.markers import hookimpl

TABLE = Path("datasets", "data", "digits.csv.gz")
TEST = 360


def digits(wanted: Wanted) -> Dataset:
    wanted.refuse_argument("digits")
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


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"digits": digits}
