"""Keras on JAX: batches from a `PyDataset`, gradients from `jax.grad` of the stateless model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # read by Keras when it is imported, below

import jax
import jax.numpy as jnp
import numpy as np

from backends.jax.pipeline import GrainPipeline
from backends.keras.backend import Net, hookimpl, keras, objective_of, ops
from backends.keras.fit import FitBackend
from harness import Array, AttackKind, AttackNumbers, Batches, Device, Examples, FileExamples, Objective, attack_step


class HostPictures:
    """Pictures and labels on the host."""

    def __init__(self, examples: Examples, dtype: str) -> None:
        self.images, self.labels = examples.images, examples.labels
        self.divisor = np.asarray(examples.divisor, dtype)

    def batch(self, rows: Array) -> tuple[Array, Array]:
        return self.images[rows].astype(self.divisor.dtype) / self.divisor, self.labels[rows]


class HostBatches(keras.utils.PyDataset):
    """A batch for each row of `order`."""

    def __init__(self, pictures: HostPictures, order: Array) -> None:
        super().__init__()
        self.pictures, self.order = pictures, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, step: int) -> tuple[Array, Array]:
        return self.pictures.batch(self.order[step])


def state_of(net: Net) -> list[list[jax.Array]]:
    """The values of the trainable variables, and of the others."""
    model = net.keras["logits"]
    return [[v.value for v in variables] for variables in (model.trainable_variables, model.non_trainable_variables)]


class KerasJax(FitBackend):
    name = "keras-on-jax"
    modes = ("default",)  # always compiled
    auto = {"cpu": "jit", "gpu": "jit"}

    def start(self, device: str) -> Device:
        jax.config.update("jax_enable_x64", self.precision == "float64")
        multiply = {"tf32": "tensorfloat32", "bfloat16": "bfloat16"}.get(self.precision, "highest")
        jax.config.update("jax_default_matmul_precision", multiply)
        place = jax.devices(None if device == "auto" else device)[0]
        jax.config.update("jax_default_device", place)
        self.start_keras("jax")
        return "cpu" if place.platform == "cpu" else "gpu"

    def versions(self) -> dict[str, str]:
        return {"keras": keras.__version__, "jax": jax.__version__}

    def settings(self) -> dict[str, str]:
        return super().settings() | {"pictures": "gathered on the host"}

    def upload(self, examples: Examples) -> HostPictures:
        return HostPictures(examples, keras.config.floatx())

    def own_pipeline(self, examples: FileExamples) -> GrainPipeline:
        return GrainPipeline(examples)

    def feed(self, model: keras.Model, batches: Batches) -> HostBatches | Iterator[tuple[Array, Array]]:
        source = self.on_device(batches.examples)
        if isinstance(source, HostPictures):
            return HostBatches(source, batches.order)
        divisor = np.asarray(batches.examples.divisor, keras.config.floatx())
        return ((images.astype(divisor.dtype) / divisor, labels) for images, labels in source.batches(batches.order))

    def device_of(self, net: Net) -> Device:
        (device,) = net.keras["logits"].variables[0].value.devices()
        return "cpu" if device.platform == "cpu" else "gpu"

    def input_gradient(self, net: Net, images: Array, labels: Array, objective: Objective) -> Array:
        gradient = net.gradient_of(objective)
        return np.array(gradient(jnp.asarray(images, keras.config.floatx()), jnp.asarray(labels), *state_of(net)))

    def gradient_function(self, net: Net, objective: Objective) -> Any:
        @jax.jit
        @partial(jax.grad)
        def gradient(pixels: jax.Array, labels: jax.Array, trainable: Any, others: Any) -> jax.Array:
            logits, _ = net.keras["logits"].stateless_call(trainable, others, pixels, training=False)
            return objective_of(objective)(labels, logits)

        return gradient

    def attack_function(self, net: Net, kind: AttackKind, objective: Objective) -> Any:
        gradient = net.gradient_of(objective)

        @jax.jit
        def one_step(
            pictures: jax.Array, images: jax.Array, labels: jax.Array, numbers: AttackNumbers, state: Any
        ) -> jax.Array:
            return attack_step(ops, kind, numbers, pictures, images, gradient(pictures, labels, *state))

        @jax.jit
        def all_steps(steps: int, pictures: jax.Array, *given: Any) -> jax.Array:
            return jax.lax.fori_loop(0, steps, lambda _, pictures: one_step(pictures, *given), pictures)

        def attack(pictures: jax.Array, *given: Any) -> jax.Array:
            *others, steps = given
            state = state_of(net)
            if self.device == "gpu":
                return all_steps(steps, pictures, *others, state)
            for _ in range(steps):  # on a CPU, XLA runs convolutions inside its own loops many times slower
                pictures = one_step(pictures, *others, state)
            return pictures

        return attack

    def accelerator(self) -> dict[str, str]:
        place = jax.devices()[0]
        return {"name": place.device_kind, "platform": place.client.platform_version.replace("\n", ", ")}

    def peak_device_bytes(self) -> int | None:
        statistics = jax.devices()[0].memory_stats() if self.device == "gpu" else None
        return statistics["peak_bytes_in_use"] if statistics else None


@hookimpl
def samebench_backend() -> type[KerasJax]:
    return KerasJax
