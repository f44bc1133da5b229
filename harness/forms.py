"""The form of stored data: a type for each part, checked by msgspec. Each problem is a line with its path.

Files of a run may come from a broken cell, from another version or from a stranger. Reports rely on these checks alone.

A form is a class with a type for each field. Keys that it does not name are allowed, so that later versions can add keys. A
rule that no type can express is a function below.
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from dataclasses import fields as dataclass_fields
from itertools import chain, islice
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, convert
from msgspec.structs import fields as struct_fields

from harness.verdict import KINDS, verdict_in

Problems = Iterator[str]

NAMED = 8
"""The largest number of problems that are reported for the parts of a value."""

LARGEST = 2**63
"""Whole numbers in a file are smaller than this."""

PLAIN_LEVELS = 7
"""The number of levels of `Plain`. Files of samebench have fewer."""

HASH = re.compile(r"sha256:[0-9a-f]{64}")


def number(least: float, most: float, description: str) -> Any:
    """The type of finite numbers within these ends, with a description for messages."""
    largest = sys.float_info.max
    return Annotated[float, Meta(ge=max(least, -largest), le=min(most, largest), description=description)]


Number = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max, description="a number")]
Share = Annotated[float, Meta(ge=0, le=1, description="a share from 0 to 1")]
AtLeast0 = Annotated[float, Meta(ge=0, le=sys.float_info.max, description="a number of at least 0")]
Deviation = Literal["nan", "inf", "-inf"] | Number | None
"""A number of a certificate. Words stand for numbers that JSON cannot store."""

Numbers = Annotated[list[Number], Meta(min_length=1, description="a list of one or more numbers")]


def _plain(levels: int) -> Any:
    """The type of plain data with this number of levels."""
    whole = Annotated[int, Meta(ge=1 - LARGEST, le=LARGEST - 1)]
    leaf = str | bool | None | whole | Number
    kind: Any = leaf
    for _ in range(levels):
        kind = leaf | list[kind] | dict[str, kind]
    return kind


Plain: Any = _plain(PLAIN_LEVELS)
"""Plain data: finite numbers, whole numbers below `LARGEST`, and few levels. msgspec checks this at no cost while it decodes.
Only data that is not of this type is examined part by part."""


class PlainForm(Struct):
    """Plain data in a class, which makes the check of it fast."""

    value: Plain


class TimedForm(Struct):
    """The deviations of a certificate in the timed precision."""

    logits: Deviation = None
    losses: Deviation = None
    limit: Number = 0.0


class EqualTimedForm(Struct):
    """These deviations under the verdict `equal`: numbers."""

    logits: Number | None
    losses: Number | None
    limit: Number


class AboutForm(Struct):
    """The subject of a certificate."""

    versions: dict[str, str] = {}


class CertificateForm(Struct, kw_only=True):
    """A certificate. Its deviations need not be finite numbers, unless the verdict is `equal`."""

    verdict: str
    steps: int
    timed: TimedForm
    excludes: list[str]
    logits: Deviation
    gradients: Deviation
    input_gradients: Deviation
    trajectory: Deviation
    attack: Deviation
    about: AboutForm | UnsetType = UNSET


class EqualCertificateForm(Struct, kw_only=True):
    """A certificate with the verdict `equal`."""

    verdict: str
    steps: int
    timed: EqualTimedForm
    excludes: list[str]
    logits: Number | None
    gradients: Number | None
    input_gradients: Number | None
    trajectory: Number | None
    attack: Number | None
    about: AboutForm | UnsetType = UNSET


class StartForm(Struct):
    """The facts about the weights that a cell started from."""

    name: str
    variant: str
    preprocessing: str
    source: str
    licence: str
    trained_on: str


class EvidenceForm(Struct, kw_only=True):
    """The evidence of a cell: the fields that reports use."""

    dataset: str | None = None
    model: str | None = None
    batches: str | None = None
    pictures: str | None = None
    augmented: str | None = None
    weights: str | None = None
    tuning_batches: str | None = None
    tuning_augmented: str | None = None
    subjects: str | None = None
    backend_code: str | None = None
    device: str = ""
    data_notes: list[str] = []
    notes: list[str] = []
    own_ways: dict[str, str] = {}
    host: dict[str, Any] = {}
    start: StartForm | UnsetType = UNSET


class FeaturesForm(Struct):
    """A sample of the features of a few pictures, and the largest feature."""

    scale: Number
    sample: Annotated[list[Number | Numbers], Meta(min_length=1, description="rows of numbers")]


class FinishedEvidenceForm(EvidenceForm, kw_only=True):
    """The evidence of a finished cell, which has numbers too."""

    first_losses: Numbers | UnsetType = UNSET
    first_segment_loss: Number | None = None
    features: FeaturesForm | UnsetType = UNSET
    disturbed: str = ""


class CodeForm(Struct):
    """The version of samebench that made a result."""

    version: str
    commit: str = ""
    changed: bool = False


class ProvenanceForm(Struct):
    """The provenance of a result."""

    samebench: CodeForm | UnsetType = UNSET
    environment: dict[str, str] = {}
    accelerator: dict[str, str] = {}
    frameworks: list[str] = []


class ScoreForm(Struct, forbid_unknown_fields=True):
    """The score of a judge for the pictures of a cell."""

    accuracy: Share
    probability: Share


class ApartForm(Struct):
    """The differences between the pictures of several cells."""

    largest: Number
    visible: Number


class BesideForm(Struct):
    """What a judge finds beside its scores."""

    apart: ApartForm | UnsetType = UNSET


class AnswerForm(Struct):
    """The answer of a judge: a problem, or scores."""

    problem: str | UnsetType = UNSET
    scores: dict[str, ScoreForm] | UnsetType = UNSET
    code: str | None = None
    beside: BesideForm | UnsetType = UNSET


class CaseForm(Struct):
    """The stored judgement of an experiment with a seed: its files, and the answer of each judge."""

    files: dict[str, str]
    judges: dict[str, AnswerForm]
    apart: ApartForm | UnsetType = UNSET


JSON_KINDS = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null", dict: "an object",
    list: "a list", tuple: "a list",
}  # fmt: skip


def shown(value: Any) -> str:
    """A value as messages show it, shortened."""
    return reprlib.repr(value)


def is_number(value: Any) -> bool:
    """Whether this is a finite number, and not an integer that is too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_plain_name(name: str) -> bool:
    """Whether this can be the name of a file or a folder, and not a path."""
    return "/" not in name and "\0" not in name and name not in ("", ".", "..")


def parts_of(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A value of plain data and all values in it, each with its path."""
    yield path, value
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from parts_of(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value):
            yield from parts_of(part, f"{path}[{place}]")


def is_plain(value: Any) -> bool:
    """Whether this is `Plain`: then nothing in it needs to be examined."""
    return has_form({"value": value}, PlainForm)


def is_too_large(value: Any) -> bool:
    """Whether this is a whole number that files must not have."""
    return isinstance(value, int) and abs(value) >= LARGEST


def has_form(value: Any, form: Any) -> bool:
    """Whether plain data has the form. This is fast if the form is a class."""
    try:
        convert(value, form)
    except (ValidationError, UnicodeEncodeError):  # a word or a key with half of a surrogate pair
        return False
    return True


def problems(value: Any, form: Any, path: str = "") -> Problems:
    """The first problems of plain data that does not have the form."""
    if not has_form(value, form):
        found = list(_first(_parts_with_problems(value, form, path)))
        yield from found or [f"{path or 'it'} is {_word(form)}, not {shown(value)}"]


class _Field(NamedTuple):
    name: str
    form: Any
    is_needed: bool


def _parts_with_problems(value: Any, form: Any, path: str) -> Iterator[Problems]:
    """The problems of each part. There are none if the value itself has another type."""
    form = _bare(form)
    origin, inner = get_origin(form), get_args(form)
    start = f"{path}." if path else ""
    if origin in (Union, UnionType):
        for choice in inner:
            if type(value) is _container_of(choice):
                yield from _parts_with_problems(value, choice, path)
    elif isinstance(value, dict) and _is_class(form):
        known = _fields_of(form)
        if _is_closed(form):
            yield (f"{start}{name} is unknown" for name in sorted(value.keys() - {field.name for field in known}))
        yield (f"{start}{field.name} is missing" for field in known if field.is_needed and field.name not in value)
        yield from (problems(value[name], kind, f"{start}{name}") for name, kind, _ in known if name in value)
    elif isinstance(value, dict) and origin is dict:
        yield from (problems(part, inner[1], f"{start}{name}") for name, part in value.items())
    elif isinstance(value, list) and origin is tuple and inner[-1] is not Ellipsis:
        yield from (problems(part, kind, f"{path}[{place}]") for place, (part, kind) in enumerate(zip(value, inner)))
    elif isinstance(value, list) and origin in (list, tuple):
        yield from (problems(part, inner[0], f"{path}[{place}]") for place, part in enumerate(value))


def _container_of(form: Any) -> type | None:
    """The type of an object or a list that has the form; None for other values."""
    form = _bare(form)
    kind = dict if _is_class(form) else get_origin(form)
    return {dict: dict, list: list, tuple: list}.get(kind)


def _first(found: Iterable[Problems]) -> Problems:
    """The first problems of the parts. A damaged file may have millions of problems."""
    return islice(chain.from_iterable(found), NAMED)


def _bare(form: Any) -> Any:
    """The form without its description."""
    return get_args(form)[0] if get_origin(form) is Annotated else form


def _is_class(form: Any) -> bool:
    return isinstance(form, type) and (issubclass(form, Struct) or is_dataclass(form))


def _is_closed(form: Any) -> bool:
    """Whether the form allows no other keys than its own."""
    return issubclass(form, Struct) and form.__struct_config__.forbid_unknown_fields


def _fields_of(form: Any) -> list[_Field]:
    if is_dataclass(form):
        hints = get_type_hints(form, include_extras=True)
        own = dataclass_fields(form)
        return [_Field(f.name, hints[f.name], f.default is MISSING and f.default_factory is MISSING) for f in own]
    return [_Field(field.encode_name, field.type, field.required) for field in struct_fields(form)]


def _word(form: Any) -> str:
    """A form in words."""
    origin, inner = get_origin(form), get_args(form)
    if origin is Annotated:
        described = [note.description for note in inner[1:] if isinstance(note, Meta) and note.description]
        return described[0] if described else _word(inner[0])
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_word(part) for part in inner if part is not UnsetType))
    if _is_class(form):
        return "an object"
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"a list of {len(inner)} values"
    kind = origin or form
    return JSON_KINDS.get(dict if kind is Mapping else kind, str(kind))


def certificate_problems(data: Any, path: str = "certificate") -> Problems:
    """Problems in a certificate."""
    verdict = data.get("verdict") if isinstance(data, dict) else None
    try:
        is_equal = isinstance(verdict, str) and verdict_in(data).is_equal
    except ValueError:
        yield f"{path}.verdict starts with one of {', '.join(KINDS)}, not {shown(verdict)}"
        return
    yield from problems(data, EqualCertificateForm if is_equal else CertificateForm, path)


def answer_problems(data: Any, cells: Iterable[str], path: str = "its answer") -> Problems:
    """Problems in the answer of a judge about the pictures of these cells: scores, or a problem."""
    if found := list(problems(data, AnswerForm, path)):
        yield from found
    elif "problem" not in data:
        scores = data.get("scores", {})
        yield from (f"{path}.scores.{cell} is missing" for cell in cells if cell not in scores)
        if "scores" not in data:
            yield f"{path}.scores is missing"


def case_problems(data: Any, path: str = "judgement") -> Problems:
    """Problems in the stored judgement of an experiment with a seed."""
    if found := list(problems(data, CaseForm, path)):
        yield from found
        return
    for name, answer in data["judges"].items():
        yield from answer_problems(answer, data["files"], f"{path}.judges.{name}")


def feature_problems(features: Mapping[str, Any], path: str) -> Problems:
    """Problems in a sample of features that has the right form: all rows have the same length."""
    lengths = {len(row) if isinstance(row, list) else None for row in features["sample"]}
    if len(lengths) > 1:
        yield f"{path}.sample has rows of numbers, all of the same length"
