"""Networks of Keras Applications agree with Keras: layer by layer, and in their logits in float64."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from harness import BatchNorm, Dropout
from harness.models.pixels import CAFFE
from harness.plugins import load_plugins
from harness.reference.backend import Net

LIMIT = 1e-9
CLASSES = 10

NETWORKS = {  # the module, function and options of Keras; sizes that are odd, even and not square
    "vgg16": ("vgg16", "VGG16", {}, (33, 64, 3)),
    "vgg19": ("vgg19", "VGG19", {}, (32, 47, 3)),
    "resnet50": ("resnet50", "ResNet50", {}, (64, 75, 3)),
    "inception-v3": ("inception_v3", "InceptionV3", {}, (75, 90, 3)),
    "mobilenet-v1": ("mobilenet", "MobileNet", {}, (75, 98, 3)),
    "mobilenet-v1-0.75": ("mobilenet", "MobileNet", {"alpha": 0.75}, (96, 67, 3)),
    "mobilenet-v2": ("mobilenet_v2", "MobileNetV2", {}, (75, 98, 3)),
}


@pytest.fixture(scope="module", params=NETWORKS)
def both(request):
    """Our network, Keras', and Keras' preprocessing."""
    if request.config.getoption("--backend") != "keras":
        pytest.skip("needs --backend keras, for Keras' networks on TensorFlow")
    keras = importlib.import_module("keras")
    keras.config.set_floatx("float64")
    keras.utils.clear_session()
    module, function, options, shape = NETWORKS[request.param]
    home = importlib.import_module(f"keras.applications.{module}")
    make = getattr(home, function)
    theirs = make(input_shape=shape, weights=None, classes=CLASSES, classifier_activation=None, **options)
    build = load_plugins().models[request.param]
    published = build(build().input_shape, CLASSES)
    ours = replace(published, input_shape=shape) if "vgg" in request.param else build(shape, CLASSES)
    return ours, theirs, home.preprocess_input


def pairs(model, theirs):
    """Each node with tensors, and its layer of Keras. If Keras has another order, names match them."""
    nodes = [node for node in model.nodes if node.parameters]
    layers = [layer for layer in theirs.layers if layer.weights]
    assert len(nodes) == len(layers)
    names = {"resnet50": resnet_names, "inception-v3": inception_names}.get(model.name)
    if names:
        layers = [theirs.get_layer(name) for name in names(nodes)]
    return list(zip(nodes, layers, strict=True))


def resnet_names(nodes):
    """The names of Keras' layers: trunk.conv2_block1.body.conv3 is conv2_block1_3_conv."""
    for node in nodes:
        name = node.name.replace(".shortcut.conv1", "_0_conv").replace(".shortcut.batchnorm1", "_0_bn")
        name = re.sub(r"\.body\.(\w+)(\d)$", r"_\2_\1", name.removeprefix("trunk.")).replace("batchnorm", "bn")
        yield {"conv1": "conv1_conv", "bn1": "conv1_bn", "head.dense1": "predictions"}.get(name, name)


def inception_names(nodes):
    """The names of Keras' layers, numbered in the order of the nodes: conv2d, conv2d_1 and so on."""
    kinds = {"conv": "conv2d", "batchnorm": "batch_normalization", "dense": "predictions"}
    before = Counter()
    for node in nodes:
        kind = kinds[node.layer.kind]
        yield f"{kind}_{before[kind]}" if before[kind] else kind
        before[kind] += 1


def without_ones(shape):
    """The shape without sizes of 1. Keras adds such a size to depthwise kernels, and to vectors before a 1x1
    convolution."""
    return [size for size in shape if size != 1]


def random_weights(model):
    """Random weights, with scales and variances above 0."""
    random, weights = np.random.default_rng(0), model.init(0)
    for name, parameter in model.parameters.items():
        if parameter.role != "kernel":
            middle = 1.0 if parameter.role in ("scale", "variance") else 0.0
            weights[name] = random.uniform(middle - 0.5, middle + 0.5, parameter.shape)
    return {name: tensor.astype(np.float64) for name, tensor in weights.items()}


def tensors_for_keras(model, node, weights):
    tensors = [weights[f"{node.name}.{name}"] for name in node.parameters]
    if model.trunk[0] == CAFFE and node.name == "trunk.conv1":
        tensors[0] = tensors[0][:, :, ::-1]  # blue before red
    return tensors


def test_layers_and_tensors_have_the_same_shapes(both):
    model, theirs, _ = both
    for node, layer in pairs(model, theirs):
        ours = [without_ones(parameter.shape) for parameter in node.parameters.values()]
        assert ours == [without_ones(tensor.shape) for tensor in layer.weights], layer.name
        assert without_ones(node.shape) == without_ones(layer.output.shape[1:]), layer.name


def test_settings_are_the_same(both):
    model, theirs, _ = both
    for node, layer in pairs(model, theirs):
        if isinstance(node.layer, BatchNorm):
            assert (node.layer.epsilon, node.layer.momentum) == (layer.epsilon, layer.momentum), layer.name
    rates = [layer.rate for layer in theirs.layers if type(layer).__name__ == "Dropout"]
    ours = [node.layer.rate for node in model.nodes if isinstance(node.layer, Dropout)]
    assert ours == ([0.5, 0.5] if "vgg" in model.name else rates)  # as in the paper; Keras' VGG has no dropout


def test_logits_are_the_same(both):
    model, theirs, preprocess = both
    weights = random_weights(model)
    for node, layer in pairs(model, theirs):
        tensors = tensors_for_keras(model, node, weights)
        layer.set_weights([ours.reshape(tensor.shape) for ours, tensor in zip(tensors, layer.weights, strict=True)])
    pixels = np.random.default_rng(1).integers(0, 256, (3, *model.input_shape)).astype(np.float64)
    expected = theirs.predict_on_batch(preprocess(pixels.copy()))
    found = Net(model, weights).run(pixels / 255)[model.end()].output
    assert np.ptp(expected) > 1e-3
    assert np.abs(found - expected).max() <= LIMIT * np.abs(expected).max()
