"""The cross-check: every backend, and the reference, classifies the pictures that each backend has made.

All of them use the same weights. An adversarial picture counts only if other backends misclassify it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.backend import Backend
from harness.data import Batches, Examples
from harness.reference.backend import Net
from harness.reference.losses import probabilities
from harness.spec import Array, Model
from harness.task import Trained
from harness.tasks.common.victim import at_once

STAGES, CHANNELS = 5, 8
"""Maximum number of layers to show, and of channels of each layer."""

VISIBLE = 1 / 255
"""A larger difference between pixels is visible in a picture file with 8 bits."""


def judged(
    backend: Backend[Any], trained: Trained, made: Mapping[str, Mapping[str, Array]]
) -> dict[str, dict[str, float]]:
    """For each maker of pictures: how often this backend predicts their labels, and the mean probability of the labels."""
    net = backend.build(trained.model, trained.weights)
    scores = {}
    for maker, arrays in made.items():
        labels = arrays["labels"]
        batches = Batches.in_order(Examples(arrays["made"], labels), at_once(arrays["made"]))
        shares = probabilities(backend.forward(net, batches))
        scores[maker] = {
            "accuracy": float((shares.argmax(1) == labels).mean()),
            "probability": float(shares[np.arange(len(labels)), labels].mean()),
        }
    return scores


def apart(made: Sequence[Array]) -> dict[str, float]:
    """The differences between the pictures of several makers: the largest, and the share of pixels with a visible one."""
    spread = np.ptp(np.stack(made), axis=0)
    return {"largest": float(spread.max()), "visible": float((spread > VISIBLE).mean())}


def feature_maps(trained: Trained, pictures: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of layers for some pictures, computed by the reference. The channels are those that vary most in the
    first picture. The values of all pictures are scaled together to 0..1."""
    images = np.stack(list(pictures.values())).astype(np.float64)
    done = Net(trained.model, trained.weights).run(images)
    maps = {}
    for node in _stages(trained.model):
        values = done[node].output
        chosen = np.argsort(-values[0].var((0, 1)), kind="stable")[:CHANNELS]
        values = values[..., chosen] - values[..., chosen].min((0, 1, 2))
        maps[node] = (values / np.maximum(values.max((0, 1, 2)), 1e-12)).astype(np.float32)
    return maps


def _stages(model: Model) -> list[str]:
    """The last layer of each size of picture, for the first sizes of the network."""
    last = {node.shape[:2]: node.name for node in model.nodes if len(node.shape) == 3 and min(node.shape[:2]) > 1}
    return list(last.values())[:STAGES]
