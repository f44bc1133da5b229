"""Files of PyTorch: state dicts, and safetensors of them.

The tensors of a layer are recognised by their names. The layers are in the order of the network, as in samebench, unless
the file sorts its tensors by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import SpecError
from harness.models.pixels import CAFFE
from harness.pretrained.formats import misfit
from harness.pretrained.renaming.channels import from_channels_first, pictures_read
from harness.pretrained.renaming.layers import FileLayer, check_count, layers_of, owners
from harness.pretrained.renaming.naming import KEEP_ORDER, LayerKind, in_network_order
from harness.spec import Array, BatchNorm, Conv, Model, Node, Weights

COUNTED = ".num_batches_tracked"
"""The number of batches that a batch norm of PyTorch has seen. It is not needed."""

THEIRS = {
    "kernel": "weight", "scale": "weight", "bias": "bias", "offset": "bias",
    "mean": "running_mean", "variance": "running_var",
}  # fmt: skip
"""PyTorch's name for each tensor of a layer."""


def from_pytorch(model: Model, tensors: Weights, origin: str) -> dict[str, Array]:
    if CAFFE in model.trunk:
        raise SpecError(
            f"{origin} is a file of PyTorch, but {model.name} preprocesses pixels like Caffe, so these weights would get "
            "the wrong colours; use the file of Keras",
            code="wrong-weights",
        )
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTED)}
    layers = layers_of((*_split(name), None, tensor) for name, tensor in kept.items())
    nodes = owners(model.nodes)
    check_count(nodes, layers, origin)
    if by_name := _is_by_name(kept, layers):
        nodes, layers = _in_order_of_names(nodes, layers, origin)
    read = pictures_read(model)
    found: dict[str, Array] = {}
    wrong: list[str] = []
    for node, layer in zip(nodes, layers, strict=True):
        expected = {THEIRS[name]: name for name in node.parameters}
        if layer.tensors.keys() != expected.keys():
            wrong.append(f"{layer.name} has {', '.join(layer.tensors)}, but {node.name} needs {', '.join(expected)}")
            continue
        for theirs, ours in expected.items():
            tensor = from_channels_first(layer.tensors[theirs], node, read[node.name])
            found[f"{node.name}.{ours}"] = tensor
            if tensor.shape != (shape := node.parameters[ours].shape):
                wrong.append(f"{layer.name}.{theirs} as {node.name}.{ours} is {tensor.shape}, not {shape}")
    if wrong:
        raise misfit(wrong, origin, f"; its layers were sorted by their names: {KEEP_ORDER}" if by_name else "")
    return found


def _split(name: str) -> tuple[str, str]:
    """The name of the layer, and the name of the tensor in it."""
    layer, _, own = name.rpartition(".")
    return layer, own


def _is_by_name(tensors: Weights, layers: Sequence[FileLayer]) -> bool:
    """Whether the tensors are sorted by name, as in safetensors and in files converted from it. In the order of PyTorch, a
    layer begins with its weight, not with its bias."""
    return list(tensors) == sorted(tensors) or any("weight" in list(layer.tensors)[1:] for layer in layers)


def _in_order_of_names(
    nodes: Sequence[Node], layers: Sequence[FileLayer], origin: str
) -> tuple[list[Node], list[FileLayer]]:
    """Nodes and layers sorted by kind, and each kind in the order of the network."""
    by_name = {layer.name: layer for layer in layers}
    order = in_network_order({layer.name: _kind_of_stored(layer) for layer in layers}, origin)
    return sorted(nodes, key=_kind_of_node), [by_name[name] for name in order]


def _kind_of_stored(layer: FileLayer) -> LayerKind:
    match [len(tensor.shape) for name, tensor in layer.tensors.items() if name == "weight"]:
        case [4]:
            return "depthwise" if layer.tensors["weight"].shape[1] == 1 else "conv"
        case [2]:
            return "dense"
    return "norm"


def _kind_of_node(node: Node) -> LayerKind:
    match node.layer:
        case Conv():
            return "depthwise" if node.parameters["kernel"].shape[2] == 1 else "conv"
        case BatchNorm():
            return "norm"
    return "dense"
