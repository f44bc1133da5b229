"""A network as plain data and back, so that a file of weights can say which network they are of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from harness import spec
from harness.errors import SpecError
from harness.spec import Layer, Model

LAYERS: Mapping[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        spec.Activation, spec.AvgPool, spec.BatchNorm, spec.Branches, spec.Conv, spec.Dense, spec.Dropout, spec.Flatten,
        spec.GlobalAvgPool, spec.MaxPool, spec.Normalize, spec.Residual,
    )
}  # fmt: skip
"""Every layer that may stand in a model."""


def described(model: Model) -> dict[str, Any]:
    """The network in numbers, texts, lists and objects, as JSON has them."""
    return {
        "name": model.name,
        "input_shape": list(model.input_shape),
        "trunk": [_plain(layer) for layer in model.trunk],
        "head": [_plain(layer) for layer in model.head],
    }


def model_of(description: Any) -> Model:
    """The inverse of `described`; raises SpecError if it describes no network."""
    try:
        name, shape = description["name"], _value(description["input_shape"])
        trunk, head = _value(description["trunk"]), _value(description["head"])
        if not isinstance(name, str):
            raise TypeError(f"its name is {name!r}")
        model = Model(name, shape, trunk, head)
        model.parameters  # noqa: B018 - walks every layer, and raises where one does not fit
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpecError(f"this describes no network: {type(error).__name__}: {error}") from None
    return model


def _plain(value: Any) -> Any:
    if isinstance(value, Layer):
        told = {field.name: getattr(value, field.name) for field in fields(value)}
        defaults = {field.name: field.default for field in fields(value) if field.default is not MISSING}
        kept = {name: _plain(one) for name, one in told.items() if name not in defaults or defaults[name] != one}
        return {"layer": type(value).__name__} | kept
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _value(plain: Any) -> Any:
    if isinstance(plain, Mapping):
        options = {name: _value(value) for name, value in plain.items() if name != "layer"}
        return LAYERS[plain["layer"]](**options)
    return tuple(map(_value, plain)) if isinstance(plain, list) else plain
