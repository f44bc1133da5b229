"""An estimate of the rounding error of each value of the reference, forward and backward.

Each framework adds the terms of a sum in its own order. The results differ by about the unit of rounding times the sum
of the terms' magnitudes, even if the sum itself is small: terms that cancel to zero in one order leave a small
remainder in another. Sums of a few short binary fractions are exact in every order and have no error.

The estimate assumes that the errors of different terms are independent, so it adds their squares. A relu or a pool is
uncertain where the distance of a value from the kink is at most a multiple of the value's error. There, the gradient
may flow or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from harness import spec
from harness.recipe import Objective
from harness.reference.backend import Net
from harness.reference.layers import LAYERS, Applied, Context, gather, pad, windows
from harness.reference.losses import probabilities, slope
from harness.spec import Array, Model

DOUBLE, SINGLE = 2.0**-52, 2.0**-23
"""The units of rounding of float64 and float32."""

CERTAIN = 32
"""A sign is certain if the value is larger than this many times its estimated error."""

BENDS = {"relu": (0.0,), "relu6": (0.0, 6.0)}
"""The kinks of activations. The other activations are smooth."""


class Estimate(NamedTuple):
    """Values of the reference, and the size of their rounding errors."""

    values: Array
    errors: Array

    def certain(self) -> Array:
        """The places with a certain sign. A zero is certain if every framework must compute exactly zero."""
        certain: Array = (np.abs(self.values) > CERTAIN * self.errors) | (self.errors == 0)
        return certain


def quantum(values: Array) -> float:
    """The largest power of two that divides all values; infinite if all values are zero."""
    mantissas, exponents = np.frexp(values[values != 0])
    if not mantissas.size:
        return float("inf")
    digits = np.ldexp(mantissas, 53).astype(np.int64)
    _, places = np.frexp((digits & -digits).astype(np.float64))
    return float(np.ldexp(1.0, int((places - 1 + exponents).min()) - 53))


def rounded(terms: Array, unit: float, whole: float = 0.0, brought: Array | float = 0.0) -> Array:
    """The errors of sums. `terms` holds the magnitudes of the terms of each sum, added up. Exact terms are multiples of
    `whole`, and `brought` holds the squared errors of the terms. A sum is exact if its terms are exact and all its
    digits fit."""
    return np.where((terms * unit <= 2 * whole) & (brought == 0), 0.0, unit * terms)


def term_magnitudes(layer: spec.Layer, context: Context, *inputs: Array) -> Applied:
    """The layer with the magnitude of every term, so its output holds sums of magnitudes. Its backward function takes
    the magnitudes of a gradient and also returns such sums."""
    sizes = {name: np.abs(value) for name, value in context.weights.items()}
    match layer:
        case spec.BatchNorm() if context.training:
            return _learning_norm(layer, sizes, *inputs)
        case spec.BatchNorm():
            sizes["mean"] = -sizes["mean"]  # it is subtracted
        case spec.Normalize():
            layer = replace(layer, mean=tuple(-abs(value) for value in layer.mean))
    return LAYERS[type(layer)](layer, context._replace(weights=sizes), *map(np.abs, inputs))


def _learning_norm(layer: spec.BatchNorm, sizes: Mapping[str, Array], x: Array) -> Applied:
    """A batch norm in training mode. Some frameworks compute the variance as the mean square minus the squared mean."""
    axes = tuple(range(x.ndim - 1))
    scale, offset = sizes.get("scale", np.ones(())), sizes.get("offset", np.zeros(()))
    square, variance = (x**2).mean(axes), x.var(axes) + layer.epsilon
    size = np.abs(x)
    unit = (size + size.mean(axes)) / np.sqrt(variance) * (1 + square / variance)

    def backward(dy: Array) -> tuple[tuple[Array, ...], dict[str, Array]]:
        gradients = {"scale": (dy * unit).sum(axes), "offset": dy.sum(axes)}
        dunit = dy * scale
        dx = (dunit + dunit.mean(axes) + unit * (dunit * unit).mean(axes)) / np.sqrt(variance)
        return (dx,), {name: value for name, value in gradients.items() if name in sizes}

    return Applied(unit * scale + offset, backward)


def squared_factors(layer: spec.Layer, context: Context, *squares: Array) -> Applied:
    """The layer with squared factors and without constants. It propagates the squares of independent errors."""
    own = context.weights
    factors = {name: own[name] ** 2 for name in ("kernel", "scale") if name in own}
    match layer:
        case spec.BatchNorm():
            factors |= {name: np.zeros_like(own[name]) for name in ("mean", "offset") if name in own}
            factors["variance"] = (own["variance"] + layer.epsilon) ** 2 - layer.epsilon
        case spec.Normalize():
            layer = replace(layer, mean=(0.0,) * len(layer.mean), std=tuple(value**2 for value in layer.std))
    return LAYERS[type(layer)](layer, context._replace(weights=factors), *squares)


class OwnErrors(NamedTuple):
    """The errors that a layer itself adds to its output and to the gradients that it returns."""

    output: Array
    backward: Callable[..., tuple[Sequence[Array], Mapping[str, Array]]]
    """Takes a gradient, the exact values in it, and the squared errors that it brings to each input. Returns the errors
    for each input and for each weight."""


def own_errors(
    layer: spec.Layer, context: Context, inputs: Sequence[Array], done: Applied, unit: float,
    exact: Sequence[Array], brought: Array | float = 0.0,
) -> OwnErrors:  # fmt: skip
    """The errors of a layer. `exact` holds the exact values of each input. `brought` holds the squared errors that the
    other values bring to its output."""
    match layer:
        case spec.Activation(function=function):
            size = 0.0 if function in BENDS else 4 * unit
            return OwnErrors(size * np.abs(done.output), lambda dy, exact, brought: ([size * np.abs(dy)], {}))
        case spec.MaxPool() | spec.Flatten() | spec.Concat() | spec.Dropout():  # no arithmetic, no errors
            nothing = [np.zeros(())] * len(inputs)
            return OwnErrors(np.zeros_like(done.output), lambda dy, exact, brought: (nothing, {}))
    terms = term_magnitudes(layer, context, *inputs)
    bias = quantum(context.weights.get("bias", np.zeros(1)))
    whole = min(bias, *(_whole(layer, context, values) for values in exact))

    def backward(
        dy: Array, exact: Array, brought: Sequence[Array | float]
    ) -> tuple[Sequence[Array], Mapping[str, Array]]:
        flowing, own = terms.backward(np.abs(dy))
        whole = _whole(layer, context, exact)
        sizes = [rounded(size, unit, whole, squares) for size, squares in zip(flowing, brought, strict=True)]
        return sizes, {name: unit * size for name, size in own.items()}

    return OwnErrors(rounded(terms.output, unit, whole, brought), backward)


def _whole(layer: spec.Layer, context: Context, values: Array) -> float:
    """A power of two that divides all terms made of these values; 0 if there is none."""
    match layer:
        case spec.Conv() | spec.Dense():
            return quantum(values) * quantum(context.weights["kernel"])
        case spec.Add():
            return quantum(values)
    return 0.0


class _Step(NamedTuple):
    """A node: its output, the squared errors of the output, and the backward function for a gradient and its squared
    errors."""

    output: Array
    squares: Array
    backward: Callable[[Array, Array], Sequence[tuple[Array, Array]]]
    origin: Array
    """For each value, the exact value that it is computed from; NaN if there is none. The function is the same in a
    whole channel, so equal origins give equal values in every framework."""


def _exact(values: Array, squares: Array) -> Array:
    return np.where(squares == 0, values, np.nan)


class RunningErrors:
    """A network of the reference in evaluation mode, with an estimate of the error of each value."""

    def __init__(self, net: Net, unit: float = DOUBLE) -> None:
        self.net, self.unit = net, unit

    def run(self, pixels: Array) -> dict[str, _Step]:
        """The steps of all nodes. The pixels count as exact."""
        steps = {Model.INPUT: _Step(pixels, np.zeros_like(pixels), lambda dy, squares: ((dy, squares),), pixels)}
        for node in self.net.model.nodes:
            own = {name: self.net.weights[f"{node.name}.{name}"] for name in node.parameters}
            context = Context(own, False, self.net.random)
            steps[node.name] = self._step(node.layer, context, [steps[name] for name in node.inputs])
        return steps

    def input_gradient(self, pixels: Array, labels: Array, objective: Objective) -> Estimate:
        """The gradient of each picture's objective with respect to its pixels."""
        model, steps = self.net.model, self.run(np.asarray(pixels, np.float64))
        logits = steps[model.end()]
        flowing = {model.end(): (slope(objective, logits.output, labels), self._of_slope(objective, logits, labels))}
        for node in reversed(model.nodes):
            back = steps[node.name].backward(*flowing.pop(node.name))
            for name, (gradient, squares) in zip(node.inputs, back, strict=True):
                if name in flowing:
                    before, errors = flowing[name]
                    size = (self.unit * (np.abs(gradient) + np.abs(before))) ** 2
                    gradient, squares = gradient + before, squares + errors + size
                flowing[name] = gradient, squares
        gradient, squares = flowing[Model.INPUT]
        return Estimate(gradient, np.sqrt(squares))

    def _of_slope(self, objective: Objective, logits: _Step, labels: Array) -> Array:
        """The squared errors of the derivative of the objective: probabilities, minus 1 for the label."""
        if objective == "logit":
            return np.zeros_like(logits.output)
        shares = probabilities(logits.output)[:, -logits.output.shape[1] :]
        truth = np.abs(slope(objective, logits.output, labels) - shares)
        moved = shares * (np.sqrt(logits.squares) + (shares * np.sqrt(logits.squares)).sum(1, keepdims=True))
        squares: Array = (4 * self.unit * (shares + truth)) ** 2 + moved**2
        return squares

    def _step(self, layer: spec.Layer, context: Context, before: Sequence[_Step]) -> _Step:
        inputs = [step.output for step in before]
        squares = [step.squares for step in before]
        done = LAYERS[type(layer)](layer, context, *inputs)
        exact = [values[errors == 0] for values, errors in zip(inputs, squares, strict=True)]
        match layer:
            case spec.Activation(function=function):
                own = own_errors(layer, context, inputs, done, self.unit, exact)
                return self._activation(function, done, own, before[0])
            case spec.MaxPool():
                return self._max_pool(layer, done, before[0])
        flowing = squared_factors(layer, context, *squares)
        own = own_errors(layer, context, inputs, done, self.unit, exact, flowing.output)

        def backward(dy: Array, dsquares: Array) -> Sequence[tuple[Array, Array]]:
            brought = flowing.backward(dsquares)[0]
            added, _ = own.backward(dy, dy[dsquares == 0], brought)
            pairs = zip(done.backward(dy)[0], brought, added, strict=True)
            return [(gradient, moved + size**2) for gradient, moved, size in pairs]

        moved = flowing.output + own.output**2
        place_by_place = isinstance(layer, spec.BatchNorm | spec.Normalize)
        origin = before[0].origin if place_by_place else _exact(done.output, moved)
        return _Step(done.output, moved, backward, origin)

    def _activation(self, function: str, done: Applied, own: OwnErrors, before: _Step) -> _Step:
        """An activation, which multiplies errors by its slope. The error of a smooth slope is about as large as that of
        the input. An uncertain slope, at a kink, is 0 or 1."""
        x, errors = before.output, np.sqrt(before.squares)
        if bends := BENDS.get(function):
            off = np.any([np.abs(x - bend) <= CERTAIN * errors for bend in bends], 0) & (errors > 0)
        else:
            off = errors + 4 * self.unit
        slopes = done.backward(np.ones_like(x))[0][0]
        spread = (np.abs(slopes) + off) ** 2

        def backward(dy: Array, dsquares: Array) -> Sequence[tuple[Array, Array]]:
            return [(dy * slopes, dsquares * spread + (dy * off) ** 2)]

        return _Step(done.output, before.squares * spread + own.output**2, backward, before.origin)

    def _max_pool(self, layer: spec.MaxPool, done: Applied, before: _Step) -> _Step:
        """A max pool. Each value of a window that may be the largest may get the gradient. If all of them have the same
        origin, the first gets it."""
        window, x, errors = layer.window, before.output, np.sqrt(before.squares)
        margin = CERTAIN * errors
        least = windows(pad(x - margin, window, -np.inf), window).max((-2, -1))
        may_win = windows(pad(x + margin, window, -np.inf), window) >= least[..., None, None]
        origins = windows(pad(before.origin, window, -np.inf), window)
        lowest, highest = np.where(may_win, origins, np.inf), np.where(may_win, origins, -np.inf)
        tied = lowest.min((-2, -1)) == highest.max((-2, -1))  # False if any of them is NaN
        inexact = (may_win & (windows(pad(errors, window), window) > 0)).any((-2, -1))
        contested = (may_win.sum((-2, -1)) > 1) & inexact & ~tied

        def backward(dy: Array, dsquares: Array) -> Sequence[tuple[Array, Array]]:
            gradient, moved = (done.backward(flow)[0][0] for flow in (dy, dsquares))
            if contested.any():
                lost = np.where(contested, dy**2 + dsquares, 0.0)[..., None, None] * may_win
                moved = moved + gather(lost.transpose(0, 1, 2, 4, 5, 3), x, window)
            return [(gradient, moved)]

        squares = np.where(may_win, windows(pad(before.squares, window), window), 0.0).max((-2, -1))
        origin = np.where(tied, highest.max((-2, -1)), _exact(done.output, squares))
        return _Step(done.output, squares, backward, origin)
