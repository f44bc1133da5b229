"""The order of a network's layers, derived from their names: for files that do not keep the order.

safetensors sorts tensors by name, so `features.10` comes before `features.3`, and `bn1` before `conv1`. The name of a
layer in PyTorch is a path, and each step of it is a word, a number, or a word with a number. Only layers of the same kind
are compared, at the first step in which their paths differ:

- steps with the same word, or without a word, are sorted by their numbers
- steps with different words are sorted by their places in a network, which are listed in `PLACES`
- a norm gets the place of its convolution, if its module has as many norms as convolutions: the first norm belongs to the
  first convolution, and so on. So `bn1` and `bn2` of timm's mobile networks, with `blocks` between them, belong to
  `conv_stem` and `conv_head`.

If these rules do not decide the order of two layers, the file is refused: nothing is guessed. The shapes of the tensors
show whether the order is right.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import Literal, NamedTuple

from harness.errors import SpecError
from harness.pretrained.formats import listed

LayerKind = Literal["norm", "depthwise", "conv", "dense"]
"""Kinds are sorted alphabetically: dense layers follow convolutions, because the last convolutions of a file may be the
first dense layers of a network."""

PLACES = (
    ("stem", "conv_stem"),
    ("conv", "conv_pw", "conv_dw", "expand_conv", "depthwise_conv"),
    ("conv_pwl", "project_conv"),
    ("features", "layer", "layers", "block", "blocks", "stages"),
    ("downsample", "shortcut"),
    ("conv_head",),
    ("pre_logits",),
    ("classifier", "fc", "head"),
)
"""Words of torchvision's and timm's networks, from the picture to the logits. Words in the same place have no order."""

PLACE_OF = {word: place for place, words in enumerate(PLACES) for word in words}
UNKNOWN = -1
KEEP_ORDER = "torch.save(model.state_dict(), ...) keeps the order of the network"
STEP = re.compile("_*(.*?)_?([0-9]*)", re.DOTALL)


class Step(NamedTuple):
    """A step of a path. Steps are sorted by these fields, in this order."""

    place: int
    word: str
    number: int


Path = tuple[Step, ...]


def in_network_order(kinds: Mapping[str, LayerKind], origin: str) -> list[str]:
    """The layers sorted by kind, and each kind in the order of the network. Raises SpecError if names do not decide it."""
    paths = {name: tuple(_step(part) for part in name.split(".")) for name in kinds}
    for name, place in _places_of_norms(kinds, paths).items():
        paths[name] = (*paths[name][:-1], paths[name][-1]._replace(place=place))
    order = sorted(kinds, key=lambda name: (kinds[name], paths[name]))
    unclear = [
        f"{first} and {second}"
        for first, second in pairwise(order)
        if kinds[first] == kinds[second] and not _are_in_order(paths[first], paths[second])
    ]
    if unclear:
        raise SpecError(
            f"{origin} sorts its tensors by name, and the order of these layers is unknown: {listed(unclear)}; "
            f"known are numbers and these words: {', '.join(PLACE_OF)}; {KEEP_ORDER}",
            code="unknown-order",
        )
    return order


def _step(part: str) -> Step:
    found = STEP.fullmatch(part.lower())
    word, number = (found[1], int(found[2] or -1)) if found else (part, -1)
    return Step(PLACE_OF.get(word, UNKNOWN), word, number)


def _places_of_norms(kinds: Mapping[str, LayerKind], paths: Mapping[str, Path]) -> dict[str, int]:
    """The place of each norm: that of its convolution in the same module."""
    modules: dict[Path, list[str]] = defaultdict(list)
    for name in sorted(kinds, key=lambda name: paths[name]):
        modules[paths[name][:-1]].append(name)
    places: dict[str, int] = {}
    for layers in modules.values():
        convolutions = [name for name in layers if kinds[name] in ("conv", "depthwise")]
        norms = [name for name in layers if kinds[name] == "norm"]
        words = {paths[name][-1].word for name in norms}
        if len(words) == 1 and len(norms) == len(convolutions):
            places |= {norm: paths[name][-1].place for norm, name in zip(norms, convolutions, strict=True)}
    return places


def _are_in_order(first: Path, second: Path) -> bool:
    """Whether a rule, and not only the alphabet, puts the first of two sorted paths before the second."""
    for step, following in zip(first, second, strict=False):
        if step.word != following.word:
            return UNKNOWN < step.place < following.place
        if step.number != following.number:
            return True
    return len(first) < len(second)
