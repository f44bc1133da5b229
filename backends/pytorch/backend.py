"""PyTorch: an `nn.Module`, a fused optimiser, a plain training loop.

The backend uses the tuning that PyTorch's guides recommend: channels_last, fused optimisers, cuDNN's autotuner. The
mode "compiled" also compiles the network with `torch.compile`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backends.pytorch.inputs import LoaderPipeline, Uploaded, on_device
from backends.pytorch.layers import InBfloat16, lower, to_host_order
from backends.pytorch.operations import TORCH
from backends.pytorch.training import PublishedOptimizer, TrainingLoop, allow_many_networks, loss_of
from harness import (
    Array,
    Attack,
    Backend,
    Batches,
    BatchNorm,
    Conv,
    Dense,
    Device,
    Examples,
    FileExamples,
    LossName,
    Model,
    Node,
    Objective,
    Recipe,
    Upto,
    Weights,
    attack_step,
    hookimpl,
)

# The attribute of each tensor in PyTorch, and the permutations of axes. PyTorch's convolution kernels are (outputs,
# inputs, rows, columns).
ATTRIBUTES = {
    "kernel": "weight",
    "bias": "bias",
    "scale": "weight",
    "offset": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}
TO_OURS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}


class Net(nn.Module):
    """The model's nodes as modules. The input is NHWC pixels."""

    def __init__(self, model: Model, multiply_in_bfloat16: bool) -> None:
        super().__init__()
        self.model = model
        self.owners = {}
        self.layers = nn.ModuleDict()
        for node in model.nodes:
            *before, owner = lower(node)
            self.owners[node.name] = owner
            if multiply_in_bfloat16 and isinstance(node.layer, Conv | Dense):
                owner = InBfloat16(owner)
            self.layers[self.key(node.name)] = nn.Sequential(*before, owner) if before else owner

    @staticmethod
    def key(name: str) -> str:
        return name.replace(".", "/")  # nn.ModuleDict allows no dots

    def forward(self, pixels: Tensor, upto: Upto = "logits") -> Tensor:
        return to_host_order(self.model.run(self.apply, pixels.permute(0, 3, 1, 2), upto))

    def apply(self, node: Node, *inputs: Tensor) -> Tensor:
        return self.layers[self.key(node.name)](*inputs)

    def tensors(self) -> dict[str, Tensor]:
        """The PyTorch tensor for each name in `model.parameters`."""
        return {
            f"{node.name}.{name}": getattr(self.owners[node.name], ATTRIBUTES[name])
            for node in self.model.nodes
            for name in node.parameters
        }

    def train_all_but(self, frozen: tuple[str, ...]) -> None:
        """Set training mode for the nodes that learn; set evaluation mode and no gradients for the frozen nodes."""
        self.train()
        for name in frozen:
            self.owners[name].eval()
        for name, tensor in self.tensors().items():
            if self.model.parameters[name].trainable:
                tensor.requires_grad_(name.rpartition(".")[0] not in frozen)


class TorchTrainer(TrainingLoop):
    def __init__(self, backend: PyTorch, net: Net, recipe: Recipe, seed: int, native: bool = False) -> None:
        torch.manual_seed(seed)
        self.network = self.net = net
        self.batches, self.recipe, self.frozen = backend.batches, recipe, recipe.frozen(net.model)
        self.optimizer = PublishedOptimizer(recipe, net.model, net.tensors(), native)

    def segment(self, batches: Batches, lr: Array, record: bool) -> Array:
        self.net.train_all_but(self.frozen)
        variances = {node: norm.running_var.clone() for node, _, norm in self.norms()}
        losses = super().segment(batches, lr, record)
        self.bias_variances(variances, batches)
        return losses

    def norms(self) -> list[tuple[Node, BatchNorm, Any]]:
        """The batch norms that learn: the node, the layer and the module of each."""
        return [
            (node, node.layer, self.net.owners[node.name])
            for node in self.net.model.nodes
            if isinstance(node.layer, BatchNorm) and node.name not in self.frozen
        ]

    def bias_variances(self, before: dict[Node, Tensor], batches: Batches) -> None:
        """Correct the running variances, so that they average the biased variances of the batches.

        PyTorch averages the unbiased variances, which are larger by the factor n / (n - 1). All steps have the same n,
        so a single correction at the end of the segment is exact.
        """
        for node, layer, norm in self.norms():
            n = batches.batch_size * int(np.prod(node.shape[:-1]))
            old = layer.momentum ** len(batches) * before[node]
            norm.running_var.sub_(old).mul_((n - 1) / n).add_(old)


class PyTorch(Backend[Net]):
    name = "pytorch"
    modes = ("default", "compiled")
    precisions = ("float32", "tf32", "bfloat16", "float64")
    native = {
        "first weights": "kernels and biases uniform within 1 / sqrt(fan_in), as nn.Conv2d and nn.Linear draw them",
        "SGD": "torch.optim.SGD: the same arithmetic; weight decay is added to the gradient",
        "Adam": "torch.optim.Adam: betas 0.9 and 0.999, epsilon 1e-8; weight decay is added to the gradient",
        "AdamW": "torch.optim.AdamW: betas 0.9 and 0.999, epsilon 1e-8",
    }

    def start(self, device: str) -> Device:
        on_gpu = device != "cpu" and torch.cuda.is_available()
        tf32 = self.precision in ("tf32", "bfloat16")
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True
        if self.mode == "compiled":
            allow_many_networks()
        self.torch_device = torch.device("cuda" if on_gpu else "cpu")
        self.dtype = torch.float64 if self.precision == "float64" else torch.float32
        return "gpu" if on_gpu else "cpu"

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def settings(self) -> dict[str, str]:
        return {
            "memory_format": "channels_last",
            "optimizer": "fused",
            "cudnn.benchmark": str(torch.backends.cudnn.benchmark),
            "cudnn.allow_tf32": str(torch.backends.cudnn.allow_tf32),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "torch.compile": str(self.mode == "compiled"),
            "threads": str(torch.get_num_threads()),
        }

    def upload(self, examples: Examples) -> Uploaded:
        return Uploaded.of(examples, self.torch_device)

    def own_pipeline(self, examples: FileExamples) -> LoaderPipeline:
        return LoaderPipeline(examples, self.torch_device)

    def batches(self, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
        """The pixels and the labels of each batch, on the device."""
        return on_device(self.on_device(batches.examples), batches, self.torch_device, self.dtype)

    def build(self, model: Model, weights: Weights) -> Net:
        net = Net(model, multiply_in_bfloat16=self.precision == "bfloat16")
        net = net.to(self.torch_device, self.dtype, memory_format=torch.channels_last)
        self.load(net, weights)
        if self.mode == "compiled":
            net.compile(fullgraph=True, dynamic=False)  # all batches of a training have the same shape
        return net

    def weights(self, net: Net) -> dict[str, Array]:
        return {
            name: tensor.detach().permute(TO_OURS[tensor.ndim]).cpu().numpy().copy()
            for name, tensor in net.tensors().items()
        }

    def device_of(self, net: Net) -> Device:
        return "gpu" if next(net.parameters()).is_cuda else "cpu"

    @torch.no_grad()
    def load(self, net: Net, weights: Weights) -> None:
        for name, tensor in net.tensors().items():
            value = torch.from_numpy(np.ascontiguousarray(weights[name]))
            tensor.copy_(value.permute(TO_TORCH[tensor.ndim]))

    @torch.inference_mode()
    def forward(self, net: Net, batches: Batches, *, upto: Upto = "logits") -> Array:
        net.eval()
        return torch.cat([net(pixels, upto) for pixels, _ in self.batches(batches)]).cpu().numpy()

    def trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> TorchTrainer:
        return TorchTrainer(self, net, recipe, seed)

    def native_weights(self, model: Model, seed: int) -> dict[str, Array]:
        torch.manual_seed(seed)
        return self.weights(Net(model, multiply_in_bfloat16=False))

    def native_trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> TorchTrainer:
        return TorchTrainer(self, net, recipe, seed, native=True)

    def input_gradient(self, net: Net, images: Array, labels: Array, objective: Objective) -> Array:
        pixels = torch.tensor(images, dtype=self.dtype, device=self.torch_device)
        truth = torch.tensor(labels, dtype=torch.int64, device=self.torch_device)
        net.eval()
        return self.pixel_gradient(net, pixels, truth, objective).cpu().numpy()

    def run_attack(self, net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Array:
        first, pictures = (torch.tensor(x, dtype=self.dtype, device=self.torch_device) for x in (images, start))
        truth = torch.tensor(labels, dtype=torch.int64, device=self.torch_device)
        net.eval()
        for _ in range(attack.steps):  # no step waits for the device
            gradient = self.pixel_gradient(net, pictures, truth, attack.objective(loss))
            pictures = attack_step(TORCH, attack.kind, attack.numbers, pictures, first, gradient)
        return pictures.cpu().numpy()

    @staticmethod
    def pixel_gradient(net: Net, pixels: Tensor, labels: Tensor, objective: Objective) -> Tensor:
        """The gradient of the objective with respect to the pixels.

        Weights keep `requires_grad`, although no gradient of weights is computed here unless the network is compiled.
        Without it, the compiler makes slower convolutions (EfficientNet-Lite0 on a CPU: by a fifth).
        """
        pixels = pixels.detach().requires_grad_()
        return torch.autograd.grad(loss_of(objective, net(pixels), labels, "sum"), pixels)[0]

    def accelerator(self) -> dict[str, str]:
        found = {"name": torch.cuda.get_device_name(), "CUDA": torch.version.cuda, "ROCm": torch.version.hip}
        found["cuDNN"] = str(torch.backends.cudnn.version() or "")
        return {name: version for name, version in found.items() if version}

    def peak_device_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.device == "gpu" else None


@hookimpl
def samebench_backend() -> type[PyTorch]:
    return PyTorch
