"""A training loop in PyTorch, with the optimisers of `harness.recipe`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.pytorch.operations import TORCH
from harness import SGD, Adam, Array, Batches, Model, Objective, Recipe, Trainer, Unsupported, picture_losses

NETWORKS = 4096
"""The number of networks that a process may compile; `samebench check` compiles hundreds."""


def allow_many_networks() -> None:
    """All networks of a process share one function, and PyTorch's default limits are 8 versions of it and, in total, 256."""
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = NETWORKS


def loss_of(loss: Objective, logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
    if loss == "logit":
        return picture_losses(TORCH, loss, logits, labels).sum()
    if loss == "softmax":
        return F.cross_entropy(logits, labels, reduction=reduction)
    return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype), reduction=reduction)


class Optimizer(Protocol):
    """An optimiser whose learning rate is given in each step."""

    def zero_grad(self) -> None: ...

    def step(self, lr: float) -> None: ...


class PublishedOptimizer:
    """PyTorch's optimisers, with L1 and decoupled decay of SGD, which they lack. With `native`, they keep their own options."""

    def __init__(self, recipe: Recipe, model: Model, tensors: Mapping[str, Tensor], native: bool = False) -> None:
        if native:
            check_native(recipe)
        self.recipe = recipe
        self.decayed: list[tuple[Tensor, float]] = []  # tensors with decay or L1, and their rates
        self.optimizer = self._make(model, tensors, native)

    def _make(self, model: Model, tensors: Mapping[str, Tensor], native: bool) -> torch.optim.Optimizer:
        """Each group of the optimiser holds the tensors with the same rate and the same decay."""
        optimizer, groups = self.recipe.optimizer, dict[tuple[float, bool], list[Tensor]]()
        for name in self.recipe.learned(model):
            key = self.recipe.rate(name), optimizer.decays(model.parameters[name])
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
        if optimizer.decoupled:  # PyTorch's SGD has coupled decay only: `step` decays instead
            for group in parameters:
                group["weight_decay"] = 0.0
        return torch.optim.SGD(parameters, momentum=optimizer.momentum, nesterov=optimizer.nesterov, fused=True)

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()

    def step(self, lr: float) -> None:
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


def check_native(recipe: Recipe) -> None:
    """Raise if PyTorch's optimisers lack an option of the recipe. The native trainer does not add it."""
    optimizer = recipe.optimizer
    if optimizer.l1:
        raise Unsupported("PyTorch's own optimisers have no L1: set l1 to 0, or use aligned semantics")
    if isinstance(optimizer, SGD) and optimizer.decoupled and optimizer.weight_decay:
        raise Unsupported("torch.optim.SGD has no decoupled weight decay: set decoupled to false, or use adamw")


class TrainingLoop(Trainer):
    """The usual loop. No step waits for the device."""

    network: Callable[[Tensor], Tensor]
    """The network in training mode."""

    batches: Callable[[Batches], Iterator[tuple[Tensor, Tensor]]]
    """The pixels and the labels of each batch, on the device."""

    recipe: Recipe
    optimizer: Optimizer

    def segment(self, batches: Batches, lr: Array, record: bool) -> Array:
        losses = []
        for (pixels, labels), rate in zip(self.batches(batches), lr.tolist(), strict=True):
            loss = loss_of(self.recipe.loss, self.network(pixels), labels, "mean")
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step(rate)
            losses.append(loss.detach())
        found: Array = torch.stack(losses).double().cpu().numpy()
        return found
