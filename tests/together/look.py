"""Predicts classes of pictures with a backend: look.py BACKEND OUT.npz PICTURE... (in its own process)."""

import os
import sys
from pathlib import Path

import numpy as np

from harness.data import Batches, Examples
from harness.environment import worker_environment

os.environ.update(worker_environment())

from harness.pictures.files import read_picture
from harness.plugins import load_backend, load_plugins
from harness.pretrained.entries import start_from
from harness.storage.places import Places

FILE = "weights/mobilenet_075_224.weights.h5"


def main(name: str, out: str, *files: str) -> None:
    plugins, places, backend = load_plugins(), Places.from_environment(), load_backend(name)()
    wanted = {"efficientnet-lite0": None}
    if own := places.find(FILE):
        wanted[str(own)] = "mobilenet-v1-0.75"
    seen = {}
    for weights, model in wanted.items():
        start = start_from(weights, model, plugins.weights, plugins.models, places)
        pictures = np.stack([read_picture(Path(file), start.model.input_shape) for file in files])
        batches = Batches.in_order(Examples(pictures, np.zeros(len(files), np.int32)), 16)
        logits = backend.forward(backend.build(start.model, start.load()), batches).astype(np.float64)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        seen[start.network] = odds / odds.sum(1, keepdims=True)
    np.savez(out, **seen)


if __name__ == "__main__":
    main(*sys.argv[1:])
