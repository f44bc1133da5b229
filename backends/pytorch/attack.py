"""One step of an attack on pictures that stay on the device: `harness.attack` in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from harness import VARIATION_SMOOTHING, Attack


def step(attack: Attack, pictures: Tensor, images: Tensor, gradient: Tensor) -> Tensor:
    """The pictures after one step; `gradient` is that of the loss, or of minus the logit."""
    slope = -gradient if attack.targeted else gradient
    if attack.variation:
        slope = levelled(slope) - attack.variation * variation_slope(pictures)
    if attack.norm == "linf":
        moved = pictures + attack.step_size * slope.sign()
        near = moved.clamp(images - attack.epsilon, images + attack.epsilon)
    elif attack.norm == "l2":
        moved = pictures + attack.step_size * over(slope, lengths(slope))
        change = moved - images
        length = lengths(change)
        near = torch.where(length > attack.epsilon, images + change * (attack.epsilon / length), moved)
    else:
        near = pictures + attack.step_size * levelled(slope)
    return near.clamp(0, 1)


def variation_slope(pictures: Tensor) -> Tensor:
    """The derivative of the total variation with respect to each pixel."""
    down = F.pad(pictures[:, 1:] - pictures[:, :-1], (0, 0, 0, 0, 0, 1))
    right = F.pad(pictures[:, :, 1:] - pictures[:, :, :-1], (0, 0, 0, 1))
    length = (down.square() + right.square() + VARIATION_SMOOTHING**2).sqrt()
    down, right = down / length, right / length
    slope = -(down + right)
    slope[:, 1:] += down[:, :-1]
    slope[:, :, 1:] += right[:, :, :-1]
    return slope


def levelled(gradient: Tensor) -> Tensor:
    """The gradient with a root mean square of 1 in each picture, or of 0."""
    return gradient[0].numel() ** 0.5 * over(gradient, lengths(gradient))


def lengths(pictures: Tensor) -> Tensor:
    return pictures.square().sum((1, 2, 3), keepdim=True).sqrt()


def over(value: Tensor, length: Tensor) -> Tensor:
    """value / length, and 0 where the length is 0."""
    return torch.where(length > 0, value / length, 0.0)
