"""PyTorch: an `nn.Module`, a fused optimiser, a plain training loop.

The backend uses the tuning that PyTorch's guides recommend: channels_last, fused optimisers, cuDNN's autotuner. The
mode "compiled" also compiles the network with `torch.compile`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.pytorch.layers import InBfloat16, lower, to_host_order
from backends.pytorch.operations import TORCH
from harness import (
    SGD,
    Adam,
    Array,
    Attack,
    Backend,
    Batches,
    BatchNorm,
    Conv,
    Dense,
    Device,
    Examples,
    LossName,
    Model,
    Node,
    Objective,
    Recipe,
    Trainer,
    Unsupported,
    Upto,
    Weights,
    attack_step,
    hookimpl,
    picture_losses,
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


NETWORKS = 4096
"""The number of networks that a process may compile; `samebench check` compiles hundreds."""


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


def loss_of(loss: Objective, logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
    if loss == "logit":
        return picture_losses(TORCH, loss, logits, labels).sum()
    if loss == "softmax":
        return F.cross_entropy(logits, labels, reduction=reduction)
    return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype), reduction=reduction)


class Uploaded(NamedTuple):
    """Examples on the device."""

    images: Tensor
    labels: Tensor
    divisor: int

    def batch(self, rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        pixels = self.images.index_select(0, rows).to(dtype)  # new memory, so that the division may be in place
        return pixels.div_(self.divisor), self.labels[rows]


def check_native(recipe: Recipe) -> None:
    """Raise if PyTorch's optimisers lack an option of the recipe. The native trainer does not add it."""
    optimizer = recipe.optimizer
    if optimizer.l1:
        raise Unsupported("PyTorch's own optimisers have no L1")
    if isinstance(optimizer, SGD) and optimizer.decoupled and optimizer.weight_decay:
        raise Unsupported("torch.optim.SGD adds weight decay to the gradient; it has no decoupled decay")


class TorchTrainer(Trainer):
    def __init__(self, backend: PyTorch, net: Net, recipe: Recipe, seed: int, native: bool = False) -> None:
        if native:
            check_native(recipe)
        torch.manual_seed(seed)
        self.backend, self.net, self.recipe = backend, net, recipe
        self.frozen = recipe.frozen(net.model)
        self.decayed: list[tuple[Tensor, float]] = []  # tensors with decay or L1, and their rates
        self.optimizer = self.make_optimizer(native)

    def make_optimizer(self, native: bool) -> torch.optim.Optimizer:
        """PyTorch's optimiser. Each group holds the tensors with the same rate and the same decay."""
        optimizer, tensors = self.recipe.optimizer, self.net.tensors()
        groups: dict[tuple[float, bool], list[Tensor]] = {}
        for name in self.recipe.learned(self.net.model):
            key = self.recipe.rate(name), optimizer.decays(self.net.model.parameters[name])
            groups.setdefault(key, []).append(tensors[name])
        self.decayed = [(tensor, rate) for (rate, decays), members in groups.items() if decays for tensor in members]
        parameters = [
            {"params": members, "weight_decay": optimizer.weight_decay * decays, "rate": rate}
            for (rate, decays), members in groups.items()
        ]
        if isinstance(optimizer, Adam):
            kind = torch.optim.AdamW if optimizer.decoupled else torch.optim.Adam
            options = {} if native else {"betas": (optimizer.beta1, optimizer.beta2), "eps": optimizer.epsilon}
            return kind(parameters, **options, fused=True)
        if optimizer.decoupled:  # PyTorch's SGD has coupled decay only: `update` decays instead
            for group in parameters:
                group["weight_decay"] = 0.0
        return torch.optim.SGD(parameters, momentum=optimizer.momentum, nesterov=optimizer.nesterov, fused=True)

    def segment(self, batches: Batches, lr: Array, record: bool) -> Array:
        net, uploaded = self.net, self.backend.on_device(batches.examples)
        net.train_all_but(self.frozen)
        variances = {node: norm.running_var.clone() for node, _, norm in self.norms()}
        rows = torch.from_numpy(batches.order).to(self.backend.torch_device)
        losses = []
        for step in range(len(batches)):
            pixels, labels = uploaded.batch(rows[step], self.backend.dtype)
            loss = loss_of(self.recipe.loss, net(pixels), labels, "mean")
            self.optimizer.zero_grad()
            loss.backward()
            self.update(float(lr[step]))
            losses.append(loss.detach())
        self.bias_variances(variances, batches)
        return torch.stack(losses).double().cpu().numpy()

    def update(self, lr: float) -> None:
        """A step of the optimiser, with L1 and decoupled decay of SGD, which PyTorch's optimisers lack."""
        optimizer = self.recipe.optimizer
        with torch.no_grad():
            for tensor, rate in self.decayed:
                if optimizer.l1:
                    tensor.grad.add_(tensor.sign(), alpha=optimizer.l1)
                if isinstance(optimizer, SGD) and optimizer.decoupled:
                    tensor.mul_(1 - lr * rate * optimizer.weight_decay)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["rate"]
        self.optimizer.step()

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
            # All networks of a process share `Net.forward`. PyTorch's default limits are 8 and, in total, 256.
            torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = NETWORKS
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
        images = torch.from_numpy(np.array(examples.images)).to(self.torch_device)  # a copy: files may be mapped
        labels = torch.from_numpy(examples.labels.astype(np.int64)).to(self.torch_device)
        return Uploaded(images, labels, examples.divisor)

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
        uploaded = self.on_device(batches.examples)
        rows = torch.from_numpy(batches.order).to(self.torch_device)
        outputs = [net(uploaded.batch(row, self.dtype)[0], upto) for row in rows]
        return torch.cat(outputs).cpu().numpy()

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
