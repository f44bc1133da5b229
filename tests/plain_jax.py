"""A backend in one file, outside the packages: plain JAX, without Flax or Optax. It passes `samebench check`.

Networks are dictionaries of arrays by our own names; a step is one jitted function of them."""

from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import harness as h


def activate(function, x):
    return jnp.where(x < 6, jax.nn.relu(x), 6) if function == "relu6" else getattr(jax.nn, function)(x)


def places(x, window, value=0.0):
    """What each place of a window sees as the window slides."""
    (down, right), (height, width) = window.stride, window.output(x.shape[1:])
    x = jnp.pad(x, ((0, 0), *window.padding, (0, 0)), constant_values=value)
    for row, column in np.ndindex(*window.kernel):
        yield x[:, row : row + (height - 1) * down + 1 : down, column : column + (width - 1) * right + 1 : right]


def batch_norm(layer, w, x, training):
    axes = tuple(range(x.ndim - 1))
    used = {"mean": x.mean(axes), "variance": x.var(axes)} if training else w
    new = {name: layer.momentum * w[name] + (1 - layer.momentum) * used[name] for name in ("mean", "variance")}
    unit = (x - used["mean"]) / jnp.sqrt(used["variance"] + layer.epsilon)
    return unit * w.get("scale", 1) + w.get("offset", 0), new if training else {}


def apply(layer, w, inputs, training, key):
    """One node: its output, and the statistics that training replaces."""
    x = inputs[0]
    match layer:
        case h.Normalize():
            return (x - np.array(layer.mean, x.dtype)) / np.array(layer.std, x.dtype), {}
        case h.Conv():
            order, window = ("NHWC", "HWIO", "NHWC"), layer.window
            y = lax.conv_general_dilated(x, w["kernel"], window.stride, window.padding, None, None, order, layer.groups)
            return y + w.get("bias", 0), {}
        case h.Dense():
            return x @ w["kernel"] + w.get("bias", 0), {}
        case h.BatchNorm():
            return batch_norm(layer, w, x, training)
        case h.Activation():
            return activate(layer.function, x), {}
        case h.MaxPool():
            return reduce(lambda best, new: jnp.where(new > best, new, best), places(x, layer.window, -jnp.inf)), {}
        case h.AvgPool():
            area = sum(places(jnp.ones_like(x[:1, :, :, :1]), layer.window, float(layer.count_padding)))
            return sum(places(x, layer.window)) / area, {}
        case h.GlobalAvgPool():
            return x.mean((1, 2)), {}
        case h.Flatten():
            return x.reshape(len(x), -1), {}
        case h.Dropout():
            kept = jax.random.bernoulli(key, 1 - layer.rate, x.shape) if training else True
            return jnp.where(kept, x / (1 - layer.rate) if training else x, 0), {}
        case h.Add():
            return inputs[0] + inputs[1], {}
        case h.Concat():
            return jnp.concatenate(inputs, -1), {}
    raise h.Unsupported(f"plain-jax has no layer {type(layer).__name__}")


def run(model, weights, pixels, training=(), key=None, upto="logits"):
    values, statistics = {model.INPUT: pixels}, {}
    for number, node in enumerate(model.nodes):
        own = {name: weights[f"{node.name}.{name}"] for name in node.parameters}
        drop = None if key is None else jax.random.fold_in(key, number)
        inputs = [values[name] for name in node.inputs]
        values[node.name], new = apply(node.layer, own, inputs, node.name in training, drop)
        statistics |= {f"{node.name}.{name}": value for name, value in new.items()}
    return values[model.end(upto)], statistics


def losses(loss, logits, labels):
    """Each picture's loss, or minus its label's logit, which an attack may ask for."""
    if loss == "sigmoid":
        return jax.nn.softplus(logits[:, 0]) - logits[:, 0] * labels
    both = jnp.concatenate([-logits, logits], 1) if logits.shape[1] == 1 else logits
    chosen = jnp.take_along_axis(both, labels[:, None], 1)[:, 0]
    return -chosen if loss == "logit" else jax.nn.logsumexp(logits, 1) - chosen


def direction(optimizer, w, g, first, second, t, decays):
    """What a step subtracts, before the learning rate, and the new moments."""
    decay = optimizer.weight_decay * decays
    g = g + optimizer.l1 * decays * jnp.sign(w) + (0 if optimizer.decoupled else decay * w)
    if isinstance(optimizer, h.Adam):
        first = optimizer.beta1 * first + (1 - optimizer.beta1) * g
        second = optimizer.beta2 * second + (1 - optimizer.beta2) * g**2
        move = first / (1 - optimizer.beta1**t) / (jnp.sqrt(second / (1 - optimizer.beta2**t)) + optimizer.epsilon)
    else:
        first = optimizer.momentum * first + g
        move = g + optimizer.momentum * first if optimizer.nesterov else first
    return move + (decay * w if optimizer.decoupled else 0), first, second


class Net:
    def __init__(self, model, weights):
        self.model, self.weights = model, weights
        self.run = jax.jit(partial(run, model), static_argnames="upto")
        self.gradient = jax.jit(jax.grad(self.loss), static_argnames="loss")

    def loss(self, pixels, weights, labels, loss):
        return losses(loss, run(self.model, weights, pixels)[0], labels).sum()


class PlainTrainer(h.Trainer):
    def __init__(self, backend, net, recipe, seed):
        recipe.check(net.model)
        self.backend, self.net, self.t = backend, net, np.zeros((), backend.dtype)
        model, frozen = net.model, recipe.frozen(net.model)
        training = frozenset(node.name for node in model.nodes if node.name not in frozen)
        learned = [n for n, p in model.parameters.items() if p.trainable and n.rpartition(".")[0] in training]
        self.moments = {name: (jnp.zeros_like(net.weights[name]),) * 2 for name in learned}

        @jax.jit
        def step(weights, moments, examples, rows, lr, t):
            x, y, by = examples
            kept = {name: value for name, value in weights.items() if name not in learned}

            def loss_of(part):
                key = jax.random.fold_in(jax.random.key(seed), t.astype(int))
                logits, statistics = run(model, kept | part, x[rows] / by, training, key)
                return losses(recipe.loss, logits, y[rows]).mean(), statistics

            (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)({n: weights[n] for n in learned})
            new = {}
            for name in learned:
                decays = recipe.optimizer.decays(model.parameters[name])
                move, *both = direction(recipe.optimizer, weights[name], gradients[name], *moments[name], t, decays)
                new[name], moments = weights[name] - lr * recipe.rate(name) * move, moments | {name: tuple(both)}
            return kept | statistics | new, moments, loss

        self.step = step

    def segment(self, batches, lr, record):
        examples, weights, found = self.backend.on_device(batches.examples), self.net.weights, []
        for rows, rate in zip(batches.order, lr.astype(self.backend.dtype), strict=True):
            self.t = self.t + 1
            weights, self.moments, loss = self.step(weights, self.moments, examples, rows, rate, self.t)
            found.append(loss)
        self.net.weights = jax.block_until_ready(weights)
        return np.array(found, np.float64) if record else np.array(found, np.float64).mean(keepdims=True)


class PlainJax(h.Backend[Net]):
    name = "plain-jax"

    def start(self, device):
        jax.config.update("jax_enable_x64", self.precision == "float64")
        self.dtype = jnp.dtype(self.precision)
        return "gpu" if jax.default_backend() == "gpu" else "cpu"

    def versions(self):
        return {"jax": jax.__version__}

    def upload(self, examples):
        x = jnp.asarray(examples.images).astype(self.dtype)
        return x, jnp.asarray(examples.labels), jnp.asarray(examples.divisor, self.dtype)

    def build(self, model, weights):
        net = Net(model, {})
        self.load(net, weights)
        jax.eval_shape(net.run, net.weights, jnp.zeros((1, *model.input_shape), self.dtype))  # or Unsupported
        return net

    def weights(self, net):
        return {name: np.array(tensor) for name, tensor in net.weights.items()}

    def load(self, net, weights):
        net.weights = {name: jnp.array(weights[name], self.dtype) for name in net.model.parameters}

    def forward(self, net, batches, *, upto="logits"):
        x, _, by = self.on_device(batches.examples)
        outputs = [net.run(net.weights, x[rows] / by, upto=upto)[0] for rows in batches.order]
        return np.concatenate(jax.device_get(outputs))[: len(batches.rows)]

    def trainer(self, net, recipe, seed=0):
        return PlainTrainer(self, net, recipe, seed)

    def device_of(self, net):
        return next(iter(next(iter(net.weights.values())).devices())).platform

    def input_gradient(self, net, images, labels, loss):
        return np.array(net.gradient(jnp.asarray(images, self.dtype), net.weights, jnp.asarray(labels), loss))


@h.hookimpl
def samebench_backend():
    return PlainJax
