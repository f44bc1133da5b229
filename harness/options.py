"""Options of tasks: frozen dataclasses. A user sets them by paths such as `optimizer.lr`.

An option may be one of several dataclasses. Its path `name` chooses one: `optimizer.name = "sgd"`. Names are set before
other paths, because they decide which paths exist.

A `Range` holds the numbers that an option may have.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from harness.errors import OutOfRange, UsageError

Options = TypeVar("Options")
NAME = "name"


def flatten(options: Any, path: str = "") -> dict[str, Any]:
    """Every option by its path."""
    flat: dict[str, Any] = {}
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            if _choices(options, field.name):
                flat[f"{path}{field.name}.{NAME}"] = _name(value)
            flat |= flatten(value, f"{path}{field.name}.")
        else:
            flat[f"{path}{field.name}"] = value
    return flat


def change(options: Options, values: Mapping[str, Any], where: str = "") -> Options:
    """A copy of the options with new values at some paths. Errors write paths after `where`, such as "scratch-cnn."."""
    for path, value in names_first(values):
        try:
            options = _change_one(options, path, path.split("."), value, where)
        except _UnknownOption as unknown:
            raise UsageError(
                f"there is no option {where}{path}; {_hint(options, path, unknown, where)}", code="unknown-option"
            ) from None
    return options


def names_first(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Paths and values in the order in which to set them: names of dataclasses come first."""
    return sorted(values.items(), key=lambda pair: not pair[0].endswith(f".{NAME}"))


def parse(text: str) -> Any:
    """Parse a value of the command line: JSON, such as a number, true, false or null; anything else is a word."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):  # includes numbers with too many digits
        return text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{doubled[0]} is given twice in {{{', '.join(names)}}}; give it once", code="given-twice")
    return dict(pairs)


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the most similar known name, and all known names."""
    known = sorted(known)
    guess = difflib.get_close_matches(name, known, 1)
    return (f"did you mean {guess[0]!r}? " if guess else "") + f"There are: {', '.join(known) or 'none'}"


class _UnknownOption(Exception):
    """A group of options has no option of this name."""

    def __init__(self, group: str, name: str, names: list[str]) -> None:
        """`group` is the path of the group, such as "optimizer.", and `names` are the options that it has."""
        self.group, self.name, self.names = group, name, names


def _hint(options: Any, path: str, unknown: _UnknownOption, where: str) -> str:
    """The option that the user probably means, and all options of the group that has no such option."""
    same_name = [other for other in flatten(options) if f".{other}".endswith(f".{path.rpartition('.')[2]}")]
    similar = difflib.get_close_matches(unknown.name, unknown.names, 1)
    guess = difflib.get_close_matches(path, same_name, 1, cutoff=0) or [unknown.group + name for name in similar]
    group = f"{where}{unknown.group}".rstrip(".")
    options_of = f"Options of {group}" if group else "Options"
    names = ", ".join(sorted(unknown.names)) or "none"
    return (f"did you mean '{where}{guess[0]}'? " if guess else "") + f"{options_of}: {names}"


def _change_one(options: Any, path: str, steps: list[str], value: Any, where: str) -> Any:
    """Set the option at `steps`, which are the last steps of `path`."""
    name, rest = steps[0], steps[1:]
    names = [field.name for field in fields(options)]
    prefix = path[: len(path) - len(".".join(steps))]
    if name not in names:
        raise _UnknownOption(prefix, name, names)
    current, choices = getattr(options, name), _choices(options, name)
    if rest and not is_dataclass(current):
        raise UsageError(
            f"{where}{path}: {name!r} is a value, not a group of options: set it itself", code="wrong-type"
        )
    if is_dataclass(current) and not rest:
        raise UsageError(_not_a_value(f"{where}{path}", current, choices, value), code="wrong-type")
    if not rest:
        value = _checked(get_type_hints(type(options))[name], value, f"{where}{path}")
    elif choices and rest == [NAME]:
        if value not in [*choices]:  # a list is no key
            raise UsageError(
                f"{where}{path} must be {' or '.join(map(repr, sorted(choices)))}, not {value!r}", code="unknown-name"
            )
        value = current if _name(current) == value else choices[value]()
    else:
        value = _change_one(current, path, rest, value, where)
    try:
        return replace(options, **{name: value})
    except OutOfRange as error:
        raise error.within(f"{where}{prefix}".rstrip(".")) from None


def _not_a_value(path: str, group: Any, choices: Mapping[str, Any], value: Any) -> str:
    """The error for a group of options that is set like a single value."""
    problem = f"{path} is a group of options and cannot be {value!r}"
    if choices:
        return f"{problem}; choose one with {path}.{NAME}: {', '.join(sorted(choices))}"
    return f"{problem}; set one of its options: {', '.join(f'{path}.{name}' for name in flatten(group))}"


def _choices(options: Any, name: str) -> dict[str, Any]:
    """The dataclasses that an option may be, by their lower-case names; empty if there is no such choice."""
    kind = get_type_hints(type(options))[name]
    arms = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    return {arm.__name__.lower(): arm for arm in arms if isinstance(arm, type) and is_dataclass(arm)}


def _name(value: object) -> str:
    return type(value).__name__.lower()


def _checked_arms(kinds: tuple[Any, ...], value: Any, path: str) -> Any:
    """The value as the first of several types that accepts it; otherwise the error of the first type."""
    if value is None and type(None) in kinds:
        return None
    errors = []
    for kind in kinds:
        if kind is not type(None):
            try:
                return _checked(kind, value, path)
            except UsageError as error:
                errors.append(error)
    raise errors[0]


def _finite(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{path} must be a number, not {value!r}", code="wrong-type")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UsageError(f"{path} must be a finite number, not {number}", code="not-finite")
    return number


def _example(kind: Any) -> str:
    return "0, 1" if kind is int else '"one", "two"'


def _checked(kind: Any, value: Any, path: str) -> Any:
    """The value converted to the type; raises UsageError with the allowed values."""
    origin = get_origin(kind)
    if origin is Literal:
        allowed, fits = " or ".join(map(repr, get_args(kind))), value in get_args(kind)
    elif origin in (Union, UnionType):
        return _checked_arms(get_args(kind), value, path)
    elif origin is tuple:
        if not isinstance(value, list | tuple):
            raise UsageError(
                f"{path} must be a list, such as [{_example(get_args(kind)[0])}], not {value!r}", code="wrong-type"
            )
        return tuple(_checked(get_args(kind)[0], item, f"{path}[{index}]") for index, item in enumerate(value))
    elif kind is float:
        return _finite(value, path)
    elif kind in (int, bool, str):
        allowed, fits = {int: "a whole number", bool: "true or false", str: "a word"}[kind], type(value) is kind
    else:
        raise UsageError(
            f"{path} cannot be set: an option must be a number, a word, true or false, or a list, not {kind}",
            code="wrong-type",
        )
    if not fits:
        raise UsageError(
            f"{path} must be {allowed}, not {value!r}", code="unknown-name" if origin is Literal else "wrong-type"
        )
    return value


class Range(NamedTuple):
    """The numbers from `low` to `high`. An end can be left out of the range. NaN and infinity are in no range."""

    low: float = -math.inf
    high: float = math.inf
    without_low: bool = False
    without_high: bool = False

    def __contains__(self, value: Any) -> bool:
        if not isinstance(value, int) and not math.isfinite(value):
            return False
        above = value > self.low if self.without_low else value >= self.low
        below = value < self.high if self.without_high else value <= self.high
        return bool(above and below)

    def __str__(self) -> str:
        low = f"{'above' if self.without_low else 'at least'} {self.low:.12g}"
        high = f"{'below' if self.without_high else 'at most'} {self.high:.12g}"
        ends = [text for end, text in ((self.low, low), (self.high, high)) if math.isfinite(end)]
        if len(ends) == 2 and not self.without_low:
            return f"from {self.low:.12g} to {'below ' if self.without_high else ''}{self.high:.12g}"
        return " and ".join(ends) or "a finite number"


AT_LEAST_0, AT_LEAST_1, ABOVE_0 = Range(0), Range(1), Range(0, without_low=True)
"""Numbers without an upper end."""

FACTOR = Range(0, 1, without_low=True)
"""A factor that makes nothing larger."""
SHARE, BELOW_1 = Range(0, 1), Range(0, 1, without_high=True)
"""Shares of a whole: from 0 to 1, and from 0 to below 1."""


def check_ranges(options: object, **ranges: Range) -> None:
    """Raise `OutOfRange` unless these fields of a dataclass lie in their ranges. None is in every range."""
    for name, allowed in ranges.items():
        value = getattr(options, name)
        for place, number in _numbers(name, value):
            if number is not None and number not in allowed:
                raise OutOfRange(type(options).__name__, place, f"must be {allowed}, not {number}")


def _numbers(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, tuple | list):
        return [(f"{name}[{place}]", number) for place, number in enumerate(value)]
    return [(name, value)]
