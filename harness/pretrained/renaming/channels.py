"""From channels first (PyTorch) to channels last (samebench): the axes of kernels, and the order in vectors.

A vector from a flattened picture is in the order of channels in PyTorch, and in the order of pixels in samebench. Between
the flattening and the dense layer there may be dropout, an activation or a batch norm; the tensors of that batch norm have
the same order as the vector.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from harness.errors import SpecError
from harness.spec import Add, Array, BatchNorm, Concat, Conv, Dense, GlobalAvgPool, Model, Node, Shape

PictureShapes = tuple[Shape, ...]
"""The shapes of the pictures that a vector was flattened from. Values with the same order in both count as one pixel."""


def pictures_read(model: Model) -> dict[str, PictureShapes]:
    """The pictures that the input of each node was flattened from, by the name of the node."""
    made: dict[str, PictureShapes] = {Model.INPUT: (_as_picture(model.input_shape),)}
    read: dict[str, PictureShapes] = {}
    for node in model.nodes:
        inputs = [made[name] for name in node.inputs]
        read[node.name] = inputs[0]
        made[node.name] = _made(node, inputs) if len(node.shape) == 1 else (_as_picture(node.shape),)
    return read


def from_channels_first(tensor: Array, node: Node, read: PictureShapes) -> Array:
    """A tensor of PyTorch in the order of samebench. `read` are the pictures that the node's input was flattened from."""
    if isinstance(node.layer, Conv):
        return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor
    if len(node.input_shape) > 1:
        return tensor
    if isinstance(node.layer, BatchNorm):
        return _reordered(tensor, read)
    if tensor.ndim == 4 and [tensor.shape[1:]] == [(channels, *pixels) for *pixels, channels in read]:
        tensor = tensor.reshape(len(tensor), -1)  # a convolution whose kernel is as large as the picture
    return _reordered(tensor.T, read) if tensor.ndim == 2 else tensor


def _as_picture(shape: Shape) -> Shape:
    return (1,) * (3 - len(shape)) + shape


def _made(node: Node, inputs: list[PictureShapes]) -> PictureShapes:
    """The pictures that the output vector of a node was flattened from."""
    match node.layer:
        case Dense() | GlobalAvgPool():
            return (_as_picture(node.shape),)
        case Concat():
            return tuple(chain.from_iterable(inputs))
        case Add() if len(set(inputs)) > 1:
            raise SpecError(
                f"{node.name} adds vectors that have different orders in PyTorch, flattened from {inputs}; use a file with "
                "samebench's names",
                code="unknown-order",
            )
    return inputs[0]


def _reordered(tensor: Array, read: PictureShapes) -> Array:
    """Reorder the first axis from PyTorch's order to that of samebench. A tensor of another length is not changed."""
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
