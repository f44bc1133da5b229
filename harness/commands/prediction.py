"""The prediction of a network for a picture file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.backend import Backend
from harness.data import Batches, Examples
from harness.pictures.files import picture_errors, read_picture
from harness.pictures.filters import stepped
from harness.reference.losses import probabilities
from harness.spec import Array, Model, Shape, Weights


def picture_in(file: Path, shape: Shape, steps: Sequence[str] = ()) -> Array:
    """The middle of a picture file, resized to the input shape of a network, and processed by the same steps as the network's
    training pictures."""
    with picture_errors(file):
        picture = read_picture(file, shape)
        return next(stepped(steps, picture[None], 255)) if steps else picture


def seen_in(backend: Backend[Any], model: Model, weights: Weights, picture: Array) -> Array:
    """The probability of each class for one picture of whole numbers from 0 to 255, in float64."""
    examples = Examples(picture[None], np.zeros(1, np.int32))
    net = backend.build(model, weights)
    shares: Array = probabilities(backend.forward(net, Batches.in_order(examples, 1)))[0]
    return shares
