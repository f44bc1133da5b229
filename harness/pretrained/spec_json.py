"""Networks as JSON, and back: a file of weights contains its network in this form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, Literal, get_type_hints

from msgspec import Struct, defstruct

from harness import spec
from harness.errors import SpecError
from harness.forms import problems
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


class ModelForm(Struct):
    """A network in JSON."""

    name: str
    input_shape: list[int]
    trunk: list[dict[str, Any]]
    head: list[dict[str, Any]]


INNER: Mapping[Any, Any] = {
    tuple[Layer, ...]: list[dict[str, Any]],
    tuple[tuple[Layer, ...], ...]: list[list[dict[str, Any]]],
}
"""The types of options that hold layers, and their types in JSON."""


def model_of(description: Any) -> Model:
    """The inverse of `described`. Raises SpecError if the description is not valid."""
    try:
        _check(description, ModelForm, "")
        trunk, head = (_value(description[part], part) for part in ("trunk", "head"))
        model = Model(description["name"], tuple(description["input_shape"]), trunk, head)
        model.parameters  # noqa: B018 - raises SpecError if the layers do not fit together
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise SpecError(
            f"this is not the description of a network: {error}; save it again", code="malformed-file"
        ) from None
    return model


def _value(plain: Any, path: str) -> Any:
    """A layer, or a tuple, that is stored as an object or a list."""
    if isinstance(plain, dict):
        _check(plain.get("layer"), Literal[*LAYERS], f"{path}.layer")
        kind = LAYERS[plain["layer"]]
        _check(plain, _form_of(kind), path)  # type: ignore[arg-type]  # mypy takes the hash of a layer for that of its class
        return kind(**{name: _value(value, f"{path}.{name}") for name, value in plain.items() if name != "layer"})
    if isinstance(plain, list):
        return tuple(_value(part, f"{path}[{place}]") for place, part in enumerate(plain))
    return plain


@cache
def _form_of(kind: type[Layer]) -> type[Struct]:
    """A layer in JSON: its name, and its options with their types."""
    hints = get_type_hints(kind)
    options = [
        (
            field.name,
            INNER.get(hints[field.name], hints[field.name]),
            *([] if field.default is MISSING else [field.default]),
        )
        for field in fields(kind)
    ]
    return defstruct(kind.__name__, [("layer", str), *options], kw_only=True, forbid_unknown_fields=True)


def _check(value: Any, form: Any, path: str) -> None:
    for problem in problems(value, form, path):
        raise ValueError(problem)


def _plain(value: Any) -> Any:
    if isinstance(value, Layer):
        options = {field.name: getattr(value, field.name) for field in fields(value)}
        defaults = {field.name: field.default for field in fields(value) if field.default is not MISSING}
        changed = {
            name: _plain(option) for name, option in options.items() if name not in defaults or defaults[name] != option
        }
        return {"layer": type(value).__name__} | changed
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
