"""Keras on PyTorch: batches from a `PyDataset`, gradients from autograd."""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "torch"  # read by Keras when it is imported, below

import numpy as np
import torch
from torch import Tensor

from backends.keras.backend import KerasBackend, Net, hookimpl, keras, objective_of, ops
from backends.keras.host_batches import HostBatches, HostPictures
from backends.keras.optimizer import PublishedOptimizer
from harness import SGD, Adam, Array, AttackKind, AttackNumbers, Batches, Device, Examples, Objective, attack_step


class ParallelOptimizer(PublishedOptimizer):
    """The same arithmetic for all tensors at once, with PyTorch's operations on lists, as Keras' own optimisers do on PyTorch."""

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self.weights = [variable.value for variable in variables]
        self.slots = [[moments[number].value for moments in self.moments] for number in range(len(self.moments[0]))]
        self.decayed = [number for number, decays in enumerate(self.decays) if decays]

    @torch.no_grad()
    def _backend_update_step(self, gradients: list[Tensor], variables: list[keras.Variable], lr: Tensor) -> None:
        optimizer = self.recipe.optimizer
        weights = [self.weights[number] for number in self.decayed]
        if self.decayed and (optimizer.l1 or not optimizer.decoupled):
            gradients = [gradient.clone() for gradient in gradients]
            given = [gradients[number] for number in self.decayed]
            if optimizer.l1:
                torch._foreach_add_(given, torch._foreach_sign(weights), alpha=optimizer.l1)
            if not optimizer.decoupled:
                torch._foreach_add_(given, weights, alpha=optimizer.weight_decay)
        direction = self.adam(optimizer, gradients) if isinstance(optimizer, Adam) else self.sgd(optimizer, gradients)
        if optimizer.decoupled and self.decayed:
            shrunk = [direction[number] for number in self.decayed]
            torch._foreach_add_(shrunk, weights, alpha=optimizer.weight_decay)
        torch._foreach_mul_(direction, self.factors)
        torch._foreach_mul_(direction, lr)
        torch._foreach_sub_(self.weights, direction)

    def adam(self, optimizer: Adam, gradients: list[Tensor]) -> list[Tensor]:
        """The direction of Adam. The moments are updated."""
        (first, second), step = self.slots, (self.iterations.value + 1).to(self.weights[0].dtype)
        torch._foreach_lerp_(first, gradients, 1 - optimizer.beta1)
        torch._foreach_mul_(second, optimizer.beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - optimizer.beta2)
        root = torch._foreach_sqrt(torch._foreach_div(second, 1 - optimizer.beta2**step))
        torch._foreach_add_(root, optimizer.epsilon)
        return torch._foreach_div(torch._foreach_div(first, 1 - optimizer.beta1**step), root)

    def sgd(self, optimizer: SGD, gradients: list[Tensor]) -> list[Tensor]:
        """The direction of SGD. The velocity is updated."""
        if not self.slots:
            return torch._foreach_mul(gradients, 1.0)
        [velocity] = self.slots
        torch._foreach_mul_(velocity, optimizer.momentum)
        torch._foreach_add_(velocity, gradients)
        if not optimizer.nesterov:
            return torch._foreach_mul(velocity, 1.0)
        return torch._foreach_add(gradients, velocity, alpha=optimizer.momentum)


class KerasTorch(KerasBackend):
    name = "keras-on-torch"
    optimizer = ParallelOptimizer
    auto = {"cpu": "eager", "gpu": "eager"}
    steps_per_execution = 1  # Keras has no more on PyTorch

    def start(self, device: str) -> Device:
        on_gpu = device != "cpu" and torch.cuda.is_available()
        tf32 = self.precision in ("tf32", "bfloat16")
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        self.torch_device = "cuda" if on_gpu else "cpu"
        torch.set_default_device(self.torch_device)
        self.start_keras("torch")
        return "gpu" if on_gpu else "cpu"

    def versions(self) -> dict[str, str]:
        return {"keras": keras.__version__, "torch": torch.__version__}

    def upload(self, examples: Examples) -> HostPictures:
        return HostPictures(examples, keras.config.floatx())

    def feed(self, batches: Batches) -> HostBatches:
        return HostBatches(self.on_device(batches.examples), batches.order)

    def device_of(self, net: Net) -> Device:
        return "gpu" if net.keras["logits"].variables[0].value.is_cuda else "cpu"

    def input_gradient(self, net: Net, images: Array, labels: Array, objective: Objective) -> Array:
        pixels = torch.tensor(images, dtype=getattr(torch, keras.config.floatx()), device=self.torch_device)
        truth = torch.tensor(labels.astype(np.int64), device=self.torch_device)
        return net.gradient_of(objective)(pixels, truth).cpu().numpy()

    def gradient_function(self, net: Net, objective: Objective) -> Callable[[Tensor, Tensor], Tensor]:
        def gradient(pixels: Tensor, labels: Tensor) -> Tensor:
            pixels = pixels.detach().requires_grad_()
            total = objective_of(objective)(labels, net.keras["logits"](pixels, training=False))
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
