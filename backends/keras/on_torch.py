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
from harness import Array, AttackKind, AttackNumbers, Batches, Device, Examples, Objective, attack_step


class KerasTorch(KerasBackend):
    name = "keras-on-torch"
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
