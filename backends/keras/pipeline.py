"""Batches of pictures that tf.data reads from files, and that Keras' layers change at random."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import PurePath

import keras
import numpy as np
import tensorflow as tf

from harness import Array, Augmentation, FileExamples, Unsupported, cores

READS = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
"""The formats that TensorFlow decodes."""


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The pipeline without autotuning.

    With autotuning, the end of `fit` waits for the tuner's thread. This thread sleeps for 10, 20, 40, ... ms, so every
    call takes 1.27, 2.55 or 5.11 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


class TensorFlowPipeline:
    """The pipeline is built once for each batch size. Each segment assigns the order of its rows."""

    def __init__(self, examples: FileExamples, ahead: int) -> None:
        self.about = (
            f"tf.data, {cores()} pictures at once, {ahead} batches ahead; tf.image; random changes by Keras' layers"
        )
        self.shape, self.divisor, self.ahead = examples.images.shape[1:], examples.divisor, ahead
        others = {PurePath(file).suffix.lower() for file in examples.files} - {*READS}
        if others:
            raise Unsupported(
                f"TensorFlow cannot decode pictures that end in {', '.join(sorted(others))}: give pictures "
                f"in {', '.join(READS)}, or use --pipeline harness",
                code="unknown-format",
            )
        with tf.device("CPU:0"):  # tf.data runs on the CPU, and a GPU gets its batches ahead of time
            self.files = tf.constant([os.fsencode(file) for file in examples.files])
            self.labels = tf.constant(examples.labels)
            self.rows = tf.Variable(np.zeros(1, np.int32), shape=(None,), trainable=False)
        self.crop = examples.augmentation.crop
        self.change = changes(examples.augmentation, examples.seed)
        self.seed = examples.seed
        self.of = cache(self._of)

    def batches(self, order: Array) -> tf.data.Dataset:
        """Pixels and labels."""
        self.rows.assign(order.ravel())
        return self.of(order.shape[1])

    def _of(self, batch_size: int) -> tf.data.Dataset:
        left = tf.data.Dataset.counter().take_while(lambda step: step < tf.shape(self.rows, tf.int64)[0])
        pictures = left.map(self._read, num_parallel_calls=cores()).batch(batch_size)
        return without_autotuning(pictures.map(self._finish, num_parallel_calls=1).prefetch(self.ahead))

    def _read(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        row = self.rows[step]
        picture = tf.io.decode_image(tf.io.read_file(self.files[row]), self.shape[-1], expand_animations=False)
        return self._fitted(picture), self.labels[row]

    def _fitted(self, picture: tf.Tensor) -> tf.Tensor:
        """The largest centred box with the aspect of the shape, or with random crops a box inside it, resized to the shape."""
        whole = tf.cast(tf.shape(picture)[:2], tf.float32)
        box = self.shape[:2] * tf.reduce_min(whole / self.shape[:2])
        corner = (whole - box) / 2
        if self.crop:
            side = 1 - self.crop * tf.random.uniform((), seed=self.seed)
            corner += box * (1 - side) * tf.random.uniform((2,), seed=self.seed)
            box *= side
        corner, box = tf.cast(tf.round(corner), tf.int32), tf.maximum(tf.cast(tf.round(box), tf.int32), 1)
        part = picture[corner[0] : corner[0] + box[0], corner[1] : corner[1] + box[1]]
        return tf.ensure_shape(tf.image.resize(part, self.shape[:2], antialias=True), self.shape)

    def _finish(self, pictures: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(self.change(pictures), keras.config.floatx()) / self.divisor, labels


def changes(augmentation: Augmentation, seed: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Keras' layers for the random changes of a batch, except crops."""
    filled, values = {"fill_mode": "reflect", "seed": seed}, {"value_range": (0, 255), "seed": seed}
    layers = [
        layer
        for size, layer in (
            (augmentation.flip, keras.layers.RandomFlip("horizontal", seed=seed)),
            (augmentation.rotation, keras.layers.RandomRotation(augmentation.rotation / 360, **filled)),
            (augmentation.zoom, keras.layers.RandomZoom((-augmentation.zoom, augmentation.zoom), **filled)),
            (augmentation.translation, keras.layers.RandomTranslation(*[augmentation.translation] * 2, **filled)),
            (augmentation.brightness, keras.layers.RandomBrightness(augmentation.brightness, **values)),
            (augmentation.contrast, keras.layers.RandomContrast(augmentation.contrast, **values)),
        )
        if size
    ]

    def change(pictures: tf.Tensor) -> tf.Tensor:
        for layer in layers:
            pictures = layer(pictures, training=True)
        return pictures

    return change
