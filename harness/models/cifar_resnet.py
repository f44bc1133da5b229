"""cifar-resnet: the ResNet-20 of He, Zhang, Ren, Sun 2015 for CIFAR-10, with 1x1 projections as shortcuts.

It has three stages of three residual blocks. The second and third stage halve the picture and double the channels. If a
block changes the shape, its shortcut is a 1x1 convolution with a batch norm (option B of the paper).
"""

from collections.abc import Mapping

from harness import BatchNorm, Conv, Dense, GlobalAvgPool, Layer, Model, ModelBuilder, Residual, Shape, hookimpl, relu

STAGES = (16, 32, 64)
BLOCKS = 3


def cifar_resnet(input_shape: Shape = (32, 32, 3), classes: int = 10) -> Model:
    trunk: list[Layer] = [Conv(STAGES[0], 3, padding=1, bias=False), BatchNorm(), relu]
    before = STAGES[0]
    for channels in STAGES:
        for _ in range(BLOCKS):
            trunk += [_block(before, channels), relu]
            before = channels
    return Model("cifar-resnet", input_shape, trunk=(*trunk, GlobalAvgPool()), head=(Dense(classes),))


def _block(before: int, channels: int) -> Residual:
    stride = channels // before
    body = (
        Conv(channels, 3, stride, padding=1, bias=False), BatchNorm(), relu,
        Conv(channels, 3, padding=1, bias=False), BatchNorm(),
    )  # fmt: skip
    return Residual(body, shortcut=(Conv(channels, 1, stride, bias=False), BatchNorm()) if stride > 1 else ())


@hookimpl
def samebench_models() -> Mapping[str, ModelBuilder]:
    return {"cifar-resnet": cifar_resnet}
