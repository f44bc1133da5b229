"""Weights in Keras' HDF5 files, read by h5py, without Keras. There are two layouts.

**Keras 1 and 2, and Keras Applications.** The root, or its group `model_weights`, has the attribute `layer_names`, and the
group of each layer has `weight_names`. Tensors are in this order, which is the order of `model.layers`; in a layer, trained
tensors come before statistics (gamma, beta, moving mean, moving variance). A name is LAYER/TENSOR, such as `conv1/kernel`,
without the `:0` that TensorFlow adds.

**Keras 3, `.weights.h5`.** A name is the path in the file, such as `layers/conv2d_3/vars/0`. It consists of the class of
the layer, its number among the layers of this class in `model.layers` (none for the first: `conv2d`), and the number of the
variable in the layer, in the order kernel, bias or gamma, beta, moving mean, moving variance, without those that the layer
does not have. So layers of the same class are in the order of `model.layers`, but the file does not contain the order of
layers of different classes. `model.layers` is sorted by depth, deepest first: the depth is the number of layers on the
longest path to the output. Layers of equal depth are in the order of a walk back from the output.

Only the group `layers` is read: other groups (an optimizer, metrics) are not the network. Models of a class of the user do
not have this group, and are refused. Links of HDF5 to other files are never followed.
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
"""Keras 3's names of the group of layers; the second is from its first versions."""

TOP = "top_level_model_weights"
FILTERS = {1, 2, 3, 32000}
"""The HDF5 filters that h5py contains: deflate, shuffle, fletcher32, lzf. Other filters are plugins, which are code."""

NUMBERED = re.compile("(.*?)_?([0-9]*)", re.DOTALL)
"""A name and the number at its end, if there is one."""


def read_keras_h5(file: BinaryIO) -> dict[str, Array]:
    """Read the tensors of either layout."""
    try:
        import h5py
    except ImportError as error:
        raise Unavailable(
            "weights of Keras are HDF5 and need h5py: pip install 'samebench[keras-weights]'", code="not-installed"
        ) from error
    with h5py.File(file, "r") as root:
        group = _child(root, "model_weights") if "model_weights" in root else root
        if _texts(group, "layer_names") is not None:
            found = _unique(_listed(group))
        elif layers := next((name for name in LAYERS if name in root), None):
            found = dict(sorted(_walked(_child(root, layers), layers), key=lambda item: _natural(item[0])))
        else:
            raise Refusal(
                "it is HDF5, but not a network of Keras: it has neither the attribute 'layer_names' nor the group 'layers'",
                do="save the network with model.save_weights('x.weights.h5')",
                code="unknown-format",
            )
        check_growth((_bytes(data) for data in found.values()), length_of(file))
        return {name: _array(data) for name, data in found.items()}


def _listed(group: Group) -> Iterator[tuple[str, Dataset]]:
    """The older layout: the tensors that its attributes list."""
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
            raise Refusal(f"it has {name!r} twice")
        unique[name] = data
    return unique


def _walked(top: Group, path: str) -> Iterator[tuple[str, Dataset]]:
    """The layout of Keras 3: every dataset in the group, at any depth."""
    import h5py

    seen, waiting = set(), [(path, top)]
    while waiting:
        path, group = waiting.pop()
        if group.id in seen:
            raise Refusal(f"its group {path!r} is inside itself, or in two places", code="unsafe-file")
        seen.add(group.id)
        for name in group:
            child = _child(group, name, (h5py.Group, h5py.Dataset))
            if isinstance(child, h5py.Group):
                waiting.append((f"{path}/{name}", child))
            else:
                yield f"{path}/{name}", _checked(child)


def _child(group: Group, path: str, kinds: Any = None) -> Any:
    """The group at a path in a group, or an object of one of these kinds. Links to other files are refused."""
    import h5py

    found: Any = group
    for part in path.split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            if link is None:
                raise Refusal(f"its {path!r} does not exist")
            raise Refusal(
                f"its {path!r} is a {type(link).__name__}; links are not followed",
                do="save the weights in the file",
                code="unsafe-file",
            )
        found = found[part]
    if not isinstance(found, kinds or h5py.Group):
        raise Refusal(f"its {path!r} is a {type(found).__name__}, which Keras does not write there")
    return found


def _texts(group: Group, name: str) -> list[str] | None:
    """The list in an attribute. A long list is split into attributes `name0`, `name1` and so on. None if there is none."""
    parts = [group.attrs[name]] if name in group.attrs else []
    if not parts:
        while (key := f"{name}{len(parts)}") in group.attrs:
            parts.append(group.attrs[key])
    if not parts:
        return None
    texts = [text.decode() if isinstance(text, bytes) else text for part in parts for text in part]
    if not all(isinstance(text, str) for text in texts):
        raise Refusal(f"its attribute {name} has values that are not strings")
    return texts


def _checked(data: Dataset) -> Dataset:
    """The dataset. Raises Refusal if its data are in another file, or are not numbers."""
    name = data.name
    if data.external or data.is_virtual:
        raise Refusal(f"the data of its {name!r} are in another file, which is not read", code="unsafe-file")
    created = data.id.get_create_plist()
    if unknown := {created.get_filter(at)[0] for at in range(created.get_nfilters())} - FILTERS:
        raise Refusal(
            f"its {name!r} is compressed by filters that h5py does not contain: {unknown}", code="unknown-format"
        )
    if data.shape is None or not ((data.dtype.kind in "fiub" and data.dtype.itemsize <= 8) or _is_bfloat16(data)):
        raise Refusal(f"its {name!r} holds {data.dtype}, not numbers", code="wrong-type")
    return data


def _is_bfloat16(data: Dataset) -> bool:
    """Whether this is bfloat16, which Keras stores as two opaque bytes and an attribute."""
    return data.dtype.kind == "V" and data.dtype.itemsize == 2 and str(data.attrs.get("dtype")) == "bfloat16"


def _bytes(data: Dataset) -> int:
    """The size of a dataset in memory. It is decompressed chunk by chunk."""
    numbers = max(data.size, math.prod(data.chunks or ()))
    return int(numbers * data.dtype.itemsize * (2 if _is_bfloat16(data) else 1))


def _array(data: Dataset) -> Array:
    values = np.asarray(data[()])
    if _is_bfloat16(data):
        return decode(values.tobytes(), "BF16").reshape(values.shape)
    return values.astype(values.dtype.newbyteorder("="))


def _natural(path: str) -> list[tuple[str, int]]:
    """A key that sorts numbers in paths by their value: `conv2d`, `conv2d_1`, `conv2d_2`, ..., `conv2d_10`."""

    def part(name: str) -> tuple[str, int]:
        found = NUMBERED.fullmatch(name)
        return (found[1], int(found[2] or 0)) if found else (name, 0)

    return [part(name) for name in path.split("/")]
