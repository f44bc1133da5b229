"""mnist: 70,000 handwritten digits, 28x28 grey pixels, by LeCun, Cortes and Burges, with the published split."""

from __future__ import annotations

from collections.abc import Mapping

from harness import Dataset, DatasetLoader, LoadRequest, hookimpl
from harness.datasets.idx import load_idx

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MD5 = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}


def mnist(request: LoadRequest) -> Dataset:
    request.refuse_argument("mnist")
    return load_idx("mnist", tuple("0123456789"), request.places, ("mnist", "MNIST/raw"), URL, MD5)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"mnist": mnist}
