"""Loops that a good user of each framework writes to extract features.

Each function takes a network that a backend has built, so only the loops differ. The pictures are already
floating-point numbers. It returns a function that returns all features on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Loop = Callable[[], np.ndarray]


def pytorch(net: Any, pictures: np.ndarray, batch: int) -> Loop:
    import torch

    x = torch.from_numpy(pictures)

    def extract() -> np.ndarray:
        net.eval()
        with torch.inference_mode():
            return torch.cat([net(part, "features") for part in x.split(batch)]).numpy()

    return extract


def keras(net: Any, pictures: np.ndarray, batch: int) -> Loop:
    return lambda: net.keras["features"].predict(pictures, batch_size=batch, verbose=0)


def jax(net: Any, pictures: np.ndarray, batch: int) -> Loop:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    graph, state = nnx.split(net.network)
    features = jax.jit(lambda state, pixels: nnx.merge(graph, state)(pixels, "features"))
    parts = [jnp.asarray(pictures[start : start + batch]) for start in range(0, len(pictures), batch)]

    def extract() -> np.ndarray:
        return np.concatenate(jax.device_get([features(state, part) for part in parts]))  # dispatched at once

    return extract
