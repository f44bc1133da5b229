"""The layers of a file beside those of a network: what both kinds of files have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.errors import SpecError
from harness.spec import Array, Node


class FileLayer(NamedTuple):
    """A layer as a file has it: its name there, its kind if the file tells, and its tensors in their order."""

    name: str
    kind: str | None
    tensors: dict[str, Array]


def layers_of(tensors: Iterable[tuple[str, str, str | None, Array]]) -> list[FileLayer]:
    """Tensors under one name are a layer; each is given by the name of its layer, its own, the layer's kind, and itself."""
    found: dict[str, FileLayer] = {}
    for name, own, kind, tensor in tensors:
        found.setdefault(name, FileLayer(name, kind, {})).tensors[own] = tensor
    return list(found.values())


def owners(nodes: Sequence[Node]) -> list[Node]:
    """The nodes that have tensors."""
    return [node for node in nodes if node.parameters]


def check_count(nodes: Sequence[Node], layers: Sequence[FileLayer], origin: str) -> None:
    """Raise unless there is a layer for each node."""
    if len(nodes) != len(layers):
        raise SpecError(
            f"{origin} has {len(layers)} layers with tensors, and the network {len(nodes)}: it is of another network, or "
            "lacks a part such as the classifier"
        )
