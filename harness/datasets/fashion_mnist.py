"""fashion-mnist: 70,000 pictures of clothes, 28x28 grey pixels, by Xiao, Rasul, Vollgraf 2017, with the published split."""

from __future__ import annotations

from collections.abc import Mapping

from harness import Dataset, DatasetLoader, LoadRequest, hookimpl
from harness.datasets.idx import load_idx

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FILES = {
    "train-images-idx3-ubyte": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
    "train-labels-idx1-ubyte": ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
    "t10k-images-idx3-ubyte": ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
    "t10k-labels-idx1-ubyte": ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
}
FOLDERS = ("fashion-mnist", "FashionMNIST/raw")
DEBIAN = "/usr/share/datasets/fashion-mnist"
"""The folder of Debian's package dataset-fashion-mnist."""


def fashion_mnist(request: LoadRequest) -> Dataset:
    request.refuse_argument("fashion-mnist")
    return load_idx("fashion-mnist", CLASSES, request.places, (*FOLDERS, DEBIAN), URL, FILES)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {"fashion-mnist": fashion_mnist}
