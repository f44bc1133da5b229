"""resnet50: He, Zhang, Ren, Sun 2015, in the two forms that were published with weights.

`resnet50` is that of Keras: its convolutions have biases, and the first 1x1 convolution of a stage halves the picture, as
in the paper. `resnet50-v1.5` is that of torchvision: it has no biases, and the first 3x3 convolution halves the picture.
The trunk ends in the 2,048 pooled features. The layers have the order of torchvision's file. Keras sorts them by depth:

| samebench                          | Keras               | torchvision           |
|------------------------------------|---------------------|-----------------------|
| trunk.conv1                        | conv1_conv          | conv1                 |
| trunk.batchnorm1                   | conv1_bn            | bn1                   |
| trunk.conv2_block1.body.conv3      | conv2_block1_3_conv | layer1.0.conv3        |
| trunk.conv2_block1.body.batchnorm3 | conv2_block1_3_bn   | layer1.0.bn3          |
| trunk.conv2_block1.shortcut.conv1  | conv2_block1_0_conv | layer1.0.downsample.0 |
| head.dense1                        | predictions         | fc                    |
"""

from collections.abc import Mapping
from typing import NamedTuple

from harness import (
    BatchNorm,
    Conv,
    Dense,
    GlobalAvgPool,
    Layer,
    MaxPool,
    Model,
    ModelBuilder,
    Normalize,
    Residual,
    Shape,
    hookimpl,
    relu,
)
from harness.models.pixels import CAFFE, TORCH
from harness.models.sizes import at_least

SIZE, LEAST = 224, 32
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))  # blocks, and channels inside a block


class Form(NamedTuple):
    """The differences between the two forms."""

    name: str
    pixels: Normalize
    norm: BatchNorm
    bias: bool
    halves_early: bool

    def conv(self, channels: int, kernel: int, stride: int = 1) -> tuple[Layer, ...]:
        return Conv(channels, kernel, stride, padding=kernel // 2, bias=self.bias), self.norm

    def block(self, name: str, channels: int, stride: int, first: bool) -> Residual:
        """A bottleneck block. The first block of a stage changes the shape, so its shortcut is a projection."""
        outer, inner = (stride, 1) if self.halves_early else (1, stride)
        body = (
            *self.conv(channels, 1, outer), relu,
            *self.conv(channels, 3, inner), relu,
            *self.conv(4 * channels, 1),
        )  # fmt: skip
        return Residual(body, shortcut=self.conv(4 * channels, 1, stride) if first else (), name=name)

    def model(self, input_shape: Shape, classes: int) -> Model:
        at_least(LEAST, input_shape, self.name, SIZE)
        trunk: list[Layer] = [self.pixels, *self.conv(64, 7, 2), relu, MaxPool(3, 2, padding=1)]
        for stage, (blocks, channels) in enumerate(STAGES, start=2):
            for block in range(1, blocks + 1):
                stride = 2 if block == 1 and stage > 2 else 1
                trunk += [self.block(f"conv{stage}_block{block}", channels, stride, first=block == 1), relu]
        return Model(self.name, input_shape, trunk=(*trunk, GlobalAvgPool()), head=(Dense(classes),))


KERAS = Form("resnet50", CAFFE, BatchNorm(momentum=0.99, epsilon=1.001e-5), bias=True, halves_early=True)
TORCHVISION = Form("resnet50-v1.5", TORCH, BatchNorm(), bias=False, halves_early=False)


def resnet50(input_shape: Shape = (SIZE, SIZE, 3), classes: int = 1000) -> Model:
    return KERAS.model(input_shape, classes)


def resnet50_v1_5(input_shape: Shape = (SIZE, SIZE, 3), classes: int = 1000) -> Model:
    return TORCHVISION.model(input_shape, classes)


@hookimpl
def samebench_models() -> Mapping[str, ModelBuilder]:
    return {"resnet50": resnet50, "resnet50-v1.5": resnet50_v1_5}
