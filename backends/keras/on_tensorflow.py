"""Keras on TensorFlow: a `tf.data` pipeline and a gradient tape."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

os.environ["KERAS_BACKEND"] = "tensorflow"  # read by Keras when it is imported, below
if hidden := "jax" not in sys.modules:
    sys.modules["jax"] = None  # type: ignore[assignment]  # TensorFlow Lite would import JAX, if it is installed

import numpy as np
import tensorflow as tf

if hidden:
    del sys.modules["jax"]

from backends.keras.backend import Net, hookimpl, keras, objective_of, ops
from backends.keras.fit import FitBackend
from backends.keras.pipeline import TensorFlowPipeline, without_autotuning
from harness import Array, AttackKind, AttackNumbers, Batches, Device, Examples, FileExamples, Objective, attack_step

AHEAD = 2
"""The number of batches that the pipeline prepares ahead."""


class Uploaded(NamedTuple):
    """Examples on the device. Pictures are as they are stored."""

    images: tf.Tensor
    labels: tf.Tensor
    divisor: tf.Tensor


class Pictures:
    """Variables with uploaded examples, so that a compiled step can have other examples of the same type and size. They share the
    memory of the examples."""

    def __init__(self, uploaded: Uploaded) -> None:
        self.kept = uploaded
        self.variables = [
            tf.Variable(part, shape=(None, *part.shape[1:]) if part.shape.rank else (), trainable=False)
            for part in uploaded
        ]

    def fit(self, uploaded: Uploaded) -> bool:
        """Whether these variables can have the examples."""
        return all(
            variable.dtype == part.dtype and variable.shape.is_compatible_with(part.shape)
            for variable, part in zip(self.variables, uploaded)
        )

    def keep(self, uploaded: Uploaded) -> None:
        if self.kept is not uploaded:
            for variable, part in zip(self.variables, uploaded):
                variable.assign(part)
            self.kept = uploaded

    def batch(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels, divisor = (variable.value() for variable in self.variables)
        return tf.cast(tf.gather(images, rows), divisor.dtype) / divisor, tf.gather(labels, rows)


class GatheringModel(keras.Model):
    """A functional model whose steps gather the pictures of a batch from their rows. With `--pipeline own`, batches are complete."""

    pictures: Pictures | None = None

    def keep(self, uploaded: Uploaded) -> None:
        """Prepare the steps for these examples."""
        if self.pictures is None or not self.pictures.fit(uploaded):
            self.pictures = Pictures(uploaded)
            self.train_function = self.predict_function = None  # they have the old variables
        self.pictures.keep(uploaded)

    def batch(self, data: Any) -> Any:
        return data if self.pictures is None or isinstance(data, tuple) else self.pictures.batch(data)

    def train_step(self, data: Any) -> Any:
        return super().train_step(self.batch(data))

    def predict_step(self, data: Any) -> Any:
        return super().predict_step(self.batch(data))


class Rows:
    """A pipeline of the rows of each batch. It is built once; each segment assigns its order."""

    def __init__(self) -> None:
        with tf.device("CPU:0"):  # tf.data runs on the CPU, and a GPU gets the rows ahead of time
            self.order = tf.Variable(np.zeros((1, 1), np.int32), shape=(None, None), trainable=False)
        steps = tf.data.Dataset.counter().take_while(lambda step: step < tf.shape(self.order, tf.int64)[0])
        self.pipeline = without_autotuning(steps.map(lambda step: self.order[step]).prefetch(AHEAD))

    def batches(self, order: Array) -> tf.data.Dataset:
        self.order.assign(order)
        return self.pipeline


class KerasTensorFlow(FitBackend):
    name = "keras"
    auto = {"cpu": "no XLA", "gpu": "XLA"}
    model_class = GatheringModel

    def start(self, device: str) -> Device:
        gpus = tf.config.list_physical_devices("GPU")
        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
        tf.config.experimental.enable_tensor_float_32_execution(self.precision in ("tf32", "bfloat16"))
        tf.get_logger().setLevel("ERROR")  # no warnings about retracing, which many networks in a process cause
        self.start_keras("tensorflow")
        self.rows = Rows()
        return "gpu" if gpus and device != "cpu" else "cpu"

    def settings(self) -> dict[str, str]:
        return super().settings() | {"tf.data": f"autotune off, {AHEAD} batches ahead"}

    def versions(self) -> dict[str, str]:
        return {"keras": keras.__version__, "tensorflow": tf.__version__}

    def upload(self, examples: Examples) -> Uploaded:
        divisor = tf.constant(examples.divisor, keras.config.floatx())
        return Uploaded(tf.constant(examples.images), tf.constant(examples.labels), divisor)

    def own_pipeline(self, examples: FileExamples) -> TensorFlowPipeline:
        return TensorFlowPipeline(examples, AHEAD)

    def feed(self, model: GatheringModel, batches: Batches) -> tf.data.Dataset:
        source = self.on_device(batches.examples)
        if isinstance(source, TensorFlowPipeline):
            return source.batches(batches.order)
        model.keep(source)
        return self.rows.batches(batches.order)

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
