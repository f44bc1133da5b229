"""Attacks of foolbox, with the numbers of an `Attack`, on a network that a backend has built.

The network is in evaluation mode, and compiled if a good user of the framework would compile it. foolbox does not
compile its loop.
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


def jax_without_jit(net: Any, mode: str) -> tuple[Any, Callable[[np.ndarray], Any]]:
    """The network without jit, as foolbox leaves it."""
    import jax.numpy as jnp

    return foolbox.JAXModel(lambda pixels: net.network(pixels, "logits"), BOUNDS), jnp.asarray


NETWORKS = {"pytorch": pytorch, "keras": keras, "jax": jax, "jax, not jitted": jax_without_jit}


def perturb(name: str, net: Any, mode: str = "default") -> Perturb:
    """A function that attacks pictures with foolbox. Like `Backend.perturb`, it takes and returns arrays on the host.
    In the mode "compiled", the network is compiled."""
    model, tensor = NETWORKS[name](net, mode)

    def run(pictures: Pictures, labels: np.ndarray, attack: Attack) -> Pictures:
        kind = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[attack.norm]
        foolbox_attack = kind(abs_stepsize=attack.step_size, steps=attack.steps, random_start=False)
        criteria = foolbox.criteria
        criterion = criteria.TargetedMisclassification if attack.targeted else criteria.Misclassification
        goal = criterion(tensor(labels.astype(np.int64)))
        return np.asarray(foolbox_attack.run(model, tensor(pictures), goal, epsilon=attack.epsilon))

    return run
