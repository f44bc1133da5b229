"""A complete backend in one short file: plain JAX, with the helpers of `harness`. It passes `samebench check`.

A network is a dictionary of arrays with the names of `model.parameters`. A step is a jitted function of such arrays.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import harness as h

api_version = 2


def forward(model, weights, pixels, upto="logits", training=(), key=None, multiply=None):
    """The output, and the new statistics in training. `multiply` is the dtype of products."""
    statistics = {}

    def apply(node, x, *others):
        layer, learns = node.layer, node.name in training
        own = {name: weights[f"{node.name}.{name}"] for name in node.parameters}
        if isinstance(layer, h.Conv | h.Dense):
            product = partial(convolve, layer) if isinstance(layer, h.Conv) else jnp.matmul
            y = product(x.astype(multiply or x.dtype), own["kernel"].astype(multiply or x.dtype))
            return y.astype(x.dtype) + own.get("bias", 0)
        if isinstance(layer, h.Dropout):
            drawn = jax.random.fold_in(key, model.nodes.index(node)) if learns else None
            return (
                jnp.where(jax.random.bernoulli(drawn, 1 - layer.rate, x.shape), x / (1 - layer.rate), 0)
                if learns
                else x
            )
        y, new = h.apply_layer(jnp, layer, own, (x, *others), learns)
        statistics.update({f"{node.name}.{name}": value for name, value in new.items()})
        return y

    return model.run(apply, pixels, upto), statistics


def convolve(layer, x, kernel):
    order, window = ("NHWC", "HWIO", "NHWC"), layer.window
    return lax.conv_general_dilated(x, kernel, window.stride, window.padding, None, None, order, layer.groups)


class Net:
    def __init__(self, model, multiply):
        self.model, self.weights, self.run = model, {}, partial(forward, model, multiply=multiply)
        self.forward = jax.jit(self.run, static_argnames="upto")
        self.gradient = jax.jit(jax.grad(self.loss, argnums=1), static_argnames="objective")

    def loss(self, weights, pixels, labels, objective):
        return h.picture_losses(jnp, objective, self.run(weights, pixels)[0], labels).sum()


class ShortTrainer(h.Trainer):
    def __init__(self, backend, net, recipe, seed):
        self.backend, self.net, self.t = backend, net, np.zeros((), backend.dtype)
        optimizer, learned, frozen = recipe.optimizer, recipe.learned(net.model), recipe.frozen(net.model)
        training = {node.name for node in net.model.nodes} - {*frozen}
        self.moments = {n: (jnp.zeros_like(net.weights[n]),) * h.moment_count(optimizer) for n in learned}

        @jax.jit
        def step(weights, moments, examples, rows, lr, t):
            x, y, divisor = examples

            def loss_of(part):
                key = jax.random.fold_in(jax.random.key(seed), t.astype(int))
                logits, statistics = net.run(weights | part, x[rows] / divisor, training=training, key=key)
                return h.picture_losses(jnp, recipe.loss, logits, y[rows]).mean(), statistics

            (loss, new), gradients = jax.value_and_grad(loss_of, has_aux=True)({n: weights[n] for n in learned})
            for n in learned:
                decays = optimizer.decays(net.model.parameters[n])
                move, own = h.update_direction(jnp, optimizer, decays, weights[n], gradients[n], moments[n], t)
                new[n], moments = weights[n] - lr * recipe.rate(n) * move, moments | {n: own}
            return weights | new, moments, loss

        self.step = step

    def segment(self, batches, lr, record):
        weights, losses, examples = self.net.weights, [], self.backend.on_device(batches.examples)
        for rows, rate in zip(batches.order, lr.astype(self.backend.dtype), strict=True):
            self.t = self.t + 1
            weights, self.moments, loss = self.step(weights, self.moments, examples, rows, rate, self.t)
            losses.append(loss)
        self.net.weights = jax.block_until_ready(weights)
        return np.array(losses, np.float64)


class ShortJax(h.Backend[Net]):
    name = "short-jax"
    precisions = ("float32", "bfloat16", "float64")

    def start(self, device):
        jax.config.update("jax_enable_x64", self.precision == "float64")
        self.dtype = jnp.dtype("float64" if self.precision == "float64" else "float32")
        self.multiply = jnp.bfloat16 if self.precision == "bfloat16" else None
        return "gpu" if jax.default_backend() == "gpu" else "cpu"

    def versions(self):
        return {"jax": jax.__version__}

    def upload(self, examples):
        images, labels = jnp.asarray(examples.images, self.dtype), jnp.asarray(examples.labels)
        return images, labels, jnp.asarray(examples.divisor, self.dtype)

    def build(self, model, weights):
        net = Net(model, self.multiply)
        self.load(net, weights)
        jax.eval_shape(net.run, net.weights, jnp.zeros((1, *model.input_shape), self.dtype))  # or Unsupported
        return net

    def weights(self, net):
        return {name: np.array(tensor) for name, tensor in net.weights.items()}

    def load(self, net, weights):
        net.weights = {name: jnp.array(weights[name], self.dtype) for name in net.model.parameters}

    def forward(self, net, batches, *, upto="logits"):
        x, _, divisor = self.on_device(batches.examples)
        outputs = [net.forward(net.weights, x[rows] / divisor, upto=upto)[0] for rows in batches.order]
        return np.concatenate(jax.device_get(outputs))

    def trainer(self, net, recipe, seed=0):
        return ShortTrainer(self, net, recipe, seed)

    def device_of(self, net):
        return next(iter(next(iter(net.weights.values())).devices())).platform

    def input_gradient(self, net, images, labels, objective):
        return np.array(net.gradient(net.weights, jnp.asarray(images, self.dtype), jnp.asarray(labels), objective))


@h.hookimpl
def samebench_backend():
    return ShortJax
