"""Each layer of the specification in Flax NNX: standard modules and functions wherever they compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from harness import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Node,
    Normalize,
    Unsupported,
    Window,
    max_pool,
    window_places,
)

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": nnx.relu,
    "relu6": lambda x: jnp.where(x < 6, nnx.relu(x), 6),  # nnx.relu6 has slope 0.5 at 0 and at 6
    "swish": nnx.swish,
    "sigmoid": nnx.sigmoid,
    "tanh": nnx.tanh,
}


def lower(node: Node, dtype: Any, multiply_dtype: Any, first: Mapping[str, Any]) -> Callable[..., jax.Array]:
    """A node as a Flax module if it has tensors or state, else as a function. `first` holds options of the initial
    weights."""
    layer, channels = node.layer, node.input_shape[-1]
    match layer:
        case Normalize():
            return partial(normalize, np.array(layer.mean), np.array(layer.std))
        case Conv():
            window = layer.window
            depthwise = layer.groups == channels == layer.channels > 1
            kind = ShiftedSums if depthwise and multiply_dtype == dtype and on_cpu() else nnx.Conv
            return kind(
                channels, layer.channels, window.kernel, window.stride, padding=window.padding,
                feature_group_count=layer.groups, use_bias=layer.bias, dtype=multiply_dtype, param_dtype=dtype, **first,
            )  # fmt: skip
        case Dense():
            return nnx.Linear(
                channels, layer.units, use_bias=layer.bias, dtype=multiply_dtype, param_dtype=dtype, **first
            )
        case BatchNorm():
            return nnx.BatchNorm(
                channels, momentum=layer.momentum, epsilon=layer.epsilon, use_scale=layer.scale, use_bias=layer.centre,
                use_fast_variance=False, dtype=dtype, param_dtype=dtype, rngs=nnx.Rngs(0),
            )  # fmt: skip
        case Activation():
            return ACTIVATIONS[layer.function]
        case MaxPool():
            # On a CPU, this is twice as fast as `nnx.max_pool`, whose gradient is a scatter.
            return partial(max_pool, jnp, layer.window)
        case AvgPool():
            window = layer.window
            return partial(
                nnx.avg_pool, window_shape=window.kernel, strides=window.stride, padding=window.padding,
                count_include_pad=layer.count_padding,
            )  # fmt: skip
        case GlobalAvgPool():
            return partial(jnp.mean, axis=(1, 2))
        case Flatten():
            return lambda x: x.reshape(len(x), -1)
        case Dropout():
            return nnx.Dropout(layer.rate, rngs=nnx.Rngs(0))
        case Add():
            return jnp.add
        case Concat():
            return lambda *parts: jnp.concatenate(parts, -1)
    raise Unsupported(
        f"jax has no layer {type(layer).__name__}: add it to {__name__}, or leave jax out", code="unsupported-layer"
    )


def normalize(mean: np.ndarray, std: np.ndarray, x: jax.Array) -> jax.Array:
    return (x - mean.astype(x.dtype)) / std.astype(x.dtype)


def on_cpu() -> bool:
    """Whether `Jax.start` has chosen a CPU."""
    device = jax.config.jax_default_device
    return bool(device) and device.platform == "cpu"


class ShiftedSums(nnx.Conv):
    """A depthwise convolution as a sum of shifted pictures, each multiplied by a value of the kernel.

    XLA has no depthwise kernel for CPUs. There, this is about ten times as fast as `nnx.Conv` in float32, forward and
    backward, and even faster in float64.
    """

    def __call__(self, inputs: jax.Array) -> jax.Array:
        window = Window(self.kernel_size, self.strides, self.padding)
        kernel = self.kernel.get_value()[:, :, 0]
        places = window_places(jnp, window, inputs)
        output = sum(place * kernel[at] for at, place in zip(np.ndindex(*window.kernel), places))
        return output if self.bias is None else output + self.bias.get_value()
