"""Weights as Keras saves them in HDF5, read without Keras, by h5py.

Two layouts are known, and each name says as much of the network's order as its file does.

**Of Keras 1 and 2, and of Keras Applications.** The root, or its group `model_weights`, has the attribute `layer_names`,
and the group of each layer has `weight_names`. Tensors come in that order, which is the order of `model.layers` and, in a
layer, trained before counted (gamma, beta, moving mean, moving variance). A name is LAYER/TENSOR, such as
`conv1/kernel`, without the `:0` that TensorFlow adds.

**Of Keras 3, `.weights.h5`.** A name is the path in the file, such as `layers/conv2d_3/vars/0`: the class of the layer,
how many of that class came before it in `model.layers` (none is left out: the first is `conv2d`), and which of its
variables it is, in the order in which the layer made them (kernel, bias; gamma, beta, moving mean, moving variance, less
those that the layer does without). So the layers of one class are in the order of `model.layers`, and here they are
sorted so; how layers of different classes follow each other is not in the file. `model.layers` itself is by depth: the
number of layers from there to the output, the longest way, deepest first. Where paths run side by side, as in a
shortcut, layers of equal depth come in the order in which a walk back from the output finds them.

Only `layers` are read: what a file holds beside them (an optimizer, metrics) is not the network. A model whose class is
not Keras' own has none, and is refused. HDF5 may point to other files; nothing of that kind is followed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from harness.errors import Unavailable
from harness.pretrained.formats.numbers import check_growth, decode
from harness.pretrained.formats.refusal import Refusal, length_of
from harness.spec import Array

if TYPE_CHECKING:
    from h5py import Dataset, Group

LAYERS = ("layers", "_layer_checkpoint_dependencies")
"""What Keras 3 calls the group of a network's layers; the second name is from its first days."""

TOP = "top_level_model_weights"
FILTERS = {1, 2, 3, 32000}
"""Ways of packing numbers that h5py brings along: deflate, shuffle, fletcher32, lzf. Others are plugins: code."""

NUMBERED = re.compile("(.*?)_?([0-9]*)", re.DOTALL)
"""A name and the number that it ends in, if there is one."""


def read_keras_h5(file: BinaryIO) -> dict[str, Array]:
    """The tensors of either layout."""
    try:
        import h5py
    except ImportError as error:
        raise Unavailable("weights of Keras are HDF5: pip install 'samebench[keras-weights]'") from error
    with h5py.File(file, "r") as root:
        group = _child(root, "model_weights") if "model_weights" in root else root
        if _texts(group, "layer_names") is not None:
            found = _unique(_listed(group))
        elif layers := next((name for name in LAYERS if name in root), None):
            found = dict(sorted(_walked(_child(root, layers), layers), key=lambda item: _natural(item[0])))
        else:
            raise Refusal(
                "it is HDF5 in a layout that Keras does not write for networks: it has neither the attribute layer_names nor "
                "a group 'layers'; save one with model.save_weights('x.weights.h5')"
            )
        check_growth((_bytes(data) for data in found.values()), length_of(file))
        return {name: _array(data) for name, data in found.items()}


def _listed(group: Group) -> Iterator[tuple[str, Dataset]]:
    """The older layout: as its attributes list it."""
    import h5py

    names = _texts(group, "layer_names") or []
    for layer in [*names, *([TOP] if TOP in group else [])]:
        weights = _texts(_child(group, layer), "weight_names")
        if weights is None:
            raise Refusal(f"its layer {layer!r} has no attribute weight_names")
        for weight in weights:
            name = f"{layer}/{weight.removeprefix(f'{layer}/').removesuffix(':0')}"
            yield name, _checked(_child(group, f"{layer}/{weight}", h5py.Dataset))


def _unique(found: Iterator[tuple[str, Dataset]]) -> dict[str, Dataset]:
    unique: dict[str, Dataset] = {}
    for name, data in found:
        if name in unique:
            raise Refusal(f"it lists {name!r} twice")
        unique[name] = data
    return unique


def _walked(top: Group, path: str) -> Iterator[tuple[str, Dataset]]:
    """The layout of Keras 3: every dataset in the group, at any depth."""
    import h5py

    seen, waiting = set(), [(path, top)]
    while waiting:
        path, group = waiting.pop()
        if group.id in seen:
            raise Refusal(f"its group {path!r} lies in itself, or in two places")
        seen.add(group.id)
        for name in group:
            child = _child(group, name, (h5py.Group, h5py.Dataset))
            if isinstance(child, h5py.Group):
                waiting.append((f"{path}/{name}", child))
            else:
                yield f"{path}/{name}", _checked(child)


def _child(group: Group, path: str, kinds: Any = None) -> Any:
    """What lies at a path in a group, if it lies in this file and is of one of these kinds: usually a group."""
    import h5py

    found: Any = group
    for part in path.split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            what = f"a {type(link).__name__}" if link else "not there"
            raise Refusal(f"its {path!r} is {what}; weights lie in the file itself, and no link is followed")
        found = found[part]
    if not isinstance(found, kinds or h5py.Group):
        raise Refusal(f"its {path!r} is a {type(found).__name__}, where Keras has none")
    return found


def _texts(group: Group, name: str) -> list[str] | None:
    """A list in an attribute, or in several called `name0`, `name1` and so on because it is long; None if in none."""
    parts = [group.attrs[name]] if name in group.attrs else []
    if not parts:
        while (key := f"{name}{len(parts)}") in group.attrs:
            parts.append(group.attrs[key])
    if not parts:
        return None
    texts = [text.decode() if isinstance(text, bytes) else text for part in parts for text in part]
    if not all(isinstance(text, str) for text in texts):
        raise Refusal(f"its attribute {name} holds something else than texts")
    return texts


def _checked(data: Dataset) -> Dataset:
    """A dataset whose numbers are in the file, and are numbers."""
    name = data.name
    if data.external or data.is_virtual:
        raise Refusal(f"the numbers of its {name!r} lie in another file, which is not read")
    created = data.id.get_create_plist()
    if unknown := {created.get_filter(at)[0] for at in range(created.get_nfilters())} - FILTERS:
        raise Refusal(f"its {name!r} is packed in ways that h5py does not know: {unknown}")
    if data.shape is None or not ((data.dtype.kind in "fiub" and data.dtype.itemsize <= 8) or _is_bfloat16(data)):
        raise Refusal(f"its {name!r} holds {data.dtype}, not numbers; weights are tensors of numbers and nothing else")
    return data


def _is_bfloat16(data: Dataset) -> bool:
    """As Keras stores it: two bytes without a meaning, and a note."""
    return data.dtype.kind == "V" and data.dtype.itemsize == 2 and str(data.attrs.get("dtype")) == "bfloat16"


def _bytes(data: Dataset) -> int:
    """What it takes in memory, where it may be unpacked by the chunk."""
    numbers = max(data.size, math.prod(data.chunks or ()))
    return int(numbers * data.dtype.itemsize * (2 if _is_bfloat16(data) else 1))


def _array(data: Dataset) -> Array:
    values = np.asarray(data[()])
    if _is_bfloat16(data):
        return decode(values.tobytes(), "BF16").reshape(values.shape)
    return values.astype(values.dtype.newbyteorder("="))


def _natural(path: str) -> list[tuple[str, int]]:
    """A key to sort paths by: `conv2d`, `conv2d_1`, `conv2d_2`, ..., `conv2d_10`, and by number what is but a number."""

    def part(name: str) -> tuple[str, int]:
        found = NUMBERED.fullmatch(name)
        return (found[1], int(found[2] or 0)) if found else (name, 0)

    return [part(name) for name in path.split("/")]
