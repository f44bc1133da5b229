"""Training loops that a good user of each framework writes by hand, for the same network.

Each function takes pictures (uint8, NHWC), labels and an order of rows. It returns a function that trains over this
order once and waits for the end of the work.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Loop = Callable[[], None]


def pytorch(images: np.ndarray, labels: np.ndarray, order: np.ndarray) -> Loop:
    import torch
    from torch import nn

    x = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous(memory_format=torch.channels_last)
    y, rows = torch.from_numpy(labels.astype(np.int64)), torch.from_numpy(order.astype(np.int64))
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4096, 64), nn.ReLU(), nn.Linear(64, 10),
    ).to(memory_format=torch.channels_last)  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def train() -> None:
        network.train()
        for batch in rows:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()

    return train


def keras(images: np.ndarray, labels: np.ndarray, order: np.ndarray) -> Loop:
    import keras
    import tensorflow as tf
    from keras import layers

    network = keras.Sequential([
        keras.Input((32, 32, 3)),
        layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10),
    ])  # fmt: skip
    optimizer = keras.optimizers.Adam(1e-3)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer.build(network.trainable_variables)
    x, y = tf.constant(images.astype(np.float32) / 255), tf.constant(labels)
    batches = tf.data.Dataset.from_tensor_slices(order).map(lambda rows: (tf.gather(x, rows), tf.gather(y, rows)))
    options = tf.data.Options()
    options.autotune.enabled = False  # with autotuning, the end of a short pipeline waits for the tuner's thread
    batches = batches.prefetch(2).with_options(options)

    @tf.function
    def step(pixels: tf.Tensor, truth: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(truth, network(pixels, training=True))
        optimizer.apply(tape.gradient(loss, network.trainable_variables))

    def train() -> None:
        for pixels, truth in batches:
            step(pixels, truth)

    return train


def jax(images: np.ndarray, labels: np.ndarray, order: np.ndarray) -> Loop:
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    class Network(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv1, self.conv2 = nnx.Conv(3, 32, (3, 3), rngs=rngs), nnx.Conv(32, 64, (3, 3), rngs=rngs)
            self.dense1, self.dense2 = nnx.Linear(4096, 64, rngs=rngs), nnx.Linear(64, 10, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            for conv in (self.conv1, self.conv2):
                x = nnx.max_pool(nnx.relu(conv(x)), (2, 2), (2, 2))
            return self.dense2(nnx.relu(self.dense1(x.reshape(len(x), -1))))

    x, y = jnp.asarray(images.astype(np.float32) / 255), jnp.asarray(labels)
    graph, weights = nnx.split(Network(nnx.Rngs(0)))
    optimizer = optax.adam(1e-3)
    state = optimizer.init(weights)

    @jax.jit
    def step(weights, state, rows):
        def loss_of(weights):
            logits = nnx.merge(graph, weights)(x[rows])
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()

        updates, state = optimizer.update(jax.grad(loss_of)(weights), state)
        return optax.apply_updates(weights, updates), state

    def train() -> None:
        nonlocal weights, state
        for rows in order:
            weights, state = step(weights, state, rows)
        jax.block_until_ready(weights)

    return train
