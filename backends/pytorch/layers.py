"""Each layer of the specification as PyTorch modules: standard modules wherever they compute the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Node,
    Normalize,
    Unsupported,
)

ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "swish": nn.SiLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


class Scaled(nn.Module):
    """(x - mean) / std for each channel."""

    def __init__(self, layer: Normalize) -> None:
        super().__init__()
        for name in ("mean", "std"):
            values = torch.tensor(getattr(layer, name), dtype=torch.float64)
            self.register_buffer(name, values[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class AveragePool(nn.Module):
    """The mean of each window, without the padded zeros. The padding of the sides may differ."""

    def __init__(self, layer: AvgPool) -> None:
        super().__init__()
        self.window = layer.window

    def forward(self, x: Tensor) -> Tensor:
        border = sides(self.window.padding)
        counted = F.pad(torch.ones_like(x[:1, :1]), border)
        total, share = (F.avg_pool2d(t, self.window.kernel, self.window.stride) for t in (F.pad(x, border), counted))
        return total / share


class InBfloat16(nn.Module):
    """A convolution or dense layer that multiplies in bfloat16. Its weights and its output are float32."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.inner(x).float()


def sides(padding: tuple[tuple[int, int], tuple[int, int]]) -> tuple[int, int, int, int]:
    """The padding as an argument of `F.pad`: the last axis comes first."""
    (top, bottom), (left, right) = padding
    return left, right, top, bottom


def lower(node: Node) -> tuple[nn.Module, ...]:
    """The modules of a node. The last module holds its tensors."""
    layer, channels = node.layer, node.input_shape[-1]
    match layer:
        case Normalize():
            return (Scaled(layer),)
        case Conv():
            window = layer.window
            inside = tuple(before for before, _ in window.padding) if window.symmetric else 0
            border = () if window.symmetric else (nn.ZeroPad2d(sides(window.padding)),)
            return (*border, nn.Conv2d(channels, layer.channels, window.kernel, window.stride, inside,
                                       groups=layer.groups, bias=layer.bias))  # fmt: skip
        case Dense():
            return (nn.Linear(channels, layer.units, bias=layer.bias),)
        case BatchNorm():
            norm = (nn.BatchNorm2d if len(node.shape) == 3 else nn.BatchNorm1d)(
                channels, layer.epsilon, 1 - layer.momentum, affine=layer.scale or layer.centre
            )
            if (
                norm.affine
            ):  # PyTorch has both tensors or neither; a tensor that the layer lacks keeps its neutral value
                norm.weight.requires_grad_(layer.scale)
                norm.bias.requires_grad_(layer.centre)
            return (norm,)
        case Activation():
            return (ACTIVATIONS[layer.function](),)
        case MaxPool():
            window = layer.window
            if window.symmetric and all(2 * b <= k for (b, _), k in zip(window.padding, window.kernel, strict=True)):
                return (nn.MaxPool2d(window.kernel, window.stride, tuple(before for before, _ in window.padding)),)
            return nn.ConstantPad2d(sides(window.padding), -torch.inf), nn.MaxPool2d(window.kernel, window.stride)
        case AvgPool():
            window = layer.window
            if window.padded and not layer.count_padding:
                return (AveragePool(layer),)
            return nn.ZeroPad2d(sides(window.padding)), nn.AvgPool2d(window.kernel, window.stride)
        case GlobalAvgPool():
            return (Call(lambda x: x.mean((2, 3))),)
        case Flatten():
            return (Call(lambda x: to_host_order(x).flatten(1)),)
        case Dropout():
            return (nn.Dropout(layer.rate),)
        case Add():
            return (Call(torch.add),)
        case Concat():
            return (Call(lambda *parts: torch.cat(parts, 1)),)
    raise Unsupported(
        f"pytorch has no layer {type(layer).__name__}: add it to {__name__}, or leave pytorch out",
        code="unsupported-layer",
    )


def to_host_order(x: Tensor) -> Tensor:
    """NCHW to NHWC; vectors stay as they are. With channels_last memory this moves no data."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x
