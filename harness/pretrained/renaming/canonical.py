"""A file of any kind, told by its names."""

from __future__ import annotations

import numpy as np

from harness.pretrained.formats import require
from harness.pretrained.renaming.of_keras import from_keras
from harness.pretrained.renaming.of_pytorch import from_pytorch
from harness.spec import Array, Model, Weights

RENAMING_VERSION = 2
"""Goes up when the same file would become other weights: what was kept by an older one is not used."""


def canonical(model: Model, tensors: Weights, origin: str) -> dict[str, Array]:
    """The tensors of a file as weights of the model, in float32; raises SpecError unless they are just those."""
    if all(name.split(".")[0] in ("trunk", "head") for name in tensors):
        found = dict(tensors)
    elif any(name.endswith((".weight", ".running_mean")) for name in tensors):
        found = from_pytorch(model, tensors, origin)
    else:
        found = from_keras(model, tensors, origin)
    require(found, {name: parameter.shape for name, parameter in model.parameters.items()}, origin)
    return {name: found[name].astype(np.float32) for name in model.parameters}
