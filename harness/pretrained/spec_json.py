"""Networks as JSON, and back: a file of weights contains its network in this form."""

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
"""All layers that a model may contain."""


def described(model: Model) -> dict[str, Any]:
    """The network as numbers, strings, lists and dictionaries, for JSON."""
    return {
        "name": model.name,
        "input_shape": list(model.input_shape),
        "trunk": [_plain(layer) for layer in model.trunk],
        "head": [_plain(layer) for layer in model.head],
    }


def model_of(description: Any) -> Model:
    """The inverse of `described`. Raises SpecError if the description is not valid."""
    try:
        name, shape = description["name"], _value(description["input_shape"])
        trunk, head = _value(description["trunk"]), _value(description["head"])
        if not isinstance(name, str):
            raise TypeError(f"its name is {name!r}")
        model = Model(name, shape, trunk, head)
        model.parameters  # noqa: B018 - raises SpecError if the layers do not fit together
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpecError(
            f"this is not the description of a network: {type(error).__name__}: {error}", code="malformed-file"
        ) from None
    return model


def _plain(value: Any) -> Any:
    if isinstance(value, Layer):
        options = {field.name: getattr(value, field.name) for field in fields(value)}
        defaults = {field.name: field.default for field in fields(value) if field.default is not MISSING}
        changed = {
            name: _plain(option) for name, option in options.items() if name not in defaults or defaults[name] != option
        }
        return {"layer": type(value).__name__} | changed
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _value(plain: Any) -> Any:
    if isinstance(plain, Mapping):
        options = {name: _value(value) for name, value in plain.items() if name != "layer"}
        return LAYERS[plain["layer"]](**options)
    return tuple(map(_value, plain)) if isinstance(plain, list) else plain
