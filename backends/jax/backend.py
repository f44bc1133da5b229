"""JAX: a Flax NNX module, an Optax chain, a jitted training step with donated buffers.

On a CPU, a segment is a Python loop over the step: XLA runs convolutions inside its own loops many times slower. On a GPU, a
compiled loop runs many steps at once. The rows and the rates of many steps are copied to the device at once, and the losses of
many steps are copied back at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import optax
from flax import nnx

from backends.jax.layers import ShiftedSums, lower, on_cpu
from backends.jax.pipeline import GrainPipeline
from harness import (
    Adam,
    Array,
    Attack,
    AttackKind,
    AttackNumbers,
    Backend,
    Batches,
    Device,
    Examples,
    FileExamples,
    LossName,
    Model,
    Node,
    Objective,
    Recipe,
    Trainer,
    Unavailable,
    Unsupported,
    Upto,
    Weights,
    attack_step,
    hookimpl,
)

# The name of each tensor in Flax. The axes are those of the specification.
ATTRIBUTES = {"kernel": "kernel", "bias": "bias", "scale": "scale", "offset": "bias", "mean": "mean", "variance": "var"}

attack_pictures = jax.jit(partial(attack_step, jnp), static_argnums=0)
"""A step of an attack, compiled for each kind of attack. The numbers are traced."""


class Network(nnx.Module):
    """The model's nodes as Flax modules and functions. Without a seed, kernels are zeros until weights are loaded."""

    def __init__(self, model: Model, dtype: Any, multiply_dtype: Any, seed: int | None = None) -> None:
        self.model = model
        self.dtype = dtype
        first = {"rngs": nnx.Rngs(seed or 0)} | ({"kernel_init": nnx.initializers.zeros} if seed is None else {})
        for node in model.nodes:
            setattr(self, node.name, lower(node, dtype, multiply_dtype, first))

    def __call__(self, pixels: jax.Array, upto: Upto) -> jax.Array:
        return self.model.run(self.apply, pixels, upto)

    def apply(self, node: Node, *inputs: jax.Array) -> jax.Array:
        return getattr(self, node.name)(*inputs).astype(self.dtype)  # bfloat16 products become float32

    def seed_dropout(self, seed: int) -> None:
        """Give each dropout layer its own random stream."""
        for number, node in enumerate(self.model.nodes):
            if isinstance(module := getattr(self, node.name), nnx.Dropout):
                stream = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
                setattr(self, node.name, nnx.Dropout(module.rate, rngs=nnx.Rngs(stream)))

    def train_all_but(self, frozen: tuple[str, ...]) -> None:
        """Set training mode for the nodes that learn, and evaluation mode for the frozen nodes."""
        self.train()
        for name in frozen:
            if isinstance(module := getattr(self, name), nnx.Module):
                module.eval()


class Net:
    """A network and its compiled functions. The current state of the network is an argument of the functions."""

    def __init__(self, network: Network) -> None:
        network.eval()
        self.network = network
        graph = nnx.graphdef(network)

        @partial(jax.jit, static_argnames="upto")
        def forward(state: Any, pixels: jax.Array, upto: Upto) -> jax.Array:
            return nnx.merge(graph, state)(pixels, upto)

        @jax.jit
        def logits_and_backward(state: Any, pixels: jax.Array) -> tuple[jax.Array, Any]:
            return jax.vjp(lambda x: nnx.merge(graph, state)(x, "logits"), pixels)

        @partial(jax.jit, static_argnames="objective")
        def backward_from(logits: jax.Array, backward: Any, labels: jax.Array, objective: Objective) -> jax.Array:
            return backward(jax.grad(lambda logits: losses(objective, logits, labels).sum())(logits))[0]

        def input_gradient(state: Any, pixels: jax.Array, labels: jax.Array, objective: Objective) -> jax.Array:
            return backward_from(*logits_and_backward(state, pixels), labels, objective)

        def one_step(
            state: Any, images: jax.Array, labels: jax.Array, numbers: AttackNumbers, kind: AttackKind, objective: Objective,
            pictures: jax.Array,
        ) -> jax.Array:  # fmt: skip
            return attack_pictures(kind, numbers, pictures, images, input_gradient(state, pictures, labels, objective))

        # If the network has depthwise convolutions, one program of forward and backward takes half as long again as two
        # programs, on a CPU. For other networks it is a tenth faster.
        if not any(isinstance(getattr(network, node.name), ShiftedSums) for node in network.model.nodes):
            input_gradient = jax.jit(input_gradient, static_argnames="objective")
            one_step = jax.jit(one_step, static_argnames=("kind", "objective"))

        @partial(jax.jit, static_argnames=("kind", "objective"))
        def attack(steps: int, state: Any, images: jax.Array, labels: jax.Array, numbers: AttackNumbers, kind: AttackKind,
            objective: Objective, pictures: jax.Array,
        ) -> jax.Array:  # fmt: skip
            step = partial(one_step, state, images, labels, numbers, kind, objective)
            return jax.lax.fori_loop(0, steps, lambda _, pictures: step(pictures), pictures)

        self.one_step, self.attack = one_step, attack
        self.forward, self.input_gradient = forward, input_gradient

    def tensors(self) -> dict[str, nnx.Variable]:
        """The Flax variable for each name in `model.parameters`."""
        return {
            f"{node.name}.{name}": getattr(getattr(self.network, node.name), ATTRIBUTES[name])
            for node in self.network.model.nodes
            for name in node.parameters
        }


def losses(loss: Objective, logits: jax.Array, labels: jax.Array) -> jax.Array:
    if loss == "logit":
        both = jnp.concatenate([-logits, logits], 1) if logits.shape[1] == 1 else logits
        return -jnp.take_along_axis(both, labels[:, None], 1)
    if loss == "softmax":
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return optax.sigmoid_binary_cross_entropy(logits[:, 0], labels.astype(logits.dtype))


class Uploaded(NamedTuple):
    """Examples on the device."""

    images: jax.Array
    labels: jax.Array
    divisor: jax.Array

    def batch(self, rows: jax.Array, dtype: Any) -> tuple[jax.Array, jax.Array]:
        return self.images[rows].astype(dtype) / jnp.asarray(self.divisor, dtype), self.labels[rows]


@partial(jax.jit, static_argnames="dtype")
def pixels_of(examples: Uploaded, rows: jax.Array, dtype: Any) -> jax.Array:
    return examples.batch(rows, dtype)[0]


Optimizer = Callable[[Any], optax.GradientTransformation]
"""An optimiser without its learning rate, which is an argument of each step."""


def by_name(model: Model, learned: Any, value: Callable[[str], Any]) -> Any:
    """A tree like `learned`, whose leaves are `value(name)` for the name of each tensor."""
    names = {(node.name, ATTRIBUTES[name]): f"{node.name}.{name}" for node in model.nodes for name in node.parameters}
    return jax.tree_util.tree_map_with_path(lambda path, _: value(names[path[0].key, path[1].key]), learned)


def chain(recipe: Recipe, model: Model, learned: Any) -> Optimizer:
    """The recipe's optimiser as the specification defines it."""
    optimizer = recipe.optimizer
    decays = by_name(model, learned, lambda name: optimizer.decays(model.parameters[name]))
    decay = optax.add_decayed_weights(optimizer.weight_decay, mask=decays)
    l1 = optax.stateless(lambda g, w: jax.tree.map(lambda g, w: g + optimizer.l1 * jnp.sign(w), g, w))
    if isinstance(optimizer, Adam):
        core = optax.scale_by_adam(optimizer.beta1, optimizer.beta2, optimizer.epsilon)
    else:
        core = optax.trace(optimizer.momentum, optimizer.nesterov)
    penalties = [optax.masked(l1, decays)] if optimizer.l1 else []
    links = [*penalties, core, decay] if optimizer.decoupled else [*penalties, decay, core]
    rates = by_name(model, learned, recipe.rate)
    links.append(optax.stateless(lambda g, _: jax.tree.map(jnp.multiply, g, rates)))
    return lambda lr: optax.chain(*links, optax.scale_by_learning_rate(lr))


def stock(recipe: Recipe, model: Model, learned: Any) -> Optimizer:
    """Optax's own optimiser of the same name."""
    optimizer = recipe.optimizer
    if optimizer.l1:
        raise Unsupported("Optax's own optimisers have no L1: set l1 to 0, or use aligned semantics")
    if any(rate not in (0, 1) for _, rate in recipe.rates):
        raise Unsupported("Optax's own optimisers have one learning rate for all tensors: use aligned semantics")
    if isinstance(optimizer, Adam) and optimizer.decoupled:
        decays = by_name(model, learned, lambda name: optimizer.decays(model.parameters[name]))
        return partial(optax.adamw, weight_decay=optimizer.weight_decay, mask=decays)
    if optimizer.weight_decay:
        raise Unsupported("optax.sgd and optax.adam have no weight decay: set weight_decay to 0, or use adamw")
    if isinstance(optimizer, Adam):
        return optax.adam
    return partial(optax.sgd, momentum=optimizer.momentum or None, nesterov=optimizer.nesterov)


CHUNK = 64
"""The number of steps whose rows, rates and losses are copied at once. Their arrays always have this size, because a compiled
function takes arrays of one shape."""


class Chunk(NamedTuple):
    """Some steps of a segment, on the device."""

    rows: jax.Array
    rates: jax.Array

    @classmethod
    def of(cls, order: Array, rates: Array) -> Chunk:
        """The next steps, filled up to `CHUNK` with the last one, which is not run again."""
        steps = np.minimum(np.arange(CHUNK), len(order) - 1)
        return cls(*jax.device_put((order[steps], rates[steps])))


class Progress(NamedTuple):
    """The number of steps of a chunk that have been run, and their losses, on the device."""

    steps: jax.Array
    losses: jax.Array

    @classmethod
    def start(cls, dtype: Any) -> Progress:
        return cls(*jax.device_put((np.zeros((), np.int32), np.zeros(CHUNK, dtype))))


class JaxTrainer(Trainer):
    def __init__(self, backend: Jax, net: Net, recipe: Recipe, seed: int, make: Callable[..., Optimizer]) -> None:
        network = net.network
        network.seed_dropout(seed)
        self.backend, self.network = backend, network
        frozen = recipe.frozen(network.model)
        self.learns = lambda path, value: isinstance(value, nnx.Param) and path[0] not in frozen
        network.train_all_but(frozen)
        graph, learned, _ = nnx.split(network, self.learns, ...)
        network.eval()
        optimizer = make(recipe, network.model, learned)
        self.state = optimizer(0.0).init(learned)

        @partial(jax.jit, donate_argnums=(0, 1, 2, 3))
        def step(learned: Any, rest: Any, state: Any, done: Progress, examples: Uploaded, chunk: Chunk) -> Any:
            pixels, labels = examples.batch(chunk.rows[done.steps], network.dtype)

            def loss_of(learned: Any) -> tuple[jax.Array, Any]:
                running = nnx.merge(graph, learned, rest, copy=True)  # statistics change inside the trace
                loss = losses(recipe.loss, running(pixels, "logits"), labels).mean()
                return loss, nnx.state(running, nnx.Not(self.learns))

            (loss, rest), gradients = jax.value_and_grad(loss_of, has_aux=True)(learned)
            updates, state = optimizer(chunk.rates[done.steps]).update(gradients, state, learned)
            done = Progress(done.steps + 1, done.losses.at[done.steps].set(loss))
            return optax.apply_updates(learned, updates), rest, state, done

        @partial(jax.jit, donate_argnums=(0, 1, 2, 3))
        def whole_chunk(learned: Any, rest: Any, state: Any, done: Progress, examples: Uploaded, chunk: Chunk) -> Any:
            first = learned, rest, state, done
            return jax.lax.fori_loop(0, CHUNK, lambda _, values: step(*values, examples, chunk), first)

        self.step, self.whole_chunk = step, whole_chunk
        self.is_whole_chunk_compiled = False

    def segment(self, batches: Batches, lr: Array, record: bool) -> Array:
        (sources, order), rates, losses = self.backend.sources(batches), lr.astype(self.network.dtype), []
        _, learned, rest = nnx.split(self.network, self.learns, ...)
        values = learned, rest, self.state
        for start in range(0, len(batches), CHUNK):
            chunk = Chunk.of(order[start : start + CHUNK], rates[start : start + CHUNK])
            done = Progress.start(self.network.dtype)
            *values, done = self.run_chunk((*values, done), sources, chunk, min(CHUNK, len(batches) - start))
            losses.append(done.losses)
        learned, rest, self.state = values
        nnx.update(self.network, learned, rest)
        jax.block_until_ready((learned, rest))
        return np.concatenate(jax.device_get(losses))[: len(batches)].astype(np.float64)

    def run_chunk(self, values: Any, sources: Iterator[Uploaded], chunk: Chunk, steps: int) -> Any:
        """Run the first steps of a chunk."""
        if self.backend.loops and isinstance(sources, repeat):
            examples = next(sources)
            self.compile_whole_chunk(*values, examples, chunk)
            if steps == CHUNK:
                return self.whole_chunk(*values, examples, chunk)
        for _ in range(steps):
            values = self.step(*values, next(sources), chunk)
        return values

    def compile_whole_chunk(self, *given: Any) -> None:
        """Compile it in the first segment, so that its compilation belongs to the first step."""
        if not self.is_whole_chunk_compiled:
            self.whole_chunk, self.is_whole_chunk_compiled = self.whole_chunk.lower(*given).compile(), True


class Jax(Backend[Net]):
    name = "jax"
    precisions = ("float32", "tf32", "bfloat16", "float64")
    native = {
        "first weights": "kernels LeCun-normal: truncated, with variance 1 / fan_in; biases zero, as nnx draws them",
        "SGD": "optax.sgd: the same arithmetic; no weight decay",
        "Adam": "optax.adam: betas 0.9 and 0.999, epsilon 1e-8; no weight decay",
        "AdamW": "optax.adamw: betas 0.9 and 0.999, epsilon 1e-8",
    }

    def start(self, device: str) -> Device:
        jax.config.update("jax_enable_x64", self.precision == "float64")
        multiply = {"tf32": "tensorfloat32", "bfloat16": "bfloat16"}.get(self.precision, "highest")
        jax.config.update("jax_default_matmul_precision", multiply)
        found = jax.default_backend() if device == "auto" else device
        try:
            place = jax.devices(found)[0]
        except RuntimeError as error:
            raise Unavailable(
                f"JAX finds no {device}: {error}: use --device cpu, or install JAX for this device", code="wrong-device"
            ) from None
        jax.config.update("jax_default_device", place)
        self.loops = place.platform != "cpu"
        """Whether XLA runs the loops over steps."""

        self.dtype = jnp.dtype("float64" if self.precision == "float64" else "float32")
        if place.platform not in ("cpu", "gpu"):
            raise Unavailable(
                f"JAX would run on a {place.platform}, and samebench supports cpu and gpu: use --device cpu",
                code="wrong-device",
            )
        return "cpu" if place.platform == "cpu" else "gpu"

    def versions(self) -> dict[str, str]:
        return {package.__name__: package.__version__ for package in (jax, jaxlib, flax, optax)}

    def settings(self) -> dict[str, str]:
        return {
            "jit": "True",
            "donated": "True",
            "depthwise": "shifted sums" if on_cpu() else "convolution",
            "matmul_precision": str(jax.config.jax_default_matmul_precision),
            "enable_x64": str(jax.config.jax_enable_x64),
        }

    def upload(self, examples: Examples) -> Uploaded:
        return Uploaded(jnp.asarray(examples.images), jnp.asarray(examples.labels), jnp.asarray(examples.divisor))

    def own_pipeline(self, examples: FileExamples) -> GrainPipeline:
        return GrainPipeline(examples)

    def sources(self, batches: Batches) -> tuple[Iterator[Uploaded], Array]:
        """The examples on the device for each step, and their rows: all examples and the rows of a batch; or, with `--pipeline own`,
        a batch and all its rows."""
        source = self.on_device(batches.examples)
        if isinstance(source, Uploaded):
            return repeat(source), batches.order
        divisor = jnp.asarray(batches.examples.divisor)
        every_row = np.tile(np.arange(batches.batch_size, dtype=np.int32), (len(batches), 1))
        uploads = map(jax.device_put, source.batches(batches.order))
        return (Uploaded(images, labels, divisor) for images, labels in uploads), every_row

    def build(self, model: Model, weights: Weights) -> Net:
        multiply_dtype = jnp.dtype("bfloat16") if self.precision == "bfloat16" else self.dtype
        network = nnx.eval_shape(lambda: Network(model, self.dtype, multiply_dtype))  # shapes only; `load` adds values
        network.seed_dropout(0)
        net = Net(network)
        self.load(net, weights)
        return net

    def weights(self, net: Net) -> dict[str, Array]:
        return {name: np.array(variable.get_value()) for name, variable in net.tensors().items()}

    def device_of(self, net: Net) -> Device:
        (device,) = next(iter(net.tensors().values())).get_value().devices()
        return "cpu" if device.platform == "cpu" else "gpu"

    def load(self, net: Net, weights: Weights) -> None:
        for name, variable in net.tensors().items():
            variable.set_value(jnp.array(weights[name], self.dtype))
        jax.block_until_ready(nnx.state(net.network))

    def forward(self, net: Net, batches: Batches, *, upto: Upto = "logits") -> Array:
        examples, state = self.on_device(batches.examples), nnx.state(net.network)
        # Batches are gathered separately. So the network is compiled once, not for each number of pictures.
        outputs = [net.forward(state, pixels_of(examples, rows, self.dtype), upto) for rows in batches.order]
        return np.concatenate(jax.device_get(outputs))

    def trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> JaxTrainer:
        return JaxTrainer(self, net, recipe, seed, chain)

    def native_weights(self, model: Model, seed: int) -> dict[str, Array]:
        float32 = jnp.dtype("float32")
        return self.weights(Net(Network(model, float32, float32, seed)))

    def native_trainer(self, net: Net, recipe: Recipe, seed: int = 0) -> JaxTrainer:
        return JaxTrainer(self, net, recipe, seed, stock)

    def input_gradient(self, net: Net, images: Array, labels: Array, objective: Objective) -> Array:
        pixels = jnp.asarray(images, self.dtype)
        return np.array(net.input_gradient(nnx.state(net.network), pixels, jnp.asarray(labels), objective))

    def run_attack(self, net: Net, images: Array, labels: Array, attack: Attack, loss: LossName, start: Array) -> Array:
        first, pictures = (jnp.asarray(x, self.dtype) for x in (images, start))
        numbers = AttackNumbers(*(jnp.asarray(number, self.dtype) for number in attack.numbers))
        given = nnx.state(net.network), first, jnp.asarray(labels), numbers, attack.kind, attack.objective(loss)
        if not on_cpu():
            return np.array(net.attack(attack.steps, *given, pictures))
        for _ in range(attack.steps):  # on a CPU, XLA runs convolutions inside its own loops many times slower
            pictures = net.one_step(*given, pictures)
        return np.array(pictures)

    def accelerator(self) -> dict[str, str]:
        place = jax.devices()[0]
        return {"name": place.device_kind, "platform": place.client.platform_version.replace("\n", ", ")}

    def peak_device_bytes(self) -> int | None:
        statistics = jax.devices()[0].memory_stats() if self.device == "gpu" else None
        return statistics["peak_bytes_in_use"] if statistics else None


@hookimpl
def samebench_backend() -> type[Jax]:
    return Jax
