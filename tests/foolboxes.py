"""A network that a backend of ours has built, as foolbox takes it; and its attacks, with our numbers.

foolbox does not compile its loop; the network is given to it as a good user of each framework would: in evaluation mode,
and compiled where that is the framework's way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import foolbox
import numpy as np

from harness.attack import Attack

BOUNDS = (0, 1)
Pictures = np.ndarray
Perturb = Callable[[Pictures, np.ndarray, Attack], Pictures]


def pytorch(net: Any, mode: str) -> tuple[Any, Callable[[np.ndarray], Any]]:
    import torch

    net.eval()
    return foolbox.PyTorchModel(net, BOUNDS, device="cpu"), torch.from_numpy


def keras(net: Any, mode: str) -> tuple[Any, Callable[[np.ndarray], Any]]:
    import tensorflow as tf

    logits = tf.function(lambda pixels: net.keras["logits"](pixels, training=False), jit_compile=mode == "compiled")
    return foolbox.TensorFlowModel(logits, BOUNDS, device="/CPU:0"), tf.constant


def jax(net: Any, mode: str) -> tuple[Any, Callable[[np.ndarray], Any]]:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    graph, state = nnx.split(net.network)
    logits = jax.jit(lambda pixels: nnx.merge(graph, state)(pixels, "logits"))
    return foolbox.JAXModel(logits, BOUNDS), jnp.asarray


def jax_as_it_comes(net: Any, mode: str) -> tuple[Any, Callable[[np.ndarray], Any]]:
    """Without the jit that foolbox does not put around it."""
    import jax.numpy as jnp

    return foolbox.JAXModel(lambda pixels: net.network(pixels, "logits"), BOUNDS), jnp.asarray


NETWORKS = {"pytorch": pytorch, "keras": keras, "jax": jax, "jax, not jitted": jax_as_it_comes}


def perturb(name: str, net: Any, mode: str = "default") -> Perturb:
    """foolbox's way from pictures to attacked ones, on the host at both ends, as ours is. In the mode "compiled" the network
    that it is given is compiled as well."""
    model, tensor = NETWORKS[name](net, mode)

    def run(pictures: Pictures, labels: np.ndarray, attack: Attack) -> Pictures:
        kind = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[attack.norm]
        its = kind(abs_stepsize=attack.step_size, steps=attack.steps, random_start=False)
        wish = foolbox.criteria.TargetedMisclassification if attack.targeted else foolbox.criteria.Misclassification
        made = its.run(model, tensor(pictures), wish(tensor(labels.astype(np.int64))), epsilon=attack.epsilon)
        return np.asarray(made)

    return run
