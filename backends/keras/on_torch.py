"""Keras on PyTorch: a training loop and gradients of PyTorch, as Keras' guide for PyTorch shows them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

os.environ["KERAS_BACKEND"] = "torch"  # read by Keras when it is imported, below

import numpy as np
import torch
from torch import Tensor

from backends.keras.backend import KerasBackend, Net, hookimpl, keras, objective_of, ops
from backends.keras.optimizer import stock_optimizer
from backends.pytorch.inputs import LoaderPipeline, Uploaded, on_device
from backends.pytorch.training import Optimizer, PublishedOptimizer, TrainingLoop, allow_many_networks
from harness import (
    Array,
    AttackKind,
    AttackNumbers,
    Batches,
    Device,
    Examples,
    FileExamples,
    Model,
    Objective,
    Recipe,
    Upto,
    Weights,
    attack_step,
)


class StockOptimizer:
    """Keras' own optimiser of the same name."""

    def __init__(self, recipe: Recipe, net: Net) -> None:
        self.optimizer = stock_optimizer(recipe, net.model, net.variables(), 0.0)
        self.variables = net.training.trainable_variables
        self.optimizer.build(self.variables)

    def zero_grad(self) -> None:
        for variable in self.variables:
            variable.value.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        self.optimizer.learning_rate = lr
        self.optimizer.apply([variable.value.grad for variable in self.variables], self.variables)


class KerasTorchTrainer(TrainingLoop):
    def __init__(self, backend: KerasTorch, net: Net, recipe: Recipe, seed: int, native: bool = False) -> None:
        self.net, self.batches, self.recipe = net, backend.batches, recipe
        self.network = partial(net.call["training"], training=True)
        net.seed_dropout(seed)
        net.train_only(recipe)
        self.optimizer = self.make_optimizer(native)

    def make_optimizer(self, native: bool) -> Optimizer:
        if native:
            return StockOptimizer(self.recipe, self.net)
        tensors = {name: variable.value for name, variable in self.net.variables().items()}
        return PublishedOptimizer(self.recipe, self.net.model, tensors)

    def segment(self, batches: Batches, lr: Array, record: bool) -> Array:
        self.net.train_only(self.recipe)  # another trainer may have frozen other layers
        return super().segment(batches, lr, record)


class KerasTorch(KerasBackend):
    name = "keras-on-torch"
    auto = {"cpu": "eager", "gpu": "eager"}

    def start(self, device: str) -> Device:
        on_gpu = device != "cpu" and torch.cuda.is_available()
        tf32 = self.precision in ("tf32", "bfloat16")
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        self.torch_device = "cuda" if on_gpu else "cpu"
        torch.set_default_device(self.torch_device)
        if self.mode == "compiled":
            allow_many_networks()
        self.start_keras("torch")
        return "gpu" if on_gpu else "cpu"

    def versions(self) -> dict[str, str]:
        return {"keras": keras.__version__, "torch": torch.__version__}

    def upload(self, examples: Examples) -> Uploaded:
        return Uploaded.of(examples, self.torch_device)

    def own_pipeline(self, examples: FileExamples) -> LoaderPipeline:
        return LoaderPipeline(examples, self.torch_device)

    def batches(self, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
        """The pixels and the labels of each batch, on the device."""
        dtype = getattr(torch, keras.config.floatx())
        return on_device(self.on_device(batches.examples), batches, self.torch_device, dtype)

    def build(self, model: Model, weights: Weights) -> Net:
        net = super().build(model, weights)
        net.call = {"training": net.training} | dict(net.keras.items())
        if self.mode == "compiled":
            net.call = {name: torch.compile(network) for name, network in net.call.items()}
        return net

    @torch.no_grad()
    def forward(self, net: Net, batches: Batches, *, upto: Upto = "logits") -> Array:
        outputs = [net.call[upto](pixels, training=False) for pixels, _ in self.batches(batches)]
        return torch.cat(outputs).cpu().numpy()

    def trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> KerasTorchTrainer:
        return KerasTorchTrainer(self, net, recipe, seed)

    def native_trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> KerasTorchTrainer:
        return KerasTorchTrainer(self, net, recipe, seed, native=True)

    def device_of(self, net: Net) -> Device:
        return "gpu" if net.keras["logits"].variables[0].value.is_cuda else "cpu"

    def input_gradient(self, net: Net, images: Array, labels: Array, objective: Objective) -> Array:
        pixels = torch.tensor(images, dtype=getattr(torch, keras.config.floatx()), device=self.torch_device)
        truth = torch.tensor(labels.astype(np.int64), device=self.torch_device)
        return net.gradient_of(objective)(pixels, truth).cpu().numpy()

    def gradient_function(self, net: Net, objective: Objective) -> Callable[[Tensor, Tensor], Tensor]:
        def gradient(pixels: Tensor, labels: Tensor) -> Tensor:
            pixels = pixels.detach().requires_grad_()
            total = objective_of(objective)(labels, net.call["logits"](pixels, training=False))
            return torch.autograd.grad(total, pixels)[0]

        return gradient

    def attack_function(self, net: Net, kind: AttackKind, objective: Objective) -> Callable[..., Tensor]:
        gradient = net.gradient_of(objective)

        def attack(pictures: Tensor, images: Tensor, labels: Tensor, numbers: AttackNumbers, steps: int) -> Tensor:
            for _ in range(steps):  # no step waits for the device
                pictures = attack_step(ops, kind, numbers, pictures, images, gradient(pictures, labels))
            return pictures

        return attack

    def accelerator(self) -> dict[str, str]:
        found = {"name": torch.cuda.get_device_name(), "CUDA": torch.version.cuda, "ROCm": torch.version.hip}
        found["cuDNN"] = str(torch.backends.cudnn.version() or "")
        return {name: version for name, version in found.items() if version}

    def peak_device_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.device == "gpu" else None


@hookimpl
def samebench_backend() -> type[KerasTorch]:
    return KerasTorch
