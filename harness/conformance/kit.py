"""The register of rules, the tools of a rule, and the messages of failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, NoReturn, get_args

import numpy as np

from harness.arrays.returned import is_real, shown
from harness.backend import Backend, Precision
from harness.conformance.suspects import SUSPECTS
from harness.data import Batches, Examples
from harness.errors import ContractError, SamebenchError, Unavailable, Unsupported
from harness.parity import EXACT_LIMIT
from harness.parity.probes import GRADIENT_LR, awkward_examples, deviation, generic_weights
from harness.recipe import SGD, LossName, Recipe
from harness.reference.backend import NumPy
from harness.spec import Array, Layer, Model, Shape

AnyBackend = Backend[Any]
Observe = Callable[[AnyBackend], Mapping[str, Array]]
Rule = Callable[["Kit"], None]

RULES: dict[str, Rule] = {}
OPTIONAL: set[str] = set()
"""Rules about a layer, an optimiser or a precision. A backend may decline these rules with a reason, and no others."""


class ConformanceError(SamebenchError):
    """A broken rule. The message says which value is wrong, and which common mistake would explain it."""

    code = "broken-rule"


Became = Literal["passed", "failed", "declined", "known failure", "unexpected pass"]
STATUSES: tuple[Became, ...] = get_args(Became)


class Outcome(NamedTuple):
    """The outcome of a rule. "declined" means that the backend raised `Unsupported`."""

    rule: str
    status: Became
    message: str = ""

    @property
    def bad(self) -> bool:
        return self.status in ("failed", "unexpected pass")


def rule(function: Rule) -> Rule:
    """Register a rule. Its docstring is the text of the rule, which a failure prints."""
    RULES[function.__name__.removeprefix("check_")] = function
    return function


def optional_rule(function: Rule) -> Rule:
    """Register a rule that a backend may decline."""
    OPTIONAL.add(function.__name__.removeprefix("check_"))
    return rule(function)


class Kit:
    """The tools of a rule: the backend, and comparisons with the reference."""

    def __init__(self, backend: type[AnyBackend], device: str = "auto", mode: str = "default", rule: str = "") -> None:
        self.type, self.device, self.mode, self.rule = backend, device, mode, rule

    def backend(self, precision: Precision = "float64") -> AnyBackend:
        return self.type(self.device, self.mode, precision)

    def demand(self, condition: bool, message: str) -> None:
        if not condition:
            self.fail(message)

    def fail(self, message: str) -> NoReturn:
        raise ConformanceError(message)

    def agree(self, observe: Observe, precision: Precision = "float64", limit: float = EXACT_LIMIT) -> dict[str, float]:
        """Demand that `observe` returns the same for the backend and the reference. Return the deviations."""
        expected = observe(NumPy(precision="float64"))
        try:
            actual = observe(self.backend(precision))
        except ContractError as error:
            self.fail(f"{error}, as the reference does.{_blame(self._with_the_same_error(observe, error))}")
        off = {what: deviation(actual[what], right) for what, right in expected.items()}
        for what, found in off.items():
            if not found <= limit:
                text = _explain(what, actual[what], expected[what], found, limit)
                worst = max(off.values())  # a suspect that is a hundred times closer explains the failure
                close = max(limit, min(worst / 100, 1e-2)) if np.isfinite(worst) else limit
                self.fail(text + self._suspicion(observe, actual, close))
        return off

    def agree_on_network(self, model: Model, *, loss: LossName = "softmax") -> None:
        """Demand the same logits, gradients of pixels and tensors, and statistics after a step."""
        self.agree(partial(observe_network, model=model, loss=loss))

    def agree_on_training(self, model: Model, recipe: Recipe, lr: Array | None = None) -> None:
        """Demand the same losses, and the same tensors after a short training."""
        self.agree(partial(observe_training, model=model, recipe=recipe, lr=lr))

    def _suspicion(self, observe: Observe, actual: Mapping[str, Array], limit: float) -> str:
        """The suspects of the rule that agree with the backend, within `limit`, in everything observed."""
        guilty = []
        for cause, suspect in SUSPECTS.get(self.rule, {}).items():
            try:
                suspected = observe(suspect(precision="float64"))
            except Exception:
                continue  # this suspect cannot run this network
            if all(deviation(actual[what], value) <= limit for what, value in suspected.items()):
                guilty.append(cause)
        return _blame(guilty)

    def _with_the_same_error(self, observe: Observe, error: ContractError) -> list[str]:
        """The suspects of the rule that raise the same `ContractError` as the backend."""
        guilty = []
        for cause, suspect in SUSPECTS.get(self.rule, {}).items():
            try:
                observe(suspect(precision="float64"))
            except ContractError as found:
                guilty += [cause] if _without_name(found) == _without_name(error) else []
            except Exception:
                continue  # this suspect cannot run this network
        return guilty


def _blame(guilty: Sequence[str]) -> str:
    return f" This is what you get from {'; or from '.join(guilty)}." if guilty else ""


def _without_name(error: ContractError) -> str:
    return str(error).partition(": ")[2]


def observe_network(backend: AnyBackend, model: Model, loss: LossName) -> dict[str, Array]:
    examples, weights = awkward_examples(model, 12), generic_weights(model)
    net = backend.build(model, weights)
    seen = {"the logits": backend.forward(net, Batches(examples, np.arange(11), 4))}
    pixels = examples.pixels(examples.images[:4])
    seen["the gradient of the pixels"] = backend.input_gradient(net, pixels, examples.labels[:4], loss)
    trainer = backend.trainer(net, Recipe(SGD(lr=1), loss=loss))
    trainer.run(Batches(examples, np.arange(8), 8), np.full(1, GRADIENT_LR))
    for name, after in backend.weights(net).items():
        if model.parameters[name].trainable:
            seen[f"the gradient of {name}"] = (weights[name].astype(np.float64) - after) / GRADIENT_LR
        else:
            seen[f"{name} after one step"] = after
    return seen


def observe_training(backend: AnyBackend, model: Model, recipe: Recipe, lr: Array | None = None) -> dict[str, Array]:
    batches = Batches.shuffled(awkward_examples(model, 24), 8, seed=0, epochs=range(2))
    rates = recipe.learning_rates(len(batches)) if lr is None else lr
    net = backend.build(model, generic_weights(model))
    trainer = backend.trainer(net, recipe)
    losses = [trainer.run(batches[part], rates[part], record=True) for part in (slice(0, 4), slice(4, None))]
    seen = {f"the loss of step {step}": loss for step, loss in enumerate(np.concatenate(losses), 1)}
    return seen | {f"{name} after training": value for name, value in backend.weights(net).items()}


def network(*trunk: Layer, shape: Shape = (6, 6, 2), classes: int = 3, flat: bool = False) -> Model:
    """A small network with these layers as its trunk."""
    from harness.spec import Dense, Flatten

    return Model("probe", shape, trunk, (Dense(classes),) if flat else (Flatten(), Dense(classes)))


def examples_of(images: Array, pixel_max: int = 255) -> Examples:
    """Pictures with labels 0, 1, 2, 0, 1, 2, ..."""
    return Examples(images, (np.arange(len(images)) % 3).astype(np.int32), pixel_max)


def _explain(what: str, actual: Array, expected: Array, found: float, limit: float) -> str:
    if not is_real(np.asarray(actual).dtype):
        return f"{what}: {shown(actual)}; it must hold real floating-point numbers."
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        return f"{what}: shape {actual.shape}, but the reference has {expected.shape}."
    place = np.unravel_index(np.nan_to_num(np.abs(actual - expected), nan=np.inf).argmax(), expected.shape)
    at = f" at {tuple(map(int, place))}" if place else ""
    return (
        f"{what}{at}: got {actual[place]:.10g}, the reference says {expected[place]:.10g} "
        f"(deviation {found:.1e}, limit {limit:.0e})."
    )


def check(backend: type[AnyBackend], device: str = "auto", mode: str = "default") -> Iterator[Outcome]:
    """Check a backend against every rule. Yield the outcome of each rule."""
    for name in RULES:
        yield check_rule(name, backend, device, mode)


def check_rule(name: str, backend: type[AnyBackend], device: str = "auto", mode: str = "default") -> Outcome:
    known = backend.known_failures.get(name)
    try:
        RULES[name](Kit(backend, device, mode, name))
    except (Unavailable, KeyboardInterrupt):
        raise
    except BaseException as error:  # a backend may even call `sys.exit()`
        if isinstance(error, Unsupported) and name in OPTIONAL:
            return Outcome(name, "declined", str(error))
        message = str(error) if isinstance(error, ConformanceError) else f"{type(error).__name__}: {error}"
        return Outcome(name, "known failure", known) if known else Outcome(name, "failed", message)
    return Outcome(name, "unexpected pass", f"listed in known_failures: {known}") if known else Outcome(name, "passed")


def conforms(backend: type[AnyBackend], device: str = "auto", mode: str = "default") -> Callable[[Any], Any]:
    """A pytest decorator. It runs a test once for each rule, with a function `rule` that checks the rule."""
    import pytest

    def check_of(name: str) -> Callable[[], None]:
        def run() -> None:
            outcome = check_rule(name, backend, device, mode)
            if outcome.status == "declined":
                pytest.skip(outcome.message)
            if outcome.status == "known failure":
                pytest.xfail(outcome.message)
            assert not outcome.bad, f"{RULES[name].__doc__}\n{outcome.message}"

        return run

    return pytest.mark.parametrize("rule", [pytest.param(check_of(name), id=name) for name in RULES])
