"""Checks of the form of stored data: the type of each part. A check yields a line for each problem, with its path.

Files of a run may come from a broken cell, from another version or from a stranger. Reports rely on these checks alone.
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import chain, islice
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from harness.verdict import DEVIATIONS, KINDS, TIMED, verdict_in

Problems = Iterator[str]

NOT_FINITE = ("nan", "inf", "-inf")
"""Words in files for numbers that JSON cannot store."""

HASH = re.compile(r"sha256:[0-9a-f]{64}")
TEXTS = (
    "dataset", "model", "batches", "pictures", "augmented", "weights", "tuning_batches", "tuning_augmented", "subjects",
    "device", "backend_code",
)  # fmt: skip
EVIDENCE: dict[str, Any] = dict.fromkeys(TEXTS, str | None) | {
    "device": str, "data_notes": list[str], "notes": list[str], "own_ways": dict[str, str], "host": dict, "start": dict,
}  # fmt: skip
"""The fields of the evidence that reports use."""

COMPARED = EVIDENCE | {"first_losses": list[float], "first_segment_loss": float | None, "features": dict}
"""The fields of the evidence of a finished cell, which has numbers too."""

DEVIATION: Any = Literal["nan", "inf", "-inf"] | float | None
CERTIFICATE: dict[str, Any] = {"verdict": str, "steps": int, "timed": dict, "excludes": list[str]}
CERTIFICATE |= dict.fromkeys(DEVIATIONS, DEVIATION)
"""The fields of a certificate. Its deviations need not be finite numbers, unless the verdict is `equal`."""

START = ("name", "variant", "preprocessing", "source", "licence", "trained_on")
"""Fields about the weights that a cell starts from."""

NAMED = 8
"""The largest number of problems that are reported for the parts of a value."""

JSON_KINDS = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null", dict: "an object",
    list: "a list",
}  # fmt: skip


def shown(value: Any) -> str:
    """A value as messages show it, shortened."""
    return reprlib.repr(value)


def is_number(value: Any) -> bool:
    """Whether this is a finite number, and not an integer that is too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def containers_in(level: Iterable[Any]) -> list[Any]:
    """The objects and lists in these objects and lists of JSON: the next level of the data."""
    return [
        part
        for value in level
        for part in (value.values() if type(value) is dict else value)
        if type(part) is dict or type(part) is list
    ]


def is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def is_plain_name(name: str) -> bool:
    """Whether this can be the name of a file or a folder, and not a path."""
    return "/" not in name and "\0" not in name and name not in ("", ".", "..")


def mistyped(value: Any, kind: Any, path: str) -> Problems:
    """Problems of a value of plain data whose type is not the annotation `kind`."""
    if not fits(kind)(value):
        yield from _mistyped(value, kind, path)


@cache
def fits(kind: Any) -> Callable[[Any], bool]:
    """A function that tests whether a value has the type of the annotation. It is fast, because a report tests hundreds of
    values in thousands of results."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value: True
    if kind is float:
        return is_number
    if origin is Literal:
        return lambda value: any(value == part for part in parts)
    if origin in (Union, UnionType):
        checks = tuple(map(fits, parts))
        return lambda value: any(check(value) for check in checks)
    if origin is dict and parts:
        inner = fits(parts[1])
        return lambda value: isinstance(value, dict) and all(map(inner, value.values()))
    if origin is list and parts:
        inner = fits(parts[0])
        return lambda value: isinstance(value, list) and all(map(inner, value))
    return lambda value: _is_a(value, origin or kind)


def _mistyped(value: Any, kind: Any, path: str) -> Problems:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value not in parts:
            yield f"{path} is one of {', '.join(map(str, parts))}, not {shown(value)}"
    elif origin in (Union, UnionType):
        if all(any(mistyped(value, part, path)) for part in parts):
            yield f"{path} is {' or '.join(map(_word, parts))}, not {shown(value)}"
    elif not _is_a(value, origin or kind):
        yield f"{path} is {_word(kind)}, not {shown(value)}"
    elif isinstance(value, dict) and parts:
        yield from _first(mistyped(part, parts[1], f"{path}.{name}") for name, part in value.items())
    elif isinstance(value, list) and parts:
        yield from _first(mistyped(part, parts[0], f"{path}[{place}]") for place, part in enumerate(value))


def _first(found: Iterable[Problems]) -> Problems:
    """The first problems of the parts. A damaged file may have millions of problems."""
    return islice(chain.from_iterable(found), NAMED)


def _is_a(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind is float:
        return is_number(value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _word(kind: Any) -> str:
    kind = get_origin(kind) or kind
    return JSON_KINDS.get(dict if kind is Mapping else kind, str(kind))


def fields_of(data: Any, kinds: Mapping[str, Any], path: str, needed: Iterable[str] | None = None) -> Problems:
    """Problems in the named fields of an object. All of them are `needed` by default."""
    if not isinstance(data, dict):
        yield f"{path or 'it'} is an object, not {shown(data)}"
        return
    start = f"{path}." if path else ""
    for name in kinds if needed is None else needed:
        if name not in data:
            yield f"{start}{name} is missing"
    for name, kind in kinds.items():
        if name in data and not fits(kind)(data[name]):
            yield from mistyped(data[name], kind, f"{start}{name}")


def certificate_problems(data: Any, path: str = "certificate") -> Problems:
    """Problems in a certificate."""
    if problems := list(fields_of(data, CERTIFICATE, path)):
        yield from problems
        return
    try:
        equal = verdict_in(data).is_equal
    except ValueError:
        equal = False
        yield f"{path}.verdict starts with one of {', '.join(KINDS)}, not {shown(data['verdict'])}"
    yield from mistyped(data.get("about", {}), dict[str, Any], f"{path}.about")
    if isinstance(data.get("about"), dict):
        yield from fields_of(data["about"], {"versions": dict[str, str]}, f"{path}.about", ())
    number: Any = float | None
    needed = TIMED if equal else ()
    timed = {"logits": DEVIATION, "losses": DEVIATION, "limit": float}
    yield from fields_of(
        data["timed"], timed | (dict.fromkeys(TIMED[:2], number) if needed else {}), f"{path}.timed", needed
    )
    if equal:
        yield from fields_of(data, dict.fromkeys(DEVIATIONS, number), path)


def scores_problems(data: Any, cells: Iterable[str], path: str) -> Problems:
    """Problems in the answer of a judge about the pictures of these cells: scores, or a problem."""
    if isinstance(data, dict) and "problem" in data:
        yield from mistyped(data["problem"], str, f"{path}.problem")
        return
    if problems := list(fields_of(data, {"scores": dict}, path)):
        yield from problems
        return
    for cell in cells:
        score = data["scores"].get(cell)
        if not (
            isinstance(score, dict)
            and score.keys() == {"accuracy", "probability"}
            and all(map(is_share, score.values()))
        ):
            yield f"{path}.scores.{cell} is an accuracy and a probability from 0 to 1, not {shown(score)}"


def apart_problems(data: Any, path: str) -> Problems:
    """Problems in the differences between the pictures of several cells, if these are stored."""
    if isinstance(data, dict) and "apart" in data:
        yield from fields_of(data["apart"], {"largest": float, "visible": float}, f"{path}.apart")


def answer_problems(data: Any, cells: Iterable[str], path: str = "its answer") -> Problems:
    """Problems in the whole answer of a judge: scores or a problem, and the differences between the pictures."""
    yield from scores_problems(data, cells, path)
    if isinstance(data, dict) and "beside" in data:
        yield from fields_of(data["beside"], {"apart": dict}, f"{path}.beside", ())
        yield from apart_problems(data["beside"], f"{path}.beside")


def case_problems(data: Any, path: str = "judgement") -> Problems:
    """Problems in the stored judgement of an experiment with a seed: its files, and the answer of each judge."""
    if problems := list(fields_of(data, {"files": dict[str, str], "judges": dict[str, dict[str, Any]]}, path)):
        yield from problems
        return
    for name, answer in data["judges"].items():
        yield from scores_problems(answer, data["files"], f"{path}.judges.{name}")
        yield from fields_of(answer, {"code": str | None}, f"{path}.judges.{name}", ())
    yield from apart_problems(data, path)


def evidence_problems(data: Mapping[str, Any], finished: bool, path: str = "evidence") -> Problems:
    """Problems in the evidence of a cell, in the fields that reports use. Only a finished cell has numbers there."""
    yield from fields_of(data, COMPARED if finished else EVIDENCE, path, ())
    if "start" in data:
        yield from fields_of(data["start"], dict.fromkeys(START, str), f"{path}.start")
    if finished and data.get("first_losses") == []:
        yield f"{path}.first_losses is empty"
    if finished and "features" in data and not _are_features(data["features"]):
        yield f"{path}.features has a scale and a sample: rows of numbers, all of the same length"


def provenance_problems(data: Mapping[str, Any], path: str = "provenance") -> Problems:
    """Problems in the provenance of a result."""
    texts: Any = dict[str, str]
    yield from fields_of(data, {"samebench": dict, "environment": texts, "accelerator": texts}, path, ())
    if isinstance(data.get("samebench"), dict):
        yield from fields_of(
            data["samebench"], {"version": str, "commit": str, "changed": bool}, f"{path}.samebench", ("version",)
        )


def _are_features(features: Any) -> bool:
    if not (isinstance(features, dict) and is_number(features.get("scale"))):
        return False
    sample = features.get("sample")
    if not isinstance(sample, list) or not sample:
        return False
    rows: list[Any] = sample if isinstance(sample[0], list) else [sample]
    return all(isinstance(row, list) and row and len(row) == len(rows[0]) and all(map(is_number, row)) for row in rows)
