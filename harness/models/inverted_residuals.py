"""Inverted residual blocks of mobilenet-v2 and efficientnet-lite0: few channels between blocks, many inside a block."""

from collections.abc import Sequence
from typing import NamedTuple

from harness import BatchNorm, Conv, Layer, Residual, Shape, relu6
from harness.models.sizes import same


class Stage(NamedTuple):
    """A row of the tables in the papers. The stride is that of the first block; the others have a stride of 1."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int = 3


def inverted_residuals(input_shape: Shape, stages: Sequence[Stage], norm: BatchNorm) -> tuple[Layer, ...]:
    """All layers from the first to the last convolution, with TensorFlow's "same" padding."""
    first = same(Conv(32, 3, stride=2, bias=False), input_shape)
    layers: list[Layer] = [first, norm, relu6]
    shape = first.output_shape(input_shape)
    for stage in stages:
        for stride in (stage.stride, *(1,) * (stage.blocks - 1)):
            wide = stage.expansion * shape[-1]
            expand = (Conv(wide, 1, bias=False), norm, relu6) if stage.expansion > 1 else ()
            depthwise = same(Conv(wide, stage.kernel, stride, groups=wide, bias=False), shape)
            block = (*expand, depthwise, norm, relu6, Conv(stage.channels, 1, bias=False), norm)
            layers += [Residual(block)] if stride == 1 and stage.channels == shape[-1] else block
            shape = (*depthwise.window.output(shape), stage.channels)
    return *layers, Conv(1280, 1, bias=False), norm, relu6
