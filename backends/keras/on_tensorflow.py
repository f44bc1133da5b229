"""Keras on TensorFlow: a `tf.data` pipeline and a gradient tape."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

os.environ["KERAS_BACKEND"] = "tensorflow"  # read by Keras when it is imported, below

import numpy as np
import tensorflow as tf

from backends.keras.backend import KerasBackend, Net, hookimpl, keras, objective_of, ops
from harness import Array, AttackKind, AttackNumbers, Batches, Device, Examples, Objective, attack_step

AHEAD = 2
"""The number of batches that the pipeline prepares ahead."""


def fixed_pipeline() -> tf.data.Options:
    """Options of a pipeline without autotuning.

    With autotuning, the end of `fit` waits for the tuner's thread. This thread sleeps for 10, 20, 40, ... ms, so every
    call takes 1.27, 2.55 or 5.11 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


class Uploaded(NamedTuple):
    """A pipeline that gathers batches of the examples in the order that the variable `order` holds.

    The pipeline is built once. Each segment assigns its order.
    """

    order: tf.Variable
    pipeline: tf.data.Dataset


class KerasTensorFlow(KerasBackend):
    name = "keras"
    auto = {"cpu": "no XLA", "gpu": "XLA"}

    def start(self, device: str) -> Device:
        gpus = tf.config.list_physical_devices("GPU")
        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
        tf.config.experimental.enable_tensor_float_32_execution(self.precision in ("tf32", "bfloat16"))
        tf.get_logger().setLevel("ERROR")  # no warnings about retracing, which many networks in a process cause
        self.start_keras("tensorflow")
        return "gpu" if gpus and device != "cpu" else "cpu"

    def settings(self) -> dict[str, str]:
        return super().settings() | {"tf.data": f"autotune off, {AHEAD} batches ahead"}

    def versions(self) -> dict[str, str]:
        return {"keras": keras.__version__, "tensorflow": tf.__version__}

    def upload(self, examples: Examples) -> Uploaded:
        dtype, divisor = keras.config.floatx(), examples.divisor  # the pipeline must not hold the examples
        with tf.device("CPU:0"):  # tf.data runs on the CPU, and a GPU gets its batches ahead of time
            images, labels = tf.constant(examples.images), tf.constant(examples.labels)
            order = tf.Variable(np.zeros((1, 1), np.int32), shape=(None, None), trainable=False)

        def is_left(step: tf.Tensor) -> tf.Tensor:
            return step < tf.shape(order, tf.int64)[0]

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = order[step]
            pixels = tf.cast(tf.gather(images, rows), dtype) / tf.constant(divisor, dtype)
            return pixels, tf.gather(labels, rows)

        pipeline = tf.data.Dataset.counter().take_while(is_left).map(batch).prefetch(AHEAD)
        return Uploaded(order, pipeline.with_options(fixed_pipeline()))

    def feed(self, batches: Batches) -> tf.data.Dataset:
        uploaded = self.on_device(batches.examples)
        uploaded.order.assign(batches.order)
        return uploaded.pipeline

    def device_of(self, net: Net) -> Device:
        return "gpu" if "GPU" in net.keras["logits"].variables[0].value.device else "cpu"

    def input_gradient(self, net: Net, images: Array, labels: Array, objective: Objective) -> Array:
        gradient = net.gradient_of(objective)
        return gradient(tf.constant(images, keras.config.floatx()), tf.constant(labels)).numpy()

    def gradient_function(self, net: Net, objective: Objective) -> Any:
        @tf.function(jit_compile=self.mode == "compiled", reduce_retracing=True)
        def gradient(pixels: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(pixels)
                total = objective_of(objective)(labels, net.keras["logits"](pixels, training=False))
            return tape.gradient(total, pixels)

        return gradient

    def attack_function(self, net: Net, kind: AttackKind, objective: Objective) -> Any:
        gradient, compiled = net.gradient_of(objective), self.mode == "compiled"

        @tf.function(jit_compile=compiled, reduce_retracing=True)
        def one_step(pictures: tf.Tensor, images: tf.Tensor, labels: tf.Tensor, numbers: AttackNumbers) -> tf.Tensor:
            return attack_step(ops, kind, numbers, pictures, images, gradient(pictures, labels))

        @tf.function(jit_compile=compiled, reduce_retracing=True)
        def all_steps(pictures: tf.Tensor, steps: tf.Tensor, *given: Any) -> tf.Tensor:
            for _ in tf.range(steps):
                pictures = one_step(pictures, *given)
            return pictures

        def attack(pictures: tf.Tensor, *given: Any) -> tf.Tensor:
            *others, steps = given
            if not compiled or self.device == "gpu":
                return all_steps(pictures, tf.constant(steps), *others)
            for _ in range(steps):  # on a CPU, XLA runs convolutions inside its own loops many times slower
                pictures = one_step(pictures, *others)
            return pictures

        return attack

    def accelerator(self) -> dict[str, str]:
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        built = tf.sysconfig.get_build_info()
        found = {
            "name": details.get("device_name"),
            "CUDA": built.get("cuda_version"),
            "cuDNN": built.get("cudnn_version"),
        }
        return {name: str(version) for name, version in found.items() if version}

    def peak_device_bytes(self) -> int | None:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] if self.device == "gpu" else None


@hookimpl
def samebench_backend() -> type[Any]:
    return KerasTensorFlow
