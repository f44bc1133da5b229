"""Programs that an experienced user of JAX, Flax and Optax would write. They are the yardsticks of the backend `jax`.

`docs/overhead.md` says what such a file contains. The networks are written by hand. Only EfficientNet-Lite0, which is
long, is the network that the backend has built.
"""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx


def pooled(x):
    """Max pooling of 2 by 2 pixels. On a CPU it is faster than `nnx.max_pool`, whose gradient is a scatter."""
    n, rows, columns, channels = x.shape
    return x.reshape(n, rows // 2, 2, columns // 2, 2, channels).max((2, 4))


class TwoBlockCNN(nnx.Module):
    def __init__(self, rngs):
        self.conv1, self.conv2 = nnx.Conv(3, 32, (3, 3), rngs=rngs), nnx.Conv(32, 64, (3, 3), rngs=rngs)
        self.dense1, self.dense2 = nnx.Linear(4096, 64, rngs=rngs), nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        for conv in (self.conv1, self.conv2):
            x = pooled(nnx.relu(conv(x)))
        return self.dense2(nnx.relu(self.dense1(x.reshape(len(x), -1))))

    def layers(self):
        return [self.conv1, self.conv2, self.dense1, self.dense2]


class Block(nnx.Module):
    def __init__(self, before, channels, rngs):
        conv = partial(nnx.Conv, padding=1, use_bias=False, rngs=rngs)
        norm = partial(nnx.BatchNorm, channels, momentum=0.9, epsilon=1e-5, rngs=rngs)
        stride = channels // before
        self.conv1, self.norm1 = conv(before, channels, (3, 3), stride), norm()
        self.conv2, self.norm2 = conv(channels, channels, (3, 3)), norm()
        self.projects = stride > 1
        if self.projects:
            self.conv3, self.norm3 = conv(before, channels, (1, 1), stride, padding=0), norm()

    def __call__(self, x):
        y = nnx.relu(self.norm1(self.conv1(x)))
        return nnx.relu(self.norm2(self.conv2(y)) + (self.norm3(self.conv3(x)) if self.projects else x))

    def layers(self):
        shortcut = [self.conv3, self.norm3] if self.projects else []
        return [self.conv1, self.norm1, self.conv2, self.norm2, *shortcut]


class ResNet20(nnx.Module):
    def __init__(self, rngs):
        channels = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
        self.conv = nnx.Conv(3, 16, (3, 3), padding=1, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(16, momentum=0.9, epsilon=1e-5, rngs=rngs)
        self.blocks = nnx.List([Block(*pair, rngs) for pair in pairwise(channels)])
        self.dense = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.conv(x)))
        for block in self.blocks:
            x = block(x)
        return self.dense(x.mean((1, 2)))

    def layers(self):
        return [self.conv, self.norm, *(layer for block in self.blocks for layer in block.layers()), self.dense]


def load(network, weights):
    """Load the first weights."""
    names = {"offset": "bias", "variance": "var"}
    for layer, tensors in zip(network.layers(), weights, strict=True):
        for name, tensor in tensors.items():
            variable = getattr(layer, names.get(name, name))
            assert variable.shape == tensor.shape, (variable.shape, tensor.shape)
            variable.set_value(jnp.asarray(tensor))
    return network


def training(given, network, optimizer, learns=nnx.Param):
    """The training loop. `learns` selects the variables that are trained."""
    x, y = jnp.asarray(given.images.astype(np.float32) / 255), jnp.asarray(given.labels)
    graph, weights, rest = nnx.split(network, learns, ...)
    # The step gives these buffers back to be written again, so it needs copies of its own.
    weights, rest = jax.tree.map(jnp.copy, (weights, rest))
    state = optimizer.init(weights)

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(weights, rest, state, x, y, rows):
        def loss_of(weights):
            running = nnx.merge(graph, weights, rest, copy=True)
            loss = optax.softmax_cross_entropy_with_integer_labels(running(x[rows]), y[rows]).mean()
            return loss, nnx.state(running, nnx.Not(learns))

        (loss, rest), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights)
        updates, state = optimizer.update(gradients, state, weights)
        return optax.apply_updates(weights, updates), rest, state, loss

    def over(order):
        rows = jnp.asarray(order)

        def train():
            nonlocal weights, rest, state
            losses = []
            for batch in rows:
                weights, rest, state, loss = step(weights, rest, state, x, y, batch)
                losses.append(loss)
            return float(jnp.stack(losses).mean())

        return train

    return over


def two_block_cnn(given):
    return {"jitted step": training(given, load(TwoBlockCNN(nnx.Rngs(0)), given.weights), optax.adam(1e-3))}


def cifar_resnet(given):
    return {"jitted step": training(given, load(ResNet20(nnx.Rngs(0)), given.weights), optax.sgd(0.1, momentum=0.9))}


def feature_extraction(given):
    graph, state = nnx.split(given.network().network)
    x = jnp.asarray(given.images.astype(np.float32) / 255)
    features = jax.jit(lambda state, x, rows: nnx.merge(graph, state)(x[rows], "features"))

    def over(order):
        rows = jnp.asarray(order)
        return lambda: np.concatenate(jax.device_get([features(state, x, batch) for batch in rows]))

    return {"jitted loop": over}


class WithLogits(nnx.Module):
    """The backend's network takes the layer up to which it runs."""

    def __init__(self, network):
        self.network = network

    def __call__(self, x):
        return self.network(x, "logits")


def fine_tuning(given):
    def learns(path, value):
        return isinstance(value, nnx.Param) and path[1] in given.learned

    return {"jitted step": training(given, WithLogits(given.network().network), optax.adam(1e-4), learns)}


def adversarial(given):
    """Projected gradient descent: the pictures come from the host, and return to it."""
    graph, state = nnx.split(load(TwoBlockCNN(nnx.Rngs(0)), given.weights))
    images, labels = np.float32(given.images) / 255, given.labels

    def loss_of(x, state, y):
        return optax.softmax_cross_entropy_with_integer_labels(nnx.merge(graph, state)(x), y).sum()

    @jax.jit
    def step(adversarial, first, y, state):
        moved = adversarial + given.step_size * jnp.sign(jax.grad(loss_of)(adversarial, state, y))
        return jnp.clip(jnp.clip(moved, first - given.epsilon, first + given.epsilon), 0, 1)

    @jax.jit
    def whole(first, y, state):
        return jax.lax.fori_loop(0, given.steps, lambda _, x: step(x, first, y, state), first)

    def loop(first, y, state):
        adversarial = first
        for _ in range(given.steps):
            adversarial = step(adversarial, first, y, state)
        return adversarial

    def over(attack):
        return lambda order: (
            lambda: np.concatenate(
                [np.asarray(attack(jnp.asarray(images[rows]), jnp.asarray(labels[rows]), state)) for rows in order]
            )
        )

    return {"jitted step": over(loop), "fori_loop": over(whole)}
