"""Files of Keras.

They sort layers by depth; newer files keep that order only within each kind of layer. Kernels have the axes of samebench,
except depthwise kernels: (rows, columns, out, 1). The last 1x1 convolutions of some files are dense layers in samebench.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.errors import SpecError
from harness.models.pixels import CAFFE
from harness.pretrained.renaming.layers import FileLayer, check_count, layers_of, owners
from harness.spec import Add, Array, BatchNorm, Conv, Dense, Model, Node, Weights

KERAS_3 = re.compile(r"(?P<layer>.*/(?P<kind>[^/]*?)(_\d+)?)/vars/(?P<own>\d+)")
BY_NAME = (["bias", "kernel"], ["beta", "gamma"])
"""The first tensors of a layer if they are sorted by name. Keras itself writes them in the opposite order."""


def from_keras(model: Model, tensors: Weights, origin: str) -> dict[str, Array]:
    newer = {name: KERAS_3.fullmatch(name) for name in tensors}
    layers = layers_of(
        (match["layer"], match["own"], match["kind"], tensors[name]) if match else (*_split(name), None, tensors[name])
        for name, match in newer.items()
    )
    if unordered := [layer.name for layer in layers if list(layer.tensors)[:2] in BY_NAME]:
        raise SpecError(
            f"{origin} sorts its tensors by name, such as those of {unordered[0]}, and the names of Keras do not contain the "
            "order of the layers; use a file that Keras itself writes: model.save_weights('x.weights.h5')",
            code="unknown-order",
        )
    nodes = owners(_by_depth(model))
    if all(newer.values()):
        nodes, layers = _by_kind(nodes, layers)
    check_count(nodes, layers, origin)
    found: dict[str, Array] = {}
    for node, layer in zip(nodes, layers, strict=True):
        for name, tensor in _named(node, layer, origin):
            found[name] = _from_keras_axes(node, tensor)
    if model.trunk[:1] == (CAFFE,):  # such networks take BGR, not RGB
        first = next(f"{node.name}.kernel" for node in model.nodes if isinstance(node.layer, Conv))
        found[first] = found[first][:, :, ::-1]
    return found


def _split(name: str) -> tuple[str, str]:
    """The name of the layer, and the name of the tensor in it."""
    layer, _, own = name.rpartition("/")
    return layer, own


def _named(node: Node, layer: FileLayer, origin: str) -> Iterator[tuple[str, Array]]:
    """The tensors of a layer under the names of samebench. Both have the same order: kernel, bias, or scale, offset, mean,
    variance."""
    if len(node.parameters) != len(layer.tensors):
        raise SpecError(
            f"{origin}: its layer {layer.name} has {len(layer.tensors)} tensors, but {node.name} needs "
            f"{', '.join(node.parameters)}",
            code="wrong-weights",
        )
    return zip((f"{node.name}.{name}" for name in node.parameters), layer.tensors.values(), strict=True)


def _from_keras_axes(node: Node, tensor: Array) -> Array:
    """A tensor in the axis order of samebench. Only depthwise kernels and 1x1 convolutions of dense layers change."""
    if tensor.ndim == 4 and isinstance(node.layer, Conv) and node.layer.groups > 1:
        rows, columns, channels, multiplier = tensor.shape
        return tensor.reshape(rows, columns, 1, channels * multiplier)
    if tensor.shape[:2] == (1, 1) and tensor.ndim == 4 and isinstance(node.layer, Dense):
        pixel: Array = tensor[0, 0]
        return pixel
    return tensor


def _by_depth(model: Model) -> list[Node]:
    """The nodes in the order of Keras: by the longest path to the output; nodes of equal depth in the order of a walk back
    from the output."""
    depth: dict[str, int] = {}
    for node in reversed(model.nodes):
        own = depth.setdefault(node.name, 0)
        for name in node.inputs:
            depth[name] = max(depth.get(name, 0), own + 1)
    nodes, visited = {node.name: node for node in model.nodes}, dict[str, int]()
    waiting = [model.end()]
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in visited:
            visited[name] = len(visited)
            inputs = nodes[name].inputs
            # Keras lists the shortcut of a sum first
            waiting += inputs if isinstance(nodes[name].layer, Add) else reversed(inputs)
    return sorted(model.nodes, key=lambda node: (-depth[node.name], visited[node.name]))


def _by_kind(nodes: Sequence[Node], layers: Sequence[FileLayer]) -> tuple[list[Node], list[FileLayer]]:
    """Nodes and layers sorted by kind; each kind keeps its order. If the file has no dense layers, its last 1x1
    convolutions are the dense layers of the network."""
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
