"""Mutants: backends with a single fault. Every rule of the conformance kit must fail on at least one mutant.

The suspects in `harness.conformance.suspects` are mutants as well. The mutants here have faults that change more than
the numbers of the reference. `wrap` puts a fault into any backend, so the tests also use real frameworks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness import SGD, Backend, Batches, BatchNorm, Conv, Dense, Dropout, Examples, Model, Recipe, Trainer
from harness.conformance.suspects import backend_with_layer
from harness.reference import layers as reference
from harness.reference.backend import NumPy
from harness.spec import Layer

Real = type[Backend[Any]]


def wrap(real: Real, **members: Any) -> Real:
    return type(f"Mutant{real.__name__}", (real,), members)


def changed_model(change: Callable[[Layer], Layer]) -> Callable[[Real], Real]:
    """A backend that builds a changed network with the same names and shapes."""

    def mutant(real: Real) -> Real:
        def build(self, model: Model, weights: Any) -> Any:
            return real.build(self, replace(model, trunk=tuple(change(layer) for layer in model.trunk)), weights)

        return wrap(real, build=build)

    return mutant


def changed_recipe(change: Callable[[Recipe], Recipe]) -> Callable[[Real], Real]:
    return lambda real: wrap(
        real, trainer=lambda self, net, recipe, seed=0: real.trainer(self, net, change(recipe), seed)
    )


def changed_run(run: Callable[..., Any]) -> Callable[[Real], Real]:
    """A backend whose trainer runs `run(trainer, batches, lr, record)`."""

    class Wrapped(Trainer):
        def __init__(self, trainer: Trainer) -> None:
            self.trainer = trainer

        def segment(self, batches: Any, lr: Any, record: bool) -> Any:
            return run(self.trainer, batches, lr, record)

    return lambda real: wrap(
        real, trainer=lambda self, net, recipe, seed=0: Wrapped(real.trainer(self, net, recipe, seed))
    )


def only_without_record(trainer: Trainer, batches: Any, lr: Any, record: bool) -> Any:
    return trainer.run(batches, lr if record else lr * 1.001, record=record)


def symmetric(layer: Layer) -> Layer:
    if not isinstance(layer, Conv) or layer.window.padding != ((0, 1), (0, 1)):
        return layer
    return replace(layer, padding=1)


batch_norm_epsilon = changed_model(
    lambda layer: replace(layer, epsilon=1e-3) if isinstance(layer, BatchNorm) else layer
)
padding_on_both_sides = changed_model(symmetric)
momentum_ignored = changed_recipe(
    lambda recipe: (
        replace(recipe, optimizer=replace(recipe.optimizer, momentum=0.0, nesterov=False))
        if isinstance(recipe.optimizer, SGD)
        else recipe
    )
)
wrong_without_record = changed_run(only_without_record)


def thaws(role: str, change: Callable[[Any, float], Any], when: bool) -> Real:
    """The reference with a fault: segments with `record` equal to `when` change frozen tensors, by less than any
    limit."""

    def run(trainer: Trainer, batches: Any, lr: Any, record: bool) -> Any:
        losses, net = trainer.run(batches, lr, record=record), trainer.net
        for name, parameter in net.model.parameters.items():
            if record == when and parameter.role == role and not trainer.recipe.rate(name):
                net.weights[name] = change(net.weights[name], lr.sum())
        return losses

    return changed_run(run)(NumPy)


THAWS: dict[str, tuple[str, Callable[[Any, float], Any]]] = {
    "a frozen batch norm's mean is updated": ("mean", lambda mean, lr: mean + 1e-13),
    "a frozen batch norm's variance is updated": ("variance", lambda variance, lr: variance * (1 - 1e-13)),
    "a frozen kernel moves by its last digit": ("kernel", lambda kernel, lr: np.nextafter(kernel, np.inf)),
    "frozen weights decay": ("kernel", lambda kernel, lr: kernel * (1 - 1e-12 * lr)),
}
"""Faulty changes of frozen tensors: the role of the tensor, and its new value."""


def uploads_every_time(real: Real) -> Real:
    """A backend that uploads the pictures again in every segment."""

    def run(trainer: Trainer, batches: Any, lr: Any, record: bool) -> Any:
        examples = batches.examples
        copy = Examples(examples.images, examples.labels, examples.pixel_max)
        return trainer.run(Batches(copy, batches.rows, batches.batch_size), lr, record=record)

    return changed_run(run)(real)


# The reference with faults in the exchange of networks and data.


def _transposed(self: NumPy, net: Any) -> Any:
    tensors = NumPy.weights(self, net)
    return {name: tensor.swapaxes(2, 3) if tensor.ndim == 4 else tensor for name, tensor in tensors.items()}


def _reversed_values(self: NumPy, net: Any) -> Any:
    return {name: tensor[::-1].copy() for name, tensor in NumPy.weights(self, net).items()}


def _without_statistics(self: NumPy, net: Any, weights: Any) -> None:
    kept = {name: value for name, value in net.weights.items() if name.endswith(("mean", "variance"))}
    NumPy.load(self, net, {**weights, **kept})


def _views(self: NumPy, net: Any) -> Any:
    """The arrays themselves, which training changes in place."""
    net.views = getattr(net, "views", {name: tensor.copy() for name, tensor in net.weights.items()})
    for name, tensor in net.weights.items():
        net.views[name][...] = tensor
    return net.views


class _ViewsTrainer(NumPy.training):
    def segment(self, batches: Any, lr: Any, record: bool) -> Any:
        losses = super().segment(batches, lr, record)
        _views(self.backend, self.net)
        return losses


def _full_batches_only(self: NumPy, net: Any, batches: Any, *, upto: str = "logits") -> Any:
    full = len(batches.rows) // batches.batch_size * batches.batch_size
    return NumPy.forward(self, net, batches, upto=upto)[:full]


def _sorted_rows(self: NumPy, net: Any, batches: Any, *, upto: str = "logits") -> Any:
    return NumPy.forward(
        self, net, type(batches)(batches.examples, np.sort(batches.rows), batches.batch_size), upto=upto
    )


_shared: dict[str, Any] = {}


class _SharingNet(NumPy.network):
    """All networks of a process share their tensors."""

    def __init__(self, model: Model, weights: Any) -> None:
        super().__init__(model, weights)
        _shared.update(self.weights)

    weights = property(lambda self: _shared, lambda self, value: _shared.update(value))


class _LazyTrainer(NumPy.training):
    """Delays the work until the weights are read."""

    def segment(self, batches: Any, lr: Any, record: bool) -> Any:
        first = super().segment(batches[:1], lr[:1], record)
        self.net.pending = lambda: super(_LazyTrainer, self).segment(batches[1:], lr[1:], record)
        return first


def _weights_when_asked(self: NumPy, net: Any) -> Any:
    if pending := net.__dict__.pop("pending", None):
        pending()
    return NumPy.weights(self, net)


class _AsynchronousTrainer(NumPy.training):
    """Works in a thread, as a device does, and returns at once. Reading the weights waits for the thread."""

    def segment(self, batches: Any, lr: Any, record: bool) -> Any:
        self.net.work = threading.Thread(target=super().segment, args=(batches, lr, record))
        self.net.work.start()
        return np.zeros(len(lr))


def _weights_after_the_thread(self: NumPy, net: Any) -> Any:
    if work := net.__dict__.pop("work", None):
        work.join()
    return NumPy.weights(self, net)


class _SometimesAsleep(NumPy.training):
    """Sleeps in every third segment."""

    count = 0

    def segment(self, batches: Any, lr: Any, record: bool) -> Any:
        losses, start = super().segment(batches, lr, record), time.perf_counter()
        self.count += 1
        while self.count % 3 == 0 and time.perf_counter() - start < 0.4:
            time.sleep(0.01)
        return losses


class _WaitsForATimer(NumPy.training):
    """Ends only when a timer goes off, twice a second."""

    def segment(self, batches: Any, lr: Any, record: bool) -> Any:
        losses = super().segment(batches, lr, record)
        time.sleep(0.5 - time.time() % 0.5)
        return losses


def _guess(self: NumPy, model: Model, weights: Any) -> Any:
    known = tuple(layer for layer in model.trunk if type(layer).__module__ == "harness.spec")
    return NumPy.build(self, replace(model, trunk=known), weights)


def _crash(self: NumPy, model: Model, weights: Any) -> Any:
    if any(type(layer).__module__ != "harness.spec" for layer in model.trunk):
        raise KeyError("UnknownLayer")
    return NumPy.build(self, model, weights)


def _rounded(self: NumPy, net: Any, batches: Any, *, upto: str = "logits") -> Any:
    return NumPy.forward(self, net, batches, upto=upto).astype(np.float32)


class _Float32(NumPy):
    """The reference, which claims to compute in float32 too, with a relative error."""

    precisions = ("float32", "float64")
    error = 0.0

    def forward(self, net: Any, batches: Any, *, upto: str = "logits") -> Any:
        found = super().forward(net, batches, upto=upto)
        return (found * (1 + self.error)).astype(np.float32) if self.precision == "float32" else found


def _slow_without_record(trainer: Trainer, batches: Any, lr: Any, record: bool) -> Any:
    return trainer.run(batches, lr if record or trainer.backend.precision == "float64" else lr * 0.7, record=record)


_float32_faults = changed_run(_slow_without_record)(_Float32)


def rounded(x: Any) -> Any:
    """The values rounded to bfloat16, in float64."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def _with_11_digits(apply: Any) -> Any:
    """A layer that rounds its inputs to 11 binary digits, as TF32 does."""

    def short(x: Any) -> Any:
        bits = np.asarray(x, np.float32).view(np.uint32)
        return ((bits + 0x1000) & 0xFFFFE000).astype(np.uint32).view(np.float32).astype(np.float64)

    def multiplied(layer: Any, context: Any, x: Any) -> Any:
        weights = {name: short(tensor) if name == "kernel" else tensor for name, tensor in context.weights.items()}
        return apply(layer, context._replace(weights=weights), short(x))

    return multiplied


class _Tf32(_Float32):
    """A backend on a GPU that multiplies in TF32 in every precision."""

    precisions = ("float32", "tf32", "float64")
    network = type(
        "Tf32Net",
        (NumPy.network,),
        {
            "layers": NumPy.network.layers
            | {Conv: _with_11_digits(reference.conv), Dense: _with_11_digits(reference.dense)}
        },
    )

    def start(self, device: str) -> Any:
        return "gpu"


def _in_bfloat16(apply: Any) -> Any:
    def multiplied(layer: Any, context: Any, x: Any) -> Any:
        weights = {name: rounded(tensor) if name == "kernel" else tensor for name, tensor in context.weights.items()}
        done = apply(layer, context._replace(weights=weights), rounded(x))
        return done._replace(output=rounded(done.output))

    return multiplied


class _Bfloat16Net(NumPy.network):
    layers = NumPy.network.layers | {Conv: _in_bfloat16(reference.conv), Dense: _in_bfloat16(reference.dense)}


class Bfloat16(NumPy):
    """The reference, with products in bfloat16 like those of a backend."""

    precisions = ("bfloat16", "float64")
    network = _Bfloat16Net

    def forward(self, net: Any, batches: Any, *, upto: str = "logits") -> Any:
        return super().forward(net, batches, upto=upto).astype(np.float32)

    def weights(self, net: Any) -> Any:
        return {name: tensor.astype(np.float32) for name, tensor in net.weights.items()}


def _steps_in_bfloat16(self: Any, pixels: Any, labels: Any, lr: float) -> float:
    loss = NumPy.training.step(self, pixels, labels, lr)
    self.net.weights |= {name: rounded(self.net.weights[name]) for name in self.optimizers}
    return loss


def _loss_in_bfloat16(loss: Any, logits: Any, labels: Any) -> Any:
    return tuple(map(rounded, NumPy.training.cross_entropy(loss, logits, labels)))


def _norm_in_bfloat16(layer: Any, context: Any, x: Any) -> Any:
    done = reference.batch_norm(layer, context, x)
    return done._replace(output=rounded(done.output))


def _statistics_in_bfloat16(layer: Any, context: Any, x: Any) -> Any:
    done = reference.batch_norm(layer, context, x)
    return done._replace(statistics={name: rounded(value) for name, value in done.statistics.items()})


def _bfloat16_with(**members: Any) -> Real:
    """`Bfloat16` with another trainer or another batch norm."""
    if norm := members.pop("norm", None):
        layers = _Bfloat16Net.layers | {BatchNorm: norm}
        return wrap(Bfloat16, network=type("MutantNet", (_Bfloat16Net,), {"layers": layers}))
    return wrap(Bfloat16, training=type("MutantTrainer", (NumPy.training,), members))


def _fixed_mask(layer: Any, context: Any, x: Any) -> Any:
    return reference.dropout(layer, context._replace(random=np.random.default_rng(0)), x)


def _mask_of_the_batch(layer: Any, context: Any, x: Any) -> Any:
    done = reference.dropout(layer, context, np.ones_like(x[:1]))
    return done._replace(output=x * done.output, backward=lambda dy: ((dy * done.output,), {}))


def _left_on(layer: Any, context: Any, x: Any) -> Any:
    return reference.dropout(layer, context._replace(training=True), x)


class _OneMaskNet(NumPy.network):
    """All dropout layers draw the same numbers, as if they had the same seed."""

    def run(self, pixels: Any, training: frozenset[str] = frozenset()) -> Any:
        kept, drawn = self.random, self.random.random(pixels[0].size * len(pixels))
        self.random = SimpleNamespace(random=lambda shape: drawn.reshape(shape))
        try:
            return super().run(pixels, training)
        finally:
            self.random = kept


def _unscaled(layer: Any, context: Any, x: Any) -> Any:
    done = reference.dropout(layer, context, x)
    left = 1 - layer.rate
    return done._replace(output=done.output * left, backward=lambda dy: ((done.backward(dy)[0][0] * left,), {}))


def _share_kept(layer: Any, context: Any, x: Any) -> Any:
    return reference.dropout(replace(layer, rate=1 - layer.rate), context, x)


class _OneOptimiser(NumPy):
    """All trainers of a network run the newest one."""

    def trainer(self, net: Any, recipe: Recipe, seed: int = 0) -> Any:
        net.trainer = super().trainer(net, recipe, seed)
        return changed_run(lambda _, batches, lr, record: net.trainer.run(batches, lr, record=record))(NumPy).trainer(
            self, net, recipe
        )


class _FreezesForGood(NumPy):
    """Tensors that are frozen once stay frozen."""

    def trainer(self, net: Any, recipe: Recipe, seed: int = 0) -> Any:
        net.frozen = (*getattr(net, "frozen", ()), *((start, 0.0) for start in recipe.frozen(net.model)))
        return super().trainer(net, replace(recipe, rates=(*recipe.rates, *net.frozen)), seed)


def _without_bias(layer: Any, context: Any, x: Any) -> Any:
    """A dense layer without its bias."""
    weights = {name: value for name, value in context.weights.items() if name != "bias"}
    done = reference.dense(layer, context._replace(weights=weights), x)
    zero = {"bias": np.zeros(layer.units)} if "bias" in context.weights else {}
    return done._replace(backward=lambda dy: (done.backward(dy)[0], done.backward(dy)[1] | zero))


def _logit_upwards(self, net, images, labels, objective):
    gradient = NumPy.input_gradient(self, net, images, labels, objective)
    return -gradient if objective == "logit" else gradient


def _in_place(self, net, images, labels, attack, loss, start):
    images += 0.01
    return NumPy.run_attack(self, net, images, labels, attack, loss, start)


def _training_statistics(self, net, images, labels, attack, loss, start):
    net.weights = {name: tensor * 1.01 if "mean" in name else tensor for name, tensor in net.weights.items()}
    return NumPy.run_attack(self, net, images, labels, attack, loss, start)


FAULTS: dict[str, list[tuple[Real, str]]] = {
    "self_description": [
        (wrap(NumPy, versions=lambda self: {}), "versions\\(\\) is empty"),
        (wrap(NumPy, modes=("fast",)), "one of them must be 'default'"),
        (wrap(NumPy, name="a/b"), "'a/b' is not a valid name"),
        (wrap(NumPy, start=lambda self, device: "tpu"), "must be 'cpu' or 'gpu'"),
    ],
    "weights_come_back": [
        (wrap(NumPy, weights=_transposed), r"kernel returned an array .* of shape \(3, 3, 4, 2\); it must return"),
        (wrap(NumPy, weights=_reversed_values), "are its axes in samebench's order"),
        (wrap(NumPy, weights=lambda self, net: {}), "names differ"),
    ],
    "weights_are_copies": [(wrap(NumPy, weights=_views, training=_ViewsTrainer), "return a copy")],
    "load": [(wrap(NumPy, load=_without_statistics), "the logits after loading")],
    "two_networks": [(wrap(NumPy, network=_SharingNet), "changed when another network was trained")],
    "rows": [
        (
            wrap(NumPy, forward=_full_batches_only),
            r"of shape \(8, 3\); it must return an array of float32 or float64 of shape \(10, 3\)",
        ),
        (wrap(NumPy, forward=_sorted_rows), "are the rows in order"),
    ],
    "two_trainers": [(_OneOptimiser, "trunk")],
    "float32_training": [(_float32_faults, "record=False")],
    "device": [(wrap(NumPy, device_of=lambda self, net: "gpu"), "the tensors are on the gpu")],
    "uploads_once": [(uploads_every_time(NumPy), "upload them once")],
    "nothing_pending": [
        (wrap(NumPy, training=_LazyTrainer, weights=_weights_when_asked), "wait for the device"),
        (wrap(NumPy, training=_AsynchronousTrainer, weights=_weights_after_the_thread), "wait for the device"),
    ],
    "no_stalls": [
        (wrap(NumPy, training=_SometimesAsleep), "of 8 segments stalled"),
        (wrap(NumPy, training=_WaitsForATimer), "segments stalled|no thread worked"),
    ],
    "unsupported_layer": [
        (wrap(NumPy, build=_guess), "with an unknown layer"),
        (wrap(NumPy, build=_crash), "it must raise Unsupported"),
    ],
    "float64": [(wrap(NumPy, forward=_rounded), "the logits")],
    "float32": [
        (wrap(_Float32, error=1e-3), "the logits"),
        (wrap(NumPy, precisions=("float32", "float64")), "came back as float64"),
    ],
    "float32_products": [(_Tf32, r"returned 1\.00000000, not 1\.00024414.*Switch TF32 off")],
    "tf32_products": [
        (wrap(_Float32, precisions=("float32", "tf32", "float64"), start=_Tf32.start), "TF32 is not in use"),
    ],
    "bfloat16": [
        (wrap(Bfloat16, network=NumPy.network), "a convolution deviates .* by only .* not in bfloat16"),
        (
            wrap(
                Bfloat16,
                network=type(
                    "DenseNet",
                    (_Bfloat16Net,),
                    {
                        "layers": _Bfloat16Net.layers | {Dense: reference.dense},
                    },
                ),
            ),
            "a dense layer deviates .* by only .* not in bfloat16",
        ),
        (
            wrap(
                Bfloat16, forward=lambda self, net, *given, **named: Bfloat16.forward(self, net, *given, **named) * 1.05
            ),
            "a convolution .*limit 3e-02",
        ),
        (wrap(Bfloat16, forward=NumPy.forward), "came back as float64"),
    ],
    "bfloat16_training": [
        (
            wrap(
                Bfloat16,
                load=lambda self, net, weights: None,
                build=lambda self, model, weights: Bfloat16.build(
                    self, model, {name: rounded(tensor) for name, tensor in weights.items()}
                ),
            ),
            "keep weights in float32",
        ),
        (wrap(Bfloat16, weights=NumPy.weights), "came back as float64"),
        (_bfloat16_with(step=_steps_in_bfloat16), "the change of trunk.conv1.kernel"),
        (_bfloat16_with(cross_entropy=staticmethod(_loss_in_bfloat16)), "the loss"),
        (_bfloat16_with(norm=_norm_in_bfloat16), "the output of a batch norm"),
        (_bfloat16_with(norm=_statistics_in_bfloat16), "after one step"),
    ],
    "dense": [(backend_with_layer(Dense, _without_bias), "the logits")],
    "dropout_training": [
        (backend_with_layer(Dropout, _share_kept), "is its rate the share that it keeps"),
        (backend_with_layer(Dropout, _unscaled), "multiplies the kept values by 1.0000"),
        (backend_with_layer(Dropout, _fixed_mask), "two steps .* draw a mask"),
        (backend_with_layer(Dropout, _mask_of_the_batch), "two pictures .* draw a mask"),
        (wrap(NumPy, network=_OneMaskNet), "two layers .* draw a mask"),
    ],
    "dropout_evaluation": [(backend_with_layer(Dropout, _left_on), "dropout is on in evaluation")],
    "recording": [(wrong_without_record(NumPy), "without record")],
    "thawing": [(_FreezesForGood, "trunk")],
    "logit_gradient": [(wrap(NumPy, input_gradient=_logit_upwards), "minus the logit")],
    "attacks_change_nothing_else": [
        (wrap(NumPy, run_attack=_in_place), "changed the array of original pictures: copy it"),
        (wrap(NumPy, run_attack=_training_statistics), "runs in evaluation mode"),
    ],
}
