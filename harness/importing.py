"""Whose tensor is whose: a published file's tensors under our names, in our axis order.

A file names its layers in its own way, so they are told by order. PyTorch writes them as the network was put together,
which is our order too. Keras lists them by depth, and its newer files keep that order only within each kind of layer.
Within a layer all of them agree: kernel, bias; scale, offset, mean, variance.

| files of | kernels                            | depthwise kernels        | pictures become vectors |
|----------|------------------------------------|--------------------------|-------------------------|
| PyTorch  | (out, in, rows, columns), (out, in)| (out, 1, rows, columns)  | channels first          |
| Keras    | as here                            | (rows, columns, out, 1)  | as here                 |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from harness.errors import SpecError
from harness.models.pixels import CAFFE
from harness.spec import Add, Array, BatchNorm, Conv, Dense, Flatten, Model, Node, Shape, Weights
from harness.weightfiles import require

COUNTED = ".num_batches_tracked"
"""PyTorch counts batches in its batch norms; nothing here depends on it."""

KERAS_3 = re.compile(r"(?P<layer>.*/(?P<kind>[^/]*?)(_\d+)?)/vars/\d+")


class Stored(NamedTuple):
    """A layer as a file has it: its name there, its kind if the file tells, and its tensors in their order."""

    name: str
    kind: str | None
    tensors: list[Array]


def canonical(model: Model, tensors: Weights, origin: str) -> dict[str, Array]:
    """The tensors of a file as weights of the model, in float32; raises SpecError unless they are just those."""
    if all(name.split(".")[0] in ("trunk", "head") for name in tensors):
        found = dict(tensors)
    elif any(name.endswith((".weight", ".running_mean")) for name in tensors):
        found = _from_torch(model, tensors, origin)
    else:
        found = _from_keras(model, tensors, origin)
    require(found, {name: parameter.shape for name, parameter in model.parameters.items()}, origin)
    return {name: found[name].astype(np.float32) for name in model.parameters}


def _from_torch(model: Model, tensors: Weights, origin: str) -> dict[str, Array]:
    if CAFFE in model.trunk:
        raise SpecError(
            f"{origin} is a file of PyTorch, and {model.name} takes its pixels as Caffe did: of other weights than these, "
            "it would see other colours; take the file of Keras"
        )
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTED)}
    layers = _layers((name.rpartition(".")[0], None, tensor) for name, tensor in kept.items())
    ends = {node.name: node for node in model.nodes}
    found: dict[str, Array] = {}
    for node, layer in _paired(_owners(model.nodes), layers, origin):
        before = ends.get(node.inputs[0])
        picture = before.input_shape if before and isinstance(before.layer, Flatten) else None
        for name, tensor in _named(node, layer, origin):
            found[name] = _from_channels_first(tensor, picture if isinstance(node.layer, Dense) else None)
    return found


def _from_channels_first(tensor: Array, picture: Shape | None) -> Array:
    """A tensor of PyTorch in our axis order; `picture` is what was made a vector before a dense layer."""
    if tensor.ndim == 4:
        return tensor.transpose(2, 3, 1, 0)
    if tensor.ndim == 2 and picture and len(picture) == 3 and tensor.shape[1] == np.prod(picture):
        rows, columns, channels = picture
        tensor = tensor.reshape(-1, channels, rows, columns).transpose(0, 2, 3, 1).reshape(len(tensor), -1)
    return tensor.T


def _from_keras(model: Model, tensors: Weights, origin: str) -> dict[str, Array]:
    newer = {name: KERAS_3.fullmatch(name) for name in tensors}
    layers = _layers(
        (match["layer"], match["kind"], tensors[name]) if match else (name.rpartition("/")[0], None, tensors[name])
        for name, match in newer.items()
    )
    nodes = _owners(_by_depth(model))
    if all(newer.values()):
        nodes, layers = _by_kind(nodes, layers)
    found: dict[str, Array] = {}
    for node, layer in _paired(nodes, layers, origin):
        for name, tensor in _named(node, layer, origin):
            found[name] = _from_keras_axes(node, tensor)
    if model.trunk[:1] == (CAFFE,):  # which takes blue before red
        first = next(f"{node.name}.kernel" for node in model.nodes if isinstance(node.layer, Conv))
        found[first] = found[first][:, :, ::-1]
    return found


def _from_keras_axes(node: Node, tensor: Array) -> Array:
    """A tensor of Keras in our axis order: others are depthwise kernels, and 1x1 convolutions that are dense here."""
    if tensor.ndim == 4 and isinstance(node.layer, Conv) and node.layer.groups > 1:
        rows, columns, channels, multiplier = tensor.shape
        return tensor.reshape(rows, columns, 1, channels * multiplier)
    if tensor.shape[:2] == (1, 1) and tensor.ndim == 4 and isinstance(node.layer, Dense):
        pixel: Array = tensor[0, 0]
        return pixel
    return tensor


def _layers(tensors: Iterator[tuple[str, str | None, Array]]) -> list[Stored]:
    """Tensors that follow each other under one name are a layer."""
    found: dict[str, Stored] = {}
    for name, kind, tensor in tensors:
        found.setdefault(name, Stored(name, kind, [])).tensors.append(tensor)
    return list(found.values())


def _owners(nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if node.parameters]


def _by_depth(model: Model) -> list[Node]:
    """The nodes as Keras lists them: by the longest way to the output, and where that is equal, as they are met on a
    walk back from it."""
    depth: dict[str, int] = {}
    for node in reversed(model.nodes):
        own = depth.setdefault(node.name, 0)
        for name in node.inputs:
            depth[name] = max(depth.get(name, 0), own + 1)
    nodes, met = {node.name: node for node in model.nodes}, dict[str, int]()
    waiting = [model.end()]
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in met:
            met[name] = len(met)
            inputs = nodes[name].inputs
            waiting += (
                inputs if isinstance(nodes[name].layer, Add) else reversed(inputs)
            )  # a sum lists its shortcut first
    return sorted(model.nodes, key=lambda node: (-depth[node.name], met[node.name]))


def _by_kind(nodes: Sequence[Node], layers: Sequence[Stored]) -> tuple[list[Node], list[Stored]]:
    """Nodes and layers sorted by kind, each kind in its order. A network whose last layers are 1x1 convolutions in the
    file has dense layers here."""
    kinds = {layer.kind for layer in layers}
    dense = "dense" if "dense" in kinds else "conv2d"

    def kind(node: Node) -> str:
        match node.layer:
            case Conv(groups=groups):
                return "depthwise_conv2d" if groups == node.input_shape[-1] > 1 else "conv2d"
            case BatchNorm():
                return "batch_normalization"
        return dense

    return sorted(nodes, key=kind), sorted(layers, key=lambda layer: layer.kind or "")


def _paired(nodes: Sequence[Node], layers: Sequence[Stored], origin: str) -> Iterator[tuple[Node, Stored]]:
    if len(nodes) != len(layers):
        raise SpecError(
            f"{origin} has {len(layers)} layers with tensors, and the network {len(nodes)}: it is of another network, or "
            "lacks a part such as the classifier"
        )
    return zip(nodes, layers, strict=True)


def _named(node: Node, layer: Stored, origin: str) -> Iterator[tuple[str, Array]]:
    if len(node.parameters) != len(layer.tensors):
        raise SpecError(
            f"{origin}: its layer {layer.name} has {len(layer.tensors)} tensors, where {node.name} has "
            f"{', '.join(node.parameters)}"
        )
    return zip((f"{node.name}.{name}" for name in node.parameters), layer.tensors, strict=True)
