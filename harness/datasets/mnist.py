"""mnist: 70,000 handwritten digits, 28x28 grey pixels, by LeCun, Cortes and Burges, with the published split."""

from __future__ import annotations

from collections.abc import Mapping

from harness import Dataset, DatasetLoader, LoadRequest, hookimpl
from harness.datasets.idx import load_idx

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "train-images-idx3-ubyte": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
    "train-labels-idx1-ubyte": ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
    "t10k-images-idx3-ubyte": ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
    "t10k-labels-idx1-ubyte": ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
}


def mnist(request: LoadRequest) -> Dataset:
    request.refuse_argument("mnist")
    return load_idx("mnist", tuple("0123456789"), request.places, ("mnist", "MNIST/raw"), URL, FILES)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"mnist": mnist}
