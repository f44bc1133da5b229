"""The array operations of samebench in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Sides = Sequence[tuple[int, int]]


def flat_sides(sides: Sides) -> list[int]:
    """The padding as an argument of `F.pad`: the last axis comes first."""
    return [count for pair in reversed(sides) for count in pair]


class TorchOperations:
    """Functions of PyTorch with the names and arguments of NumPy."""

    sign, sqrt, exp, log, tanh = map(staticmethod, (torch.sign, torch.sqrt, torch.exp, torch.log, torch.tanh))
    where, ones_like, concatenate = map(staticmethod, (torch.where, torch.ones_like, torch.cat))
    clip, sum, mean, max = map(staticmethod, (torch.clamp, torch.sum, torch.mean, torch.amax))

    @staticmethod
    def pad(x: Tensor, sides: Sides, *, constant_values: float = 0.0) -> Tensor:
        return F.pad(x, flat_sides(sides), value=constant_values)

    @staticmethod
    def take_along_axis(x: Tensor, places: Tensor, axis: int) -> Tensor:
        return torch.take_along_dim(x, places.long(), axis)


TORCH = TorchOperations()
