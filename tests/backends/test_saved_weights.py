"""Files that the framework of `--backend` saves. samebench reads the same tensors without the framework."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from refusals import refused

from harness import DataError
from harness.pretrained.formats import read_tensors


def equal(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        assert np.array_equal(found[name], array), name


@pytest.fixture
def torch(backend):
    if backend.name != "pytorch":
        pytest.skip("only for PyTorch's files")
    import torch

    return torch


@pytest.fixture
def keras(backend):
    if backend.name not in ("keras", "keras-on-jax", "keras-on-torch"):
        pytest.skip("only for Keras' files")
    import keras

    keras.utils.clear_session()
    return keras


# PyTorch


@pytest.fixture(params=["zip", "legacy", "zip, protocol 5", "legacy, protocol 4"])
def save(torch, request, tmp_path):
    def save(value):
        protocol = int(request.param[-1]) if "protocol" in request.param else 2
        file = tmp_path / "x.pth"
        torch.save(value, file, _use_new_zipfile_serialization="zip" in request.param, pickle_protocol=protocol)
        return file

    return save


def arrays_of(tensors: dict) -> dict:
    import torch

    def array(tensor):
        tensor = tensor.detach().resolve_neg()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()

    return {name: array(tensor) for name, tensor in tensors.items()}


def network(torch):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8), torch.nn.Flatten(), torch.nn.Linear(32, 5)
    )


def test_pytorch_networks(torch, save):
    net = network(torch)
    for value in (net.state_dict(), net.to(memory_format=torch.channels_last).state_dict(), net.half().state_dict()):
        equal(read_tensors(save(value)), arrays_of(value))
    parameters = dict(net.named_parameters())
    equal(read_tensors(save(parameters)), arrays_of(parameters))
    equal(read_tensors(save({"epoch": 1, "state_dict": net.state_dict()})), arrays_of(net.state_dict()))


def test_pytorch_checkpoints_with_an_optimizer(torch, save):
    net = network(torch)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    value = {"epoch": 1, "model": net.state_dict(), "optimizer": optimizer.state_dict()}
    equal(read_tensors(save(value)), arrays_of(net.state_dict()))


def test_pytorch_types(torch, save):
    names = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    value = {name: torch.tensor([[0.0, 1.0, 117.0]]).to(getattr(torch, name)) for name in names}
    found = read_tensors(save(value))
    equal(found, arrays_of(value))
    assert found["bfloat16"].dtype == np.float32


def test_pytorch_views(torch, save):
    whole = torch.arange(60.0).reshape(3, 4, 5)
    value = {
        "whole": whole,
        "transposed": whole.permute(2, 0, 1),
        "part": whole[1:, ::2, 3],
        "expanded": torch.arange(3.0).expand(4, 3),
        "one": whole[2, 1, 1],
        "empty": whole[:0],
        "shared": whole.view(-1),
        "windows": torch.arange(6.0).unfold(0, 3, 1),
    }
    equal(read_tensors(save(value)), arrays_of(value))


def test_pytorch_values_other_than_plain_tensors_are_refused(torch, save):
    net = network(torch)
    wrong = {
        ("wrong-type", "epoch"): {"w": torch.ones(2), "epoch": 1},
        ("unknown-format", "list"): [torch.ones(2)],
        ("unsafe-file", "torch.nn.modules"): net,
        ("unsafe-file", "torch.ComplexFloatStorage"): {"w": torch.ones(2, dtype=torch.complex64)},
        ("unsafe-file", "torch._utils._rebuild_sparse_tensor"): {"w": torch.ones(2, 2).to_sparse()},
        ("unsafe-file", "torch._utils._rebuild_tensor_v3"): {"w": torch.ones(2, dtype=torch.uint16)},
        ("unknown-format", ".resolve_conj().resolve_neg()"): {"w": torch.view_as_complex(torch.ones(2, 2)).conj().imag},
        ("unsafe-file", "torch.Size"): {"w": torch.ones(2), "shape": torch.Size([2])},
    }
    for said, value in wrong.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = save(value)
        with refused(DataError, *said, file):
            read_tensors(file)


def test_torchscript_is_refused(torch, tmp_path):
    file = tmp_path / "x.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network(torch).eval(), torch.ones(1, 3, 4, 4)).save(file)
    with refused(DataError, "unknown-format", file, "TorchScript"):
        read_tensors(file)


def test_pytorch_accepts_the_arrays_without_warnings(torch, save):
    """The arrays are writeable and aligned. PyTorch warns about other arrays."""
    net = network(torch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensors = {name: torch.from_numpy(array) for name, array in read_tensors(save(net.state_dict())).items()}
    network(torch).load_state_dict(tensors)


# Keras


def keras_network(keras, classes: int = 3, inner: bool = False):
    layers = keras.layers
    pixels = keras.Input((8, 8, 3), name="pixels")
    x = layers.Conv2D(4, 3, use_bias=False, name="zebra")(pixels)
    x = layers.BatchNormalization(name="norm")(x)
    shortcut = layers.Conv2D(4, 1, name="shortcut")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depth")(x)
    x = layers.add([layers.BatchNormalization(scale=False, name="bare")(x), shortcut])
    for number in range(10):
        x = layers.Conv2D(4, 1, name=f"ant{9 - number}")(x)
    if inner:
        start = keras.Input((6, 6, 4))
        x = keras.Model(start, layers.Conv2D(2, 1, name="deep")(start), name="inner")(x)
    x = layers.Dropout(0.5, name="drop")(layers.Flatten(name="flat")(x))
    model = keras.Model(pixels, layers.Dense(classes, name="head")(x))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=weight.shape).astype("f4") for weight in model.get_weights()])
    return model


def in_order_of_classes(model) -> list[np.ndarray]:
    """The weights of a network in the order of Keras 3's files: by class, then in the order of `model.layers`."""
    from keras.src.utils.naming import to_snake_case

    by_class: dict[str, list] = {}
    for layer in model.layers:
        weights = in_order_of_classes(layer) if hasattr(layer, "layers") else layer.get_weights()
        by_class.setdefault(to_snake_case(type(layer).__name__), []).extend(weights)
    return [weight for name in sorted(by_class) for weight in by_class[name]]


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_keras_3_weights(keras, tmp_path, inner, trained):
    model = keras_network(keras, inner=inner)
    if trained:
        model.compile("adam", "mse", metrics=["mae"])
        model.fit(np.ones((4, 8, 8, 3), "f4"), np.ones((4, 3), "f4"), verbose=0)
    file = tmp_path / "x.weights.h5"
    model.save_weights(file)
    found = read_tensors(file)
    expected = in_order_of_classes(model)
    assert len(found) == len(expected)
    for (name, array), weight in zip(found.items(), expected, strict=True):
        assert array.dtype == weight.dtype and np.array_equal(array, weight), name
    assert np.array_equal(found["layers/conv2d/vars/0"], model.get_layer("zebra").get_weights()[0])
    assert np.array_equal(found["layers/conv2d_11/vars/1"], model.get_layer("ant0").get_weights()[1])
    assert np.array_equal(found["layers/batch_normalization_1/vars/0"], model.get_layer("bare").get_weights()[0])


@pytest.mark.parametrize("inner", [False, True])
def test_keras_legacy_weights(keras, tmp_path, inner):
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    model = keras_network(keras, inner=inner)
    file = tmp_path / "x.h5"
    with h5py.File(file, "w") as root:
        save_weights_to_hdf5_group(root, model)
    found = read_tensors(file)
    names = [f"{layer.name}/" for layer in model.layers for _ in layer.get_weights()]
    assert [name[: len(start)] for name, start in zip(found, names, strict=True)] == names
    assert list(found)[:5] == [
        "zebra/kernel",
        *(f"norm/{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance")),
    ]
    for array, weight in zip(found.values(), model.get_weights(), strict=True):
        assert np.array_equal(array, weight)


def test_whole_keras_models(keras, tmp_path):
    model = keras_network(keras)
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "x.h5")
    for array, weight in zip(read_tensors(tmp_path / "x.h5").values(), model.get_weights(), strict=True):
        assert np.array_equal(array, weight)
    model.save(tmp_path / "x.keras")
    with refused(DataError, "unsafe-file", "x.keras", "model.save_weights('x.weights.h5')"):
        read_tensors(tmp_path / "x.keras")


def test_keras_bfloat16(keras, tmp_path):
    layer = keras.layers.Dense(3, dtype="bfloat16")
    model = keras.Sequential([keras.Input((2,)), layer])
    model.save_weights(tmp_path / "x.weights.h5")
    found = read_tensors(tmp_path / "x.weights.h5")
    assert np.array_equal(
        found["layers/dense/vars/0"], keras.ops.convert_to_numpy(keras.ops.cast(layer.kernel, "float32"))
    )
    assert found["layers/dense/vars/0"].dtype == np.float32
