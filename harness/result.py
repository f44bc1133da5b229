"""What is run, and what came of it, as files keep it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_type_hints

from harness.backend import Precision
from harness.errors import OutOfRange
from harness.forms import (
    HASH,
    Problems,
    certificate_problems,
    containers_in,
    evidence_problems,
    fields_of,
    is_plain_name,
    mistyped,
    provenance_problems,
    shown,
)
from harness.metric import Metric
from harness.text import shown_names
from harness.timing.load import Usage
from harness.verdict import Verdict, no_certificate, verdict_in

SCHEMA = 1
Semantics = Literal["aligned", "native"]
Status = Literal[
    "ok",
    "failed",
    "crashed",
    "oom",
    "timeout",
    "diverged",
    "invalid",
    "wrong-device",
    "unavailable",
    "unsupported",
    "interrupted",
]
STATUSES: tuple[Status, ...] = Status.__args__  # type: ignore[attr-defined]

LONGEST_STEM = 40
"""Characters of a backend in the names of files, which have 255 bytes at most."""

SHOWN = "shown"
"""The key in the evidence for the name by which reports call the backend."""

LATER = {"artifacts", "provenance"}
"""Fields that results of the first versions do not have."""

TIMES = {"total_s": float, "first_step_s": float, "images_per_s": list[float]}
"""What every finished cell has measured."""

LATER_TIMES = {"rate": str} | {f"segment_{name}": list[float] for name in Usage._fields}
"""What only some finished cells have: what the rate counts, and who used the processor."""

LARGEST = 2**63
"""No whole number in a result is as large."""

NAMED = 8
"""An error names at most so many problems."""


@dataclass(frozen=True)
class Cell:
    """One experiment on one backend: everything that decides its result."""

    task: str
    backend: str
    mode: str
    precision: Precision
    device: str
    model: str
    dataset: str
    weights: str | None
    seed: int
    options: Mapping[str, Any]
    semantics: Semantics = "aligned"

    def __post_init__(self) -> None:
        for path, value in _parts(self.options, self.task):
            if isinstance(value, float) and not math.isfinite(value):
                raise OutOfRange("", path, f"must be a finite number, not {value}: files of results hold no other")

    @property
    def _stem(self) -> str:
        """The backend in names of files: its name, or that of its file without the folder. Long ones are cut."""
        return Path(self.backend).stem[:LONGEST_STEM]

    @cached_property
    def key(self) -> str:
        """A name for its folder: readable, and another one whenever anything about the cell changes."""
        return f"{self.task}.{self._stem}.{self.mode}.seed{self.seed}.{self._digest()}"

    @cached_property
    def comparison_key(self) -> str:
        """A name for what it is about, whoever runs it: everything but the backend, its mode and its device."""
        return f"{self.task}.seed{self.seed}.{self._digest('backend', 'mode', 'device')}"

    @cached_property
    def configuration(self) -> str:
        """A name for what its certificate is about: everything but the seed."""
        return f"{self.task}.{self._stem}.{self.mode}.{self._digest('seed')}"

    def _digest(self, *without: str) -> str:
        """Changes whenever another of its fields does."""
        return digest({field.name: getattr(self, field.name) for field in fields(self) if field.name not in without})[
            :10
        ]


def digest(value: Any) -> str:
    """Changes whenever anything in a value of plain data does. Raises ValueError for NaN and infinity, which JSON does not
    have: a file would give back something else."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


@dataclass
class Result:
    """What came of a cell. A status other than "ok" has a reason."""

    cell: Cell
    status: Status
    reason: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    time: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    memory: dict[str, int | None] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=no_certificate)
    evidence: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    artifacts: dict[str, str] = field(default_factory=dict)
    """The hash of each file that the cell has made, by its name."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """The version of samebench, environment variables that change numbers or speed, and the accelerator."""

    @property
    def shown(self) -> str:
        """The name of its backend in the report."""
        name: str = self.evidence.get(SHOWN) or shown_names([self.cell.backend])[self.cell.backend]
        return name

    @property
    def who(self) -> str:
        """Its backend and its mode, as reports show them."""
        return f"{self.shown}/{self.cell.mode}"

    @property
    def verdict(self) -> Verdict:
        """The verdict of its certificate, or of the report."""
        return verdict_in(self.parity)

    def as_json(self) -> dict[str, Any]:
        """The cell's own fields first, then what came of it."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "cell"}
        return asdict(self.cell) | values

    @classmethod
    def from_json(cls, data: Mapping[str, Any], metrics: Iterable[Metric] = ()) -> Result:
        """The inverse of `as_json`; raises ValueError with the path of what is wrong, also in a value of these metrics."""
        _raise_if_any(_problems(data, metrics))
        return cls(_as_cell(data), **{field.name: data[field.name] for field in fields(cls) if field.name in data})


def _problems(data: Any, metrics: Iterable[Metric]) -> Problems:
    """Problems in a stored result, each with its path."""
    if not isinstance(data, dict):
        yield f"a result is an object, not {type(data).__name__}"
        return
    known = _known_names()
    missing, unknown = sorted(known - data.keys() - LATER), sorted(data.keys() - known)
    yield from (f"{name} is missing" for name in missing)
    yield from (f"{name} is unknown" for name in unknown)
    if missing or unknown:
        return
    if _has_too_large(data):
        yield from (f"{path} is too large" for path, value in _parts(data) if _is_too_large(value))
        return
    if problems := [*cell_problems(data), *_mistyped_fields(data, Result), *_unlike_a_hash(data.get("artifacts"))]:
        yield from problems
        return
    yield from certificate_problems(data["parity"], "parity")
    yield from evidence_problems(data["evidence"], data["status"] == "ok")
    yield from provenance_problems(data.get("provenance", {}))
    if data["status"] == "ok":
        yield from _problems_of_finished(data, metrics)


@cache
def _known_names() -> frozenset[str]:
    """The keys of a stored result."""
    return frozenset(field.name for field in (*fields(Cell), *fields(Result))) - {"cell"}


def _has_too_large(data: Any) -> bool:
    """Whether a number is too large, wherever it stands. A report asks this of every value in thousands of results."""
    level = containers_in([[data]])
    while level:
        for value in level:
            for part in value.values() if type(value) is dict else value:
                if type(part) is int and _is_too_large(part):
                    return True
        level = containers_in(level)
    return False


def _is_too_large(value: Any) -> bool:
    return isinstance(value, int) and abs(value) >= LARGEST


def cell_problems(data: Any) -> Problems:
    """Problems in the fields of a cell, given as plain data. Some of them become names of folders."""
    needed = [field.name for field in fields(Cell) if field.default is MISSING]
    if problems := [*fields_of(data, dict.fromkeys(needed, Any), ""), *_mistyped_fields(data, Cell)]:
        yield from problems
        return
    for name in ("task", "mode", "device"):
        if not is_plain_name(data[name]):
            yield f"{name} {shown(data[name])} is no name"
    for path, value in _parts(data["options"], "options"):
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{path} must be a finite number, not {value}"
    if not is_plain_name(Path(data["backend"]).stem):
        yield f"backend {shown(data['backend'])} is no name and no file"


def cell_of(data: Any) -> Cell:
    """The cell that an object of plain data describes; raises ValueError with the path of what is wrong."""
    _raise_if_any(cell_problems(data))
    return _as_cell(data)


def _as_cell(data: Mapping[str, Any]) -> Cell:
    return Cell(**{field.name: data[field.name] for field in fields(Cell) if field.name in data})


def _raise_if_any(problems: Problems) -> None:
    """Raise ValueError if there are problems; the message names the first of them."""
    if named := list(islice(problems, NAMED)):
        raise ValueError("; ".join(named))


def _mistyped_fields(data: Any, kind: type) -> Problems:
    """Fields of a cell or a result that do not have the type of the dataclass."""
    if isinstance(data, dict):
        for name, hint in _hints(kind).items():
            if name in data:
                yield from mistyped(data[name], hint, name)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(kind).items() if name != "cell"}


def _unlike_a_hash(artifacts: Any) -> Problems:
    if isinstance(artifacts, dict):
        for name, value in artifacts.items():
            if not (is_plain_name(name) and isinstance(value, str) and HASH.fullmatch(value)):
                yield f"artifacts holds files and their sha256:..., not {shown(name)}: {shown(value)}"


def _problems_of_finished(data: Mapping[str, Any], metrics: Iterable[Metric]) -> Problems:
    """Problems in the numbers of a cell that is ok."""
    for metric in metrics:
        yield from metric.problems(data["metrics"])
    yield from fields_of(data["evidence"], {"disturbed": str}, "evidence", ())
    yield from fields_of(data["time"], TIMES | LATER_TIMES, "time", TIMES)
    for name, value in data["time"].items():
        values = value if isinstance(value, list) else [value]
        if name != "rate" and not all(isinstance(v, int | float) and 0 <= v < math.inf for v in values):
            yield f"time.{name} is a duration or a rate of at least 0, not {shown(value)}"
    counted = data["time"].get("rate", "images")
    if isinstance(counted, str) and not counted.strip():
        yield f"time.rate names what is counted, such as images, not {shown(counted)}"
    yield from fields_of(
        data["parameters"], dict.fromkeys(("total", "trainable", "frozen", "buffers"), int), "parameters"
    )


def _parts(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A value of plain data and everything in it, each by its path."""
    yield path, value
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _parts(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value):
            yield from _parts(part, f"{path}[{place}]")


def diverged(metrics: Mapping[str, Any]) -> str | None:
    """Which metric is not a finite number, if one is not: the first, by its path."""
    for path, value in _parts(metrics):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{path} is {value}"
    return None
