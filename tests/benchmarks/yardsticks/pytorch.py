"""Programs that an experienced user of PyTorch would write. They are the yardsticks of the backend `pytorch`.

`docs/overhead.md` says what such a file contains. The networks are written by hand. Only EfficientNet-Lite0, which is
long, is the network that the backend has built.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class TwoBlockCNN(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(4096, 64), nn.ReLU(), nn.Linear(64, 10),
        )  # fmt: skip


class Block(nn.Module):
    def __init__(self, before, channels):
        super().__init__()
        stride = channels // before
        self.conv1 = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.Conv2d(before, channels, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet20(nn.Sequential):
    def __init__(self):
        channels = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
        blocks = [Block(*pair) for pair in pairwise(channels)]
        super().__init__(
            nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
        )  # fmt: skip


@torch.no_grad()
def load(network, weights):
    """Load the first weights, given in TensorFlow's order of axes."""
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm2d)]
    for layer, tensors in zip(layers, weights, strict=True):
        tensors = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.copy_(tensors["scale"])
            layer.bias.copy_(tensors["offset"])
            layer.running_mean.copy_(tensors["mean"])
            layer.running_var.copy_(tensors["variance"])
            continue
        kernel = tensors["kernel"]
        if kernel.shape == (4096, 64):  # the rows of a dense layer after nn.Flatten are in the order NCHW
            kernel = kernel.view(8, 8, 64, 64).permute(2, 0, 1, 3).reshape(4096, 64)
        layer.weight.copy_(kernel.permute(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T)
        if layer.bias is not None:
            layer.bias.copy_(tensors["bias"])
    return network.to(memory_format=torch.channels_last)


def pixels(given):
    x = torch.from_numpy(given.images).permute(0, 3, 1, 2).float().div(255)
    return x.contiguous(memory_format=torch.channels_last)


def compiled(given, network):
    return torch.compile(network) if given.mode == "compiled" else network


def training(given, x, network, run, optimizer, training=True):
    """The training loop. `run` is the network, compiled or not. `training` is False if all batch norms are frozen."""
    y = torch.from_numpy(given.labels).long()

    def over(order):
        rows = torch.from_numpy(order).long()

        def train():
            network.train(training)
            losses = []
            for batch in rows:
                optimizer.zero_grad()
                loss = F.cross_entropy(run(x[batch]), y[batch])
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            return torch.stack(losses).mean().item()

        return train

    return over


def two_block_cnn(given):
    network = load(TwoBlockCNN(), given.weights)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    return {"loop": training(given, pixels(given), network, compiled(given, network), optimizer)}


def cifar_resnet(given):
    network = load(ResNet20(), given.weights)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, fused=True)
    return {"loop": training(given, pixels(given), network, compiled(given, network), optimizer)}


def feature_extraction(given):
    network = given.network().eval()
    x = torch.from_numpy(given.images).float().div(255)  # the backend's network takes NHWC

    def over(order):
        rows = torch.from_numpy(order).long()

        @torch.inference_mode()
        def extract():
            return torch.cat([network(x[batch], "features") for batch in rows]).numpy()

        return extract

    return {"loop": over}


def fine_tuning(given):
    network = given.network().requires_grad_(False)  # the backend has compiled it already, if the mode says so
    for name in given.learned:
        network.layers[network.key(name)].requires_grad_(True)
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=1e-4, fused=True)
    x = torch.from_numpy(given.images).float().div(255)
    return {"loop": training(given, x, network, network, optimizer, training=False)}


def adversarial(given):
    """Projected gradient descent: the pictures come from the host, and return to it."""
    network = load(TwoBlockCNN(), given.weights).eval()
    run = compiled(given, network)
    images, labels = np.float32(given.images) / 255, given.labels.astype(np.int64)

    def attack(x, y):
        first = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        labels, adversarial = torch.from_numpy(y), first
        low, high = (first - given.epsilon).clamp(0, 1), (first + given.epsilon).clamp(0, 1)
        for _ in range(given.steps):
            adversarial.requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(run(adversarial), labels, reduction="sum"), adversarial)
            adversarial = (adversarial.detach() + given.step_size * gradient.sign()).clamp(low, high)
        return adversarial.permute(0, 2, 3, 1).numpy()

    return {"loop": lambda order: lambda: np.concatenate([attack(images[rows], labels[rows]) for rows in order])}
