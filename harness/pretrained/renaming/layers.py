"""The layers of a file, matched with those of a network: for files of PyTorch and of Keras."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.errors import SpecError
from harness.spec import Array, Node


class FileLayer(NamedTuple):
    """A layer of a file: its name, its kind (None if the file does not contain it), and its tensors in order."""

    name: str
    kind: str | None
    tensors: dict[str, Array]


def layers_of(tensors: Iterable[tuple[str, str, str | None, Array]]) -> list[FileLayer]:
    """Group tensors into layers. Each item is the name of the layer, the name of the tensor in it, the kind of the layer,
    and the tensor."""
    found: dict[str, FileLayer] = {}
    for name, own, kind, tensor in tensors:
        found.setdefault(name, FileLayer(name, kind, {})).tensors[own] = tensor
    return list(found.values())


def owners(nodes: Sequence[Node]) -> list[Node]:
    """The nodes with parameters."""
    return [node for node in nodes if node.parameters]


def check_count(nodes: Sequence[Node], layers: Sequence[FileLayer], origin: str) -> None:
    """Raise SpecError unless there are as many layers as nodes."""
    if len(nodes) != len(layers):
        raise SpecError(
            f"{origin} has {len(layers)} layers with tensors, but the network has {len(nodes)}: the file is for another "
            "network, or lacks a part such as the classifier; give another file, or another --model",
            code="wrong-weights",
        )
