"""Files of any kind, recognised by the names of their tensors."""

from __future__ import annotations

import numpy as np

from harness.pretrained.formats import require
from harness.pretrained.renaming.of_keras import from_keras
from harness.pretrained.renaming.of_pytorch import from_pytorch
from harness.spec import Array, Model, Weights

RENAMING_VERSION = 2
"""Increased when the same file gives other weights, so that older cached copies are not used."""


def canonical(model: Model, tensors: Weights, origin: str) -> dict[str, Array]:
    """The tensors of a file as weights of the model, in float32. Raises SpecError if some are missing or left over."""
    if all(name.split(".")[0] in ("trunk", "head") for name in tensors):
        found = dict(tensors)
    elif any(name.endswith((".weight", ".running_mean")) for name in tensors):
        found = from_pytorch(model, tensors, origin)
    else:
        found = from_keras(model, tensors, origin)
    require(found, {name: parameter.shape for name, parameter in model.parameters.items()}, origin)
    return {name: found[name].astype(np.float32) for name in model.parameters}
