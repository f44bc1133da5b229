"""What other networks make of pictures that a task has made: the same weights on every framework, and on the reference.

A framework that has fooled itself alone has fooled nobody: pictures count when the others are fooled by them too.
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
"""How many layers are shown, at most, and how many channels of each."""

VISIBLE = 1 / 255
"""Pixels that lie further apart than this would be told apart in a file of 8 bits."""


def judged(
    backend: Backend[Any], trained: Trained, made: Mapping[str, Mapping[str, Array]]
) -> dict[str, dict[str, float]]:
    """For each maker of pictures, how often this backend sees the class that they are labelled with, and how surely."""
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
    """How far the pictures of several makers lie apart: at most, and in how many pixels visibly."""
    spread = np.ptp(np.stack(made), axis=0)
    return {"largest": float(spread.max()), "visible": float((spread > VISIBLE).mean())}


def feature_maps(trained: Trained, pictures: Mapping[str, Array]) -> dict[str, Array]:
    """What the network sees in a picture, layer by layer, by the reference: the channels that vary most in the first of
    the pictures, and the same ones in the others. Values are brought to 0..1 together."""
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
    """The last layer of each size that pictures have on their way; the first sizes, if there are many."""
    last = {node.shape[:2]: node.name for node in model.nodes if len(node.shape) == 3 and min(node.shape[:2]) > 1}
    return list(last.values())[:STAGES]
