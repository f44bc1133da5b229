"""Files that Keras itself writes of its own networks, in both layouts: ours compute with them what Keras does."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np
import pytest

from harness import Array, Batches, Examples
from harness.errors import SpecError
from harness.importing import canonical
from harness.plugins import load_plugins
from harness.weightfiles import read_tensors

LIMIT = 1e-4
CLASSES = 10

NETWORKS = {  # module and function there, input shape; vgg16 has one
    "mobilenet-v1": ("mobilenet", "MobileNet", (64, 75, 3)),
    "mobilenet-v2": ("mobilenet_v2", "MobileNetV2", (64, 75, 3)),
    "resnet50": ("resnet50", "ResNet50", (64, 75, 3)),
    "inception-v3": ("inception_v3", "InceptionV3", (90, 75, 3)),
    "vgg16": ("vgg16", "VGG16", (224, 224, 3)),
}


class Case(NamedTuple):
    """A network of ours, Keras' own, and what that makes of some pictures."""

    name: str
    theirs: Any
    images: Array
    expected: Array


@pytest.fixture(scope="module")
def keras(request):
    if request.config.getoption("--backend") != "keras":
        pytest.skip("needs --backend keras: Keras' own networks, on TensorFlow")
    keras = importlib.import_module("keras")
    before = keras.config.floatx()
    keras.config.set_floatx("float32")  # other tests of this process use float64
    yield keras
    keras.config.set_floatx(before)


@pytest.fixture(scope="module", params=NETWORKS)
def case(request, keras):
    keras.utils.clear_session()
    module, _, shape = NETWORKS[request.param]
    theirs = published(request.param, classes=CLASSES, classifier_activation=None)
    preprocess = importlib.import_module(f"keras.applications.{module}").preprocess_input
    images = pictures(2, shape)
    expected = theirs.predict(preprocess(images.astype(np.float32)), verbose=0)
    assert np.abs(expected[0] - expected[1]).max() > 1e-2 * np.abs(expected).max(), "the pictures must matter"
    return Case(request.param, theirs, images, expected)


def pictures(count, shape):
    """Random squares: of random pixels alone, a deep network sees little but the mean."""
    squares = np.random.default_rng(1).integers(0, 256, (count, *(-(-size // 16) for size in shape[:2]), 3), np.uint8)
    return squares.repeat(16, axis=1).repeat(16, axis=2)[:, : shape[0], : shape[1]]


def published(name, **options):
    """Keras' own network, with no tensor at the value that it starts from, and kernels that keep a signal alive."""
    module, function, shape = NETWORKS[name]
    make = getattr(importlib.import_module(f"keras.applications.{module}"), function)
    theirs = make(input_shape=shape, weights=None, **options)
    random = np.random.default_rng(0)
    for variable in theirs.weights:
        shape = variable.shape
        if variable.name == "kernel":
            inputs = np.prod(shape[:2] if shape[-1] == 1 else shape[:-1])  # depthwise, or not
            variable.assign(random.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / inputs)))
        else:
            middle = 1.0 if variable.name in ("gamma", "moving_variance") else 0.0
            variable.assign(random.uniform(middle - 0.5, middle + 0.5, shape))
    return theirs


def keras_3(model, folder):
    model.save_weights(folder / "x.weights.h5")
    return folder / "x.weights.h5"


def legacy(model, folder):
    """As the files of Keras Applications are."""
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    with h5py.File(folder / "x.h5", "w") as root:
        save_weights_to_hdf5_group(root, model)
    return folder / "x.h5"


LAYOUTS = pytest.mark.parametrize("save", [keras_3, legacy], ids=lambda save: save.__name__)


def network(name):
    build = load_plugins().models[name]
    return build(NETWORKS[name][2], CLASSES)


@LAYOUTS
def test_logits_are_those_of_keras(case, save, backend, tmp_path):
    model = network(case.name)
    file = save(case.theirs, tmp_path)
    weights = canonical(model, read_tensors(file), "a file")
    file.unlink()  # vgg16's are large
    count = len(case.images)
    batches = Batches(Examples(case.images, np.zeros(count, int)), np.arange(count), count)
    engine = backend(device="cpu", precision="float32")
    found = engine.forward(engine.build(model, weights), batches)
    difference = np.abs(found - case.expected).max() / np.abs(case.expected).max()
    print(f"{case.name}, {save.__name__}: {difference:.1e}")
    assert difference <= LIMIT


@LAYOUTS
@pytest.mark.parametrize("name", ["mobilenet-v1", "resnet50", "inception-v3"])
def test_without_its_classifier_a_network_is_refused(keras, name, save, tmp_path):
    keras.utils.clear_session()
    tensors = read_tensors(save(published(name, include_top=False), tmp_path))
    with pytest.raises(SpecError, match=r"a file has .* layers with tensors, .* lacks a part such as the classifier"):
        canonical(network(name), tensors, "a file")
