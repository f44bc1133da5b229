"""One step of an attack on pictures that stay on the device: `harness.attack` in JAX."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from harness import VARIATION_SMOOTHING, AttackKind, AttackNumbers


@partial(jax.jit, static_argnames="kind")
def step(
    kind: AttackKind, numbers: AttackNumbers, pictures: jax.Array, images: jax.Array, gradient: jax.Array
) -> jax.Array:
    """The pictures after one step; `gradient` is that of the loss, or of minus the logit."""
    slope = -gradient if kind.targeted else gradient
    if kind.smooth:
        slope = levelled(slope) - numbers.variation * variation_slope(pictures)
    if kind.norm == "linf":
        moved = pictures + numbers.step_size * jnp.sign(slope)
        near = jnp.clip(moved, images - numbers.epsilon, images + numbers.epsilon)
    elif kind.norm == "l2":
        moved = pictures + numbers.step_size * over(slope, lengths(slope))
        change = moved - images
        length = lengths(change)
        near = jnp.where(length > numbers.epsilon, images + change * over(numbers.epsilon, length), moved)
    else:
        near = pictures + numbers.step_size * levelled(slope)
    return jnp.clip(near, 0, 1)


def variation_slope(pictures: jax.Array) -> jax.Array:
    """The derivative of the total variation with respect to each pixel."""
    down = jnp.diff(pictures, axis=1, append=pictures[:, -1:])
    right = jnp.diff(pictures, axis=2, append=pictures[:, :, -1:])
    length = jnp.sqrt(down**2 + right**2 + VARIATION_SMOOTHING**2)
    down, right = down / length, right / length
    return (-(down + right)).at[:, 1:].add(down[:, :-1]).at[:, :, 1:].add(right[:, :, :-1])


def levelled(gradient: jax.Array) -> jax.Array:
    """The gradient with a root mean square of 1 in each picture, or of 0."""
    return gradient[0].size ** 0.5 * over(gradient, lengths(gradient))


def lengths(pictures: jax.Array) -> jax.Array:
    return jnp.sqrt((pictures**2).sum((1, 2, 3), keepdims=True))


def over(value: jax.Array, length: jax.Array) -> jax.Array:
    """value / length, and 0 where the length is 0."""
    return jnp.where(length > 0, value / length, 0)
