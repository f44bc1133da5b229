"""Checks of the results of a backend: their type, the type of their numbers, and their shape.

NaN passes these checks, because it is the result of a training that diverges. Comparisons with the reference demand
finite numbers. A check takes some microseconds.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from harness.data import Batches
from harness.errors import ContractError
from harness.recipe import Recipe
from harness.spec import Array, Model, Shape, Upto

DEVICES = ("cpu", "gpu")
Check = Callable[..., Any]
MARK = "returns_checked"
"""The attribute that marks a checked method. Its value is the method, so a copy on another function marks nothing."""


def is_real(dtype: np.dtype[Any]) -> bool:
    """Whether numbers of this type are real floating-point numbers. NumPy identifies bfloat16 by its name only."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


class Known(NamedTuple):
    """The model of a network, and the shapes of its outputs."""

    model: Model
    outputs: Mapping[Upto, Shape]

    @classmethod
    def of(cls, model: Model) -> Known:
        parts: tuple[Upto, ...] = ("features", "logits")
        return cls(model, {upto: model.shape_at(model.end(upto)) for upto in parts})


class Networks:
    """The model of each network, as long as the network exists. Networks without support for weak references, such as
    dictionaries, are not kept."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], Known]] = {}

    def add(self, net: Any, model: Model) -> None:
        place, known = id(net), self._known
        try:
            reference = weakref.ref(net, lambda _: known.pop(place, None))
        except TypeError:
            return
        known[place] = reference, Known.of(model)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, net: Any) -> Known | None:
        reference, known = self._known.get(id(net), (None, None))
        return known if reference is not None and reference() is net else None


class Returned:
    """A check for each method of a backend.

    The arguments of a check are the name of the backend, the networks that the backend has built, the value that the
    method returned, and the arguments of the method. A check may return a value that replaces the method's value.
    """

    @staticmethod
    def build(name: str, networks: Networks, found: Any, model: Model, *given: Any, **named: Any) -> None:
        networks.add(found, model)

    @staticmethod
    def forward(
        name: str, networks: Networks, found: Any, net: Any, batches: Batches, *, upto: Upto = "logits", **named: Any
    ) -> Any:
        """Remove the results of the rows that fill the last batch."""
        known, rows = networks.get(net), len(batches.rows)
        if isinstance(found, np.ndarray) and found.ndim and len(found) == len(batches) * batches.batch_size:
            found = found[:rows]
        check_array(f"{name}: forward", found, (rows, *known.outputs[upto]) if known else (rows, ...))
        return found

    @staticmethod
    def weights(name: str, networks: Networks, found: Any, net: Any) -> None:
        known = networks.get(net)
        _check_tensors(f"{name}: weights", found, known and known.model)

    @staticmethod
    def native_weights(name: str, networks: Networks, found: Any, model: Model, *given: Any, **named: Any) -> None:
        _check_tensors(f"{name}: native_weights", found, model)

    @staticmethod
    def input_gradient(
        name: str, networks: Networks, found: Any, net: Any, images: Array, *given: Any, **named: Any
    ) -> None:
        check_array(f"{name}: input_gradient", found, images.shape)

    @staticmethod
    def device_of(name: str, networks: Networks, found: Any, *given: Any, **named: Any) -> None:
        check_device(f"{name}: device_of", found)

    @staticmethod
    def versions(name: str, networks: Networks, found: Any) -> None:
        _check_words(f"{name}: versions", found)

    @staticmethod
    def settings(name: str, networks: Networks, found: Any) -> None:
        _check_words(f"{name}: settings", found)

    @staticmethod
    def peak_device_bytes(name: str, networks: Networks, found: Any) -> None:
        if found is not None and (type(found) is not int or found < 0):
            raise ContractError(
                f"{name}: peak_device_bytes returned {shown(found)}; it must return a number of bytes, or None"
            )


CHECKS: dict[str, Check] = {name: getattr(Returned, name) for name in vars(Returned) if not name.startswith("_")}


class Before:
    """Checks of the arguments, before a method of a backend runs."""

    @staticmethod
    def trainer(networks: Networks, net: Any, recipe: Recipe, *given: Any, **named: Any) -> None:
        """The recipe must fit the network. Networks that `Networks` does not keep are not checked."""
        if known := networks.get(net):
            recipe.check(known.model)

    native_trainer = trainer


def checked(cls: type, name: str, check: Check) -> None:
    """Add the checks to the method of this name, unless it is abstract or already has them."""
    before = getattr(Before, name, None)
    method = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    if method is None or getattr(method, "__isabstractmethod__", False) or getattr(method, MARK, None) is method:
        return

    @wraps(method)
    def call(self: Any, *given: Any, **named: Any) -> Any:
        if before:
            before(self._networks, *given, **named)
        found = method.__get__(self, type(self))(*given, **named)
        replacement = check(self.name, self._networks, found, *given, **named)
        return found if replacement is None else replacement

    setattr(call, MARK, call)
    setattr(cls, name, call)


def check_array(what: str, found: Any, shape: tuple[Any, ...]) -> None:
    """Raise unless this is an array of real floating-point numbers with this shape. An ellipsis at the end of the shape
    stands for one or more dimensions of any size."""
    if isinstance(found, np.ndarray) and is_real(found.dtype) and _has(found.shape, shape):
        return
    wanted = str(shape).replace("Ellipsis", "...")
    raise ContractError(
        f"{what} returned {shown(found)}; it must return an array of float32 or float64 of shape {wanted}"
    )


def check_device(what: str, found: Any) -> None:
    if not (isinstance(found, str) and found in DEVICES):
        raise ContractError(f"{what} returned {shown(found)}; it must be 'cpu' or 'gpu'")


def shown(value: Any) -> str:
    """A short description of a value, for a message."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    kind, text = type(value).__name__, repr(value)
    if len(text) <= 40 and not callable(value):
        return f"{kind} {text}"
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _has(shape: Shape, wanted: tuple[Any, ...]) -> bool:
    if wanted and wanted[-1] is ...:
        return len(shape) >= len(wanted) and shape[: len(wanted) - 1] == wanted[:-1]
    return shape == wanted


def _check_tensors(what: str, found: Any, model: Model | None) -> None:
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise ContractError(f"{what} returned {shown(found)}; it must return a dictionary of arrays by their names")
    if model:
        missing = [f"missing {name}" for name in model.parameters if name not in found]
        unknown = [f"unknown {name}" for name in found if name not in model.parameters]
        if missing or unknown:
            raise ContractError(
                f"{what} returned {len(found)} tensors whose names differ from those of {model.name}: "
                f"{'; '.join([*missing, *unknown][:5])}; return those of model.parameters"
            )
    for name, tensor in found.items():
        check_array(f"{what}: {name}", tensor, model.parameters[name].shape if model else (...,))


def _check_words(what: str, found: Any) -> None:
    if not isinstance(found, Mapping) or not all(isinstance(word, str) for pair in found.items() for word in pair):
        raise ContractError(f"{what} returned {shown(found)}; it must return a dictionary from str to str")
