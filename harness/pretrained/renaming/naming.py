"""In what order a network has its layers, told by their names: for files that do not keep it.

safetensors lists tensors by name, so `features.10` comes before `features.3`, and `bn1` before `conv1`. What PyTorch
calls a layer is a path, whose steps are a word, a number, or a word with a number. Paths are compared at the first step
in which they differ, and only layers of one kind with each other:

- steps of one word, or of none, by their numbers
- steps of different words by their places in a network, as `PLACES` has them
- a norm has the place of the convolution that it follows, in a module that has as many of both: the first that of the
  first, and so on. So `bn1` and `bn2` of timm's mobile networks, with `blocks` between them, go with `conv_stem` and
  `conv_head`.

Two layers that none of this puts in order are refused: nothing is guessed. Whether the order is right, the shapes tell.
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
"""In this they are sorted by the alphabet: dense layers follow convolutions, as the last convolutions of a file may be the
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
"""Words of torchvision's and timm's networks, from the picture to the logits. Words in one place are no order."""

PLACE_OF = {word: place for place, words in enumerate(PLACES) for word in words}
UNKNOWN = -1
KEEP_ORDER = "torch.save(model.state_dict(), ...) keeps the order of the network"
STEP = re.compile("_*(.*?)_?([0-9]*)", re.DOTALL)


class Step(NamedTuple):
    """One step of a path, in the order in which steps are sorted."""

    place: int
    word: str
    number: int


Path = tuple[Step, ...]


def in_network_order(kinds: Mapping[str, LayerKind], origin: str) -> list[str]:
    """The layers in the order of the network, sorted by kind first; raises SpecError where names tell no order."""
    paths = {name: tuple(_step(part) for part in name.split(".")) for name in kinds}
    for name, place in _places_of_norms(kinds, paths).items():
        paths[name] = (*paths[name][:-1], paths[name][-1]._replace(place=place))
    order = sorted(kinds, key=lambda name: (kinds[name], paths[name]))
    unclear = [
        f"{one} and {other}"
        for one, other in pairwise(order)
        if kinds[one] == kinds[other] and not _are_in_order(paths[one], paths[other])
    ]
    if unclear:
        raise SpecError(
            f"{origin} lists its tensors by name, and names do not tell which layer comes first of {listed(unclear)}; "
            f"known are numbers, and {', '.join(PLACE_OF)}; {KEEP_ORDER}"
        )
    return order


def _step(part: str) -> Step:
    found = STEP.fullmatch(part.lower())
    word, number = (found[1], int(found[2] or -1)) if found else (part, -1)
    return Step(PLACE_OF.get(word, UNKNOWN), word, number)


def _places_of_norms(kinds: Mapping[str, LayerKind], paths: Mapping[str, Path]) -> dict[str, int]:
    """The place of each norm, by the convolutions of its module."""
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


def _are_in_order(one: Path, other: Path) -> bool:
    """Whether the first of two sorted paths comes first for a reason, and not by the alphabet."""
    for step, following in zip(one, other, strict=False):
        if step.word != following.word:
            return UNKNOWN < step.place < following.place
        if step.number != following.number:
            return True
    return len(one) < len(other)
