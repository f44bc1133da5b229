"""Channels first, as PyTorch has them, and channels last, as we do: the axes of kernels, and the order in vectors.

A vector that was made of a picture lists it channel by channel there, and pixel by pixel here. It may pass through other
layers before a dense one reads it: drop-out, an activation, a batch norm, whose own tensors are then in that order too.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from harness.errors import SpecError
from harness.spec import Add, Array, BatchNorm, Concat, Conv, Dense, GlobalAvgPool, Model, Node, Shape

PictureShapes = tuple[Shape, ...]
"""What a vector was made of. Entries that are in one order everywhere count as a picture of one pixel."""


def pictures_read(model: Model) -> dict[str, PictureShapes]:
    """For each node, by its name, the pictures that its input was made of."""
    made: dict[str, PictureShapes] = {Model.INPUT: (_as_picture(model.input_shape),)}
    read: dict[str, PictureShapes] = {}
    for node in model.nodes:
        inputs = [made[name] for name in node.inputs]
        read[node.name] = inputs[0]
        made[node.name] = _made(node, inputs) if len(node.shape) == 1 else (_as_picture(node.shape),)
    return read


def from_channels_first(tensor: Array, node: Node, read: PictureShapes) -> Array:
    """A tensor of PyTorch in our order; `read` is what the input of its node was made of."""
    if isinstance(node.layer, Conv):
        return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor
    if len(node.input_shape) > 1:
        return tensor
    if isinstance(node.layer, BatchNorm):
        return _reordered(tensor, read)
    if tensor.ndim == 4 and [tensor.shape[1:]] == [(channels, *pixels) for *pixels, channels in read]:
        tensor = tensor.reshape(len(tensor), -1)  # a convolution that sees all of a picture at once
    return _reordered(tensor.T, read) if tensor.ndim == 2 else tensor


def _as_picture(shape: Shape) -> Shape:
    return (1,) * (3 - len(shape)) + shape


def _made(node: Node, inputs: list[PictureShapes]) -> PictureShapes:
    """What the vector that a node makes is made of."""
    match node.layer:
        case Dense() | GlobalAvgPool():
            return (_as_picture(node.shape),)
        case Concat():
            return tuple(chain.from_iterable(inputs))
        case Add() if len(set(inputs)) > 1:
            raise SpecError(
                f"{node.name} adds vectors that PyTorch has in different orders, as they were made of {inputs}; take a file "
                "under samebench's own names"
            )
    return inputs[0]


def _reordered(tensor: Array, read: PictureShapes) -> Array:
    """A tensor whose first axis is a vector in PyTorch's order, in ours; as it is where it has another length."""
    sizes = [int(np.prod(shape)) for shape in read]
    if len(tensor) != sum(sizes):
        return tensor
    starts = np.cumsum([0, *sizes])
    order = [
        start + np.arange(size).reshape(channels, *pixels).transpose(1, 2, 0).ravel()
        for start, size, (*pixels, channels) in zip(starts, sizes, read)
    ]
    reordered: Array = tensor[np.concatenate(order)]
    return reordered
