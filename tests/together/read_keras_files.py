"""Computes logits with Keras' files: read_keras_files.py BACKEND FOLDER OUT.npz (in its own process)."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.data import Batches, Examples
from harness.environment import worker_environment

os.environ.update(worker_environment())

from harness.plugins import load_backend, load_plugins
from harness.pretrained.formats import read_tensors
from harness.pretrained.renaming import canonical
from harness.spec import Model, fingerprint

LAYOUTS = (".weights.h5", ".h5")


def main(name: str, folder: str, out: str) -> None:
    """Write the logits of the newer layout to NETWORK.logits, and the hashes of both layouts to NETWORK.weights."""
    backend = load_backend(name)(device="cpu", precision="float32")
    seen = {}
    for known in sorted(Path(folder).glob("*.npz")):
        images, expected = (np.load(known)[what] for what in ("images", "expected"))
        model = network(known.stem, images.shape[1:], expected.shape[1])
        files = [known.with_suffix(layout) for layout in LAYOUTS]
        weights, older = (canonical(model, read_tensors(file), file.name) for file in files)
        batches = Batches.in_order(Examples(images, np.zeros(len(images), np.int32)), len(images))
        seen[f"{model.name}.weights"] = np.array([fingerprint(weights), fingerprint(older)])
        seen[f"{model.name}.logits"] = backend.forward(backend.build(model, weights), batches)
    np.savez(out, **seen)


def network(name: str, shape: tuple[int, ...], classes: int) -> Model:
    """The network for this shape. The builder of vgg16 accepts only the published size of pictures."""
    model = load_plugins().models[name]
    return replace(model(classes=classes), input_shape=shape) if name == "vgg16" else model(shape, classes)


if __name__ == "__main__":
    main(*sys.argv[1:])
