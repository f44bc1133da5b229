"""mobilenet-v1: Howard et al. 2017, as in Keras, with all of its channels (`mobilenet-v1`) or with 3/4 of them
(`mobilenet-v1-0.75`).

The trunk ends in the pooled features. The head is a dense layer; in Keras it is `conv_preds`, a 1x1 convolution on a
picture of one pixel. The layers have the order of Keras' files: conv1, conv_dw_1, conv_pw_1, conv_dw_2 and so on, each
followed by its batch norm.
"""

from collections.abc import Mapping
from functools import partial

from harness import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    GlobalAvgPool,
    Layer,
    Model,
    ModelBuilder,
    Shape,
    Sides,
    hookimpl,
    relu6,
)
from harness.models.pixels import TF
from harness.models.sizes import at_least, same

SIZE, LEAST = 224, 32
NORM = BatchNorm(momentum=0.99, epsilon=1e-3)
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
HALVING: Sides = ((0, 1), (0, 1))  # for any size of picture


def mobilenet_v1(input_shape: Shape = (SIZE, SIZE, 3), classes: int = 1000, alpha: float = 1.0) -> Model:
    """The network with the share `alpha` of the published channels."""
    name = "mobilenet-v1" if alpha == 1 else f"mobilenet-v1-{alpha}"
    at_least(LEAST, input_shape, name, SIZE)
    before = int(32 * alpha)
    trunk: list[Layer] = [TF, same(Conv(before, 3, stride=2, bias=False), input_shape), NORM, relu6]
    for channels, stride in BLOCKS:
        after = int(channels * alpha)
        trunk += [
            Conv(before, 3, stride, HALVING if stride == 2 else 1, groups=before, bias=False), NORM, relu6,
            Conv(after, 1, bias=False), NORM, relu6,
        ]  # fmt: skip
        before = after
    return Model(name, input_shape, trunk=(*trunk, GlobalAvgPool()), head=(Dropout(1e-3), Dense(classes)))


@hookimpl
def samebench_models() -> Mapping[str, ModelBuilder]:
    return {"mobilenet-v1": mobilenet_v1, "mobilenet-v1-0.75": partial(mobilenet_v1, alpha=0.75)}
