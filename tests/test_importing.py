"""Published files under our names: written here in each layout, read back, and refused where they do not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.errors import SpecError
from harness.importing import canonical
from harness.models.pixels import CAFFE
from harness.plugins import load_plugins
from harness.spec import BatchNorm, Conv, Dense, Flatten

MODELS = load_plugins().models
SHAPES = {"alexnet": (224, 224, 3), "lenet5": (32, 32, 1)}


def network(name, shape=None):
    return MODELS[name](shape or SHAPES.get(name, (32, 32, 3)), 10)


def random_weights(model):
    random = np.random.default_rng(0)
    return {name: random.normal(size=p.shape).astype(np.float32) for name, p in model.parameters.items()}


def as_torch(model, weights):
    """A state dict: channels first, a counter in each batch norm, layers called by their number."""
    tensors = {}
    for number, node in enumerate(node for node in model.nodes if node.parameters):
        own = [weights[f"{node.name}.{name}"] for name in node.parameters]
        names = ["weight", "bias"]
        if isinstance(node.layer, BatchNorm):
            names += ["running_mean", "running_var"]
        elif isinstance(node.layer, Conv):
            own[0] = own[0].transpose(3, 2, 0, 1)
        else:
            before = next((n for n in model.nodes if n.name == node.inputs[0]), None)
            if before and isinstance(before.layer, Flatten) and len(before.input_shape) == 3:
                rows, columns, channels = before.input_shape
                kernel = own[0].reshape(rows, columns, channels, -1).transpose(2, 0, 1, 3)
                own[0] = kernel.reshape(-1, own[0].shape[1])
            own[0] = own[0].T
        tensors |= {f"layers.{number}.{name}": tensor for name, tensor in zip(names, own)}
        if isinstance(node.layer, BatchNorm):
            tensors[f"layers.{number}.num_batches_tracked"] = np.array(7)
    return tensors


def as_keras_3(model, weights):
    """Layers numbered within their kind. Only networks whose layers Keras lists in our order, or by kind in it."""
    tensors, count = {}, {}
    for node in model.nodes:
        if node.parameters:
            depthwise = isinstance(node.layer, Conv) and node.layer.groups > 1
            kind = {Conv: "conv2d", Dense: "dense", BatchNorm: "batch_normalization"}[type(node.layer)]
            kind = "depthwise_conv2d" if depthwise else kind
            number = count[kind] = count.get(kind, -1) + 1
            own = [weights[f"{node.name}.{name}"] for name in node.parameters]
            if depthwise:
                own[0] = own[0].transpose(0, 1, 3, 2)
            layer = f"layers/{kind}_{number}" if number else f"layers/{kind}"
            tensors |= {f"{layer}/vars/{place}": tensor for place, tensor in enumerate(own)}
    return tensors


def same(found, weights):
    assert found.keys() == weights.keys()
    return all((found[name] == weights[name]).all() for name in weights)


@pytest.mark.parametrize("name", ["resnet50-v1.5", "efficientnet-lite0", "cifar-resnet", "lenet5", "alexnet"])
def test_state_dicts_of_pytorch(name):
    model = network(name)
    weights = random_weights(model)
    assert same(canonical(model, as_torch(model, weights), "a file"), weights)


@pytest.mark.parametrize("name", ["mobilenet-v1", "mobilenet-v2", "lenet5"])
def test_weights_of_keras_3(name):
    model = network(name)
    weights = random_weights(model)
    assert same(canonical(model, as_keras_3(model, weights), "a file"), weights)


@pytest.mark.parametrize("name", ["mobilenet-v1", "lenet5", "alexnet"])
def test_our_own_names_stay(name):
    model = network(name)
    weights = random_weights(model)
    assert same(canonical(model, weights, "a file"), weights)


def test_a_last_convolution_of_one_pixel_is_a_dense_layer():
    model = network("mobilenet-v1")
    weights = random_weights(model)
    tensors = as_keras_3(model, weights)
    convolutions = sum(isinstance(node.layer, Conv) and node.layer.groups == 1 for node in model.nodes)
    tensors[f"layers/conv2d_{convolutions}/vars/0"] = tensors.pop("layers/dense/vars/0")[None, None]
    tensors[f"layers/conv2d_{convolutions}/vars/1"] = tensors.pop("layers/dense/vars/1")
    assert same(canonical(model, tensors, "a file"), weights)


def test_networks_of_caffe_take_blue_first():
    plain = network("mobilenet-v1")
    model = replace(plain, trunk=(CAFFE, *plain.trunk[1:]))
    weights = random_weights(model)
    found = canonical(model, as_keras_3(model, weights), "a file")
    first = "trunk.conv1.kernel"
    assert (found[first] == weights[first][:, :, ::-1]).all()
    assert same({**found, first: weights[first]}, weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: (t.popitem(), t.popitem()), "has 4 layers with tensors, and the network 5"),
        (lambda t: t.update({"layers.99.weight": np.zeros(3)}), "has 6 layers with tensors, and the network 5"),
        (lambda t: t.update({"layers.0.weight": np.zeros((6, 1, 3, 3))}), "is (3, 3, 1, 6), not (5, 5, 1, 6)"),
        (lambda t: t["layers.1.weight"].fill(np.nan), "that are NaN or infinite"),
        (lambda t: t.pop("layers.0.bias"), "has 1 tensors, where trunk.conv1 has kernel, bias"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    model = network("lenet5")
    tensors = {name: np.array(tensor) for name, tensor in as_torch(model, random_weights(model)).items()}
    change(tensors)
    with pytest.raises(SpecError) as error:
        canonical(model, tensors, "a file")
    assert message in str(error.value)


def test_files_of_pytorch_do_not_fit_networks_of_caffe():
    model = replace(network("lenet5"), trunk=(CAFFE, *network("lenet5").trunk), input_shape=(32, 32, 3))
    with pytest.raises(SpecError, match="is a file of PyTorch, and lenet5 takes its pixels as Caffe did"):
        canonical(model, as_torch(model, random_weights(model)), "a file")


def test_kernels_with_rows_and_columns_exchanged_are_refused():
    model = network("inception-v3", (75, 75, 3))
    weights = random_weights(model)
    name = next(name for name, parameter in model.parameters.items() if parameter.shape[:2] == (1, 7))
    with pytest.raises(SpecError, match=r"is \(7, 1, \d+, \d+\), not \(1, 7"):
        canonical(model, weights | {name: weights[name].transpose(1, 0, 2, 3)}, "a file")
    tensors = as_keras_3(model, weights)
    turned = {key: t.transpose(1, 0, 2, 3) if t.shape[:2] == (1, 7) else t for key, t in tensors.items()}
    with pytest.raises(SpecError, match="does not fit"):
        canonical(model, turned, "a file")
