"""vgg16 and vgg19: Simonyan, Zisserman 2014, configurations D and E.

The trunk ends in the 4,096 features of the second fully connected layer, which are usual in transfer learning; the head
is the last layer. Dropout is that of the paper and of torchvision; Keras' networks have none. The layers have the order of
Keras' and torchvision's files (`block1_conv1` to `predictions`, `features.0` to `classifier.6`). torchvision's weights
need the preprocessing `TORCH`, and pictures flattened with channels first.
"""

from collections.abc import Mapping

from harness import Conv, Dense, Dropout, Flatten, Layer, MaxPool, Model, ModelBuilder, Shape, hookimpl, relu
from harness.models.pixels import CAFFE
from harness.models.sizes import exactly

SIZE = 224
CHANNELS = (64, 128, 256, 512, 512)


def vgg16(input_shape: Shape = (SIZE, SIZE, 3), classes: int = 1000) -> Model:
    return _vgg("vgg16", (2, 2, 3, 3, 3), input_shape, classes)


def vgg19(input_shape: Shape = (SIZE, SIZE, 3), classes: int = 1000) -> Model:
    return _vgg("vgg19", (2, 2, 4, 4, 4), input_shape, classes)


def _vgg(name: str, depths: tuple[int, ...], input_shape: Shape, classes: int) -> Model:
    exactly(SIZE, input_shape, name)
    trunk: list[Layer] = [CAFFE]
    for channels, depth in zip(CHANNELS, depths, strict=True):
        trunk += [Conv(channels, 3, padding=1), relu] * depth
        trunk += [MaxPool(2)]
    trunk += [Flatten(), Dense(4096), relu, Dropout(0.5), Dense(4096), relu]
    return Model(name, input_shape, tuple(trunk), head=(Dropout(0.5), Dense(classes)))


@hookimpl
def samebench_models() -> Mapping[str, ModelBuilder]:
    return {"vgg16": vgg16, "vgg19": vgg19}
