"""Attacks a picture with a backend: attack.py BACKEND OUT.npz PICTURE (in its own process)."""

import os
import sys
from pathlib import Path

import numpy as np

from harness.attack import Attack
from harness.data import Batches, Examples
from harness.environment import worker_environment

os.environ.update(worker_environment())

from harness.pictures.files import read_picture
from harness.plugins import load_backend, load_plugins
from harness.pretrained.entries import start_from
from harness.reference.losses import probabilities
from harness.storage.places import Places

EPSILON, RETRIEVER = 4 / 255, 207
ATTACKS = {
    "fgsm": Attack(epsilon=EPSILON, step_size=EPSILON, steps=1),
    "pgd": Attack(epsilon=EPSILON, step_size=EPSILON / 4, steps=10),
    "targeted": Attack(epsilon=EPSILON, step_size=EPSILON / 4, steps=40, targeted=True),
}


def main(name: str, out: str, file: str) -> None:
    plugins, places, backend = load_plugins(), Places.from_environment(), load_backend(name)()
    start = start_from("efficientnet-lite0", None, plugins.weights, plugins.models, places)
    net = backend.build(start.model, start.load())
    picture = read_picture(Path(file), start.model.input_shape)[None] / np.float32(255)

    def seen(pictures: np.ndarray) -> np.ndarray:
        return probabilities(backend.forward(net, Batches.in_order(Examples(pictures, np.zeros(1, np.int32)), 1)))[0]

    found = {"original": picture, "before": seen(picture)}
    cat = int(found["before"].argmax())
    for what, attack in ATTACKS.items():
        label = np.array([RETRIEVER if attack.targeted else cat], np.int32)
        made = backend.perturb(net, picture, label, attack, "softmax", picture)
        found |= {what: made, f"{what}_seen": seen(made)}
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
