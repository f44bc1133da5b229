"""Weights files on the backend of `--backend`: saved networks agree with the reference, and PyTorch's with PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import (
    Batches,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Examples,
    Flatten,
    MaxPool,
    Model,
    Normalize,
    Residual,
    relu,
)
from harness.models.mobilenet_v1 import mobilenet_v1
from harness.pretrained.formats import read_tensors, save_safetensors
from harness.pretrained.renaming import canonical
from harness.reference.backend import NumPy

LIMIT = 1e-4


def random_weights(model: Model) -> dict[str, np.ndarray]:
    """Random weights without initial values such as 0 and 1. The kernels keep the magnitude of values."""
    random, weights = np.random.default_rng(0), {}
    for name, parameter in model.parameters.items():
        if parameter.role == "kernel":
            weights[name] = random.normal(0, np.sqrt(2 / parameter.fan_in), parameter.shape).astype("f4")
        else:
            middle = 1.0 if parameter.role in ("scale", "variance") else 0.0
            weights[name] = random.uniform(middle - 0.5, middle + 0.5, parameter.shape).astype("f4")
    return weights


def pictures(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Pictures of random squares. Random pixels would do less: a deep network averages them."""
    squares = np.random.default_rng(1).integers(0, 256, (count, *(-(-size // 8) for size in shape[:2]), 3), np.uint8)
    return squares.repeat(8, axis=1).repeat(8, axis=2)[:, : shape[0], : shape[1]]


def logits(backend: Any, model: Model, weights: dict, images: np.ndarray) -> np.ndarray:
    batches = Batches.in_order(Examples(images, np.zeros(len(images), int)), len(images))
    return backend.forward(backend.build(model, weights), batches)


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference divided by the largest logit."""
    most = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 1e-2 * most, "the pictures must matter"
    return float(np.abs(found - expected).max() / most)


def test_a_saved_network_gives_the_logits_of_the_reference(backend, mode, tmp_path):
    model = mobilenet_v1((64, 64, 3), 10, alpha=0.75)
    weights = random_weights(model)
    save_safetensors(tmp_path / "x.safetensors", weights, {"model": model.name})
    read = canonical(model, read_tensors(tmp_path / "x.safetensors"), "a file")
    images = pictures(2, model.input_shape)
    expected = logits(NumPy(precision="float64"), model, weights, images)
    difference = off(logits(backend(mode=mode), model, read, images), expected)
    print(f"{backend.name}, {mode}: {difference:.1e}")
    assert difference <= LIMIT


# A network as users of PyTorch write it, and the same network in samebench.

MEAN, STD = (0.5, 0.25, 0.4), (0.25, 0.3, 0.5)


def small_resnet(torch: Any) -> Any:
    """A network with two bottlenecks, with and without a projected shortcut. It flattens pictures of 3 by 4 pixels."""
    from torch import nn

    class Bottleneck(nn.Module):
        def __init__(self, before: int, inner: int, after: int, stride: int = 1) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(inner)
            self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=2, bias=False)
            self.bn2 = nn.BatchNorm2d(inner)
            self.conv3 = nn.Conv2d(inner, after, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(after)
            self.relu = nn.ReLU()
            self.downsample = None
            if before != after or stride > 1:
                self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

        def forward(self, x: Any) -> Any:
            shortcut = x if self.downsample is None else self.downsample(x)
            x = self.relu(self.bn1(self.conv1(x)))
            x = self.relu(self.bn2(self.conv2(x)))
            return self.relu(self.bn3(self.conv3(x)) + shortcut)

    class SmallResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
            self.layer1 = Bottleneck(8, 4, 16, stride=2)
            self.layer2 = Bottleneck(16, 4, 16)
            self.fc1 = nn.Linear(16 * 3 * 4, 16)
            self.fc2 = nn.Linear(16, 5)
            self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
            self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

        def forward(self, x: Any) -> Any:
            x = self.layer2(self.layer1(self.stem((x - self.mean) / self.std)))
            return self.fc2(torch.relu(self.fc1(torch.flatten(x, 1))))

    return SmallResNet()


def bottleneck(inner: int, after: int, stride: int, projected: bool) -> Residual:
    body = (
        Conv(inner, 1, bias=False), BatchNorm(), relu,
        Conv(inner, 3, stride, padding=1, groups=2, bias=False), BatchNorm(), relu,
        Conv(after, 1, bias=False), BatchNorm(),
    )  # fmt: skip
    return Residual(body, (Conv(after, 1, stride, bias=False), BatchNorm()) if projected else ())


SMALL_RESNET = Model(
    "small-resnet",
    (12, 16, 3),
    trunk=(
        Normalize(MEAN, STD), Conv(8, 5, padding=2), BatchNorm(), relu, MaxPool(2),
        bottleneck(4, 16, 2, projected=True), relu, bottleneck(4, 16, 1, projected=False), relu,
        Flatten(),
    ),
    head=(Dense(16), relu, Dense(5)),
)  # fmt: skip


# A network with other layers between `Flatten` and the next dense layer.


def plain(torch: Any, normed: bool) -> Any:
    from torch import nn

    norm = [nn.BatchNorm1d(6 * 3 * 4)] if normed else []
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        *norm,
        nn.Dropout(0.5),
        nn.Linear(72, 5),
    )


def plain_here(normed: bool) -> Model:
    norm = (BatchNorm(),) if normed else ()
    return Model(
        "plain", (12, 16, 3),
        trunk=(Conv(6, 3, padding=1), relu, MaxPool(4), Flatten(), *norm, Dropout(0.5)),
        head=(Dense(5),),
    )  # fmt: skip


def save_state(torch: Any, net: Any, form: str, file: Path) -> None:
    """Save a state dict in a format of PyTorch, or as safetensors ("by name")."""
    if form == "by name":
        save_safetensors(file, {name: tensor.numpy() for name, tensor in net.state_dict().items()}, {})
    else:
        torch.save(net.state_dict(), file, _use_new_zipfile_serialization=form == "zip")


def randomised(torch: Any, net: Any) -> Any:
    """The network in evaluation mode, without tensors of initial values such as 0 and 1."""
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.ndim == 1:
                middle = 1.0 if name.endswith("running_var") or tensor.mean() == 1 else 0.0
                tensor.uniform_(middle - 0.5, middle + 0.5)
    return net.eval()


NETWORKS = {
    "residual": (small_resnet, SMALL_RESNET),
    "dropout": (lambda torch: plain(torch, False), plain_here(False)),
    "a batch norm and dropout": (lambda torch: plain(torch, True), plain_here(True)),
}


@pytest.mark.parametrize("form", ["zip", "legacy", "by name"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_state_dict_gives_the_logits_of_pytorch(backend, mode, tmp_path, name, form):
    if (backend.name, mode) != ("pytorch", "default"):
        pytest.skip("only for PyTorch, which computes the expected logits")
    import torch

    torch.manual_seed(0)
    make, model = NETWORKS[name]
    net = randomised(torch, make(torch))
    images = pictures(3, model.input_shape)
    with torch.no_grad():
        expected = net(torch.tensor(images / 255, dtype=torch.float32).permute(0, 3, 1, 2)).numpy()
    save_state(torch, net, form, tmp_path / "x")
    weights = canonical(model, read_tensors(tmp_path / "x"), "a file")
    difference = off(logits(backend(device="cpu"), model, weights, images), expected)
    print(f"{difference:.1e}")
    assert difference <= 1e-5
