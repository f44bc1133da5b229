"""Cells and their results, and how files store them."""

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
"""The largest number of characters of a backend in names of files. Such names have at most 255 bytes."""

SHOWN = "shown"
"""The key in the evidence for the backend's name in reports."""

LATER = {"artifacts", "provenance"}
"""Fields that results of the first versions lack."""

TIMES = {"total_s": float, "first_step_s": float, "images_per_s": list[float]}
"""The times of every finished cell."""

LATER_TIMES = {
    "rate": str,
    "flops": float,
    "peak_flops": float,
    "segment_rates": list[float],
    "probe_s": list[float],
    "turn": int,
} | {f"segment_{name}": list[float] for name in Usage._fields}
"""Fields of `time` that older cells lack: the unit of the rate, and the use of the processor in each segment."""

LARGEST = 2**63
"""Whole numbers in a result are smaller than this."""

NAMED = 8
"""The largest number of problems in an error."""


@dataclass(frozen=True)
class Cell:
    """An experiment on a backend with a seed: all values that decide the result."""

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
                raise OutOfRange(
                    "", path, f"must be a finite number, not {value}: results cannot store it", code="not-finite"
                )

    @property
    def _stem(self) -> str:
        """The backend's name, or the name of its file, for names of files. Long names are cut."""
        return Path(self.backend).stem[:LONGEST_STEM]

    @cached_property
    def key(self) -> str:
        """The name of the cell's folder. It is readable, and different for every different cell."""
        return f"{self.task}.{self._stem}.{self.mode}.seed{self.seed}.{self._digest()}"

    @cached_property
    def comparison_key(self) -> str:
        """A name for the cell's experiment and seed: all fields but the backend, its mode and its device."""
        return f"{self.task}.seed{self.seed}.{self._digest('backend', 'mode', 'device')}"

    @cached_property
    def configuration(self) -> str:
        """A name for the subject of the cell's certificate: all fields but the seed."""
        return f"{self.task}.{self._stem}.{self.mode}.{self._digest('seed')}"

    def _digest(self, *without: str) -> str:
        """A short hash of the fields, without some of them."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in without}
        return digest(values)[:10]


def digest(value: Any) -> str:
    """The hash of a value of plain data. Raises ValueError for NaN and infinity, because JSON cannot store them."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


@dataclass
class Result:
    """The result of a cell. A status other than "ok" has a reason."""

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
        """The name of the backend in reports."""
        name: str = self.evidence.get(SHOWN) or shown_names([self.cell.backend])[self.cell.backend]
        return name

    @property
    def who(self) -> str:
        """The backend and the mode, as reports show them."""
        return f"{self.shown}/{self.cell.mode}"

    @property
    def verdict(self) -> Verdict:
        """The verdict of its certificate. A report may have changed it."""
        return verdict_in(self.parity)

    def as_json(self) -> dict[str, Any]:
        """The fields of the cell, then those of the result."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "cell"}
        return asdict(self.cell) | values

    @classmethod
    def from_json(cls, data: Mapping[str, Any], metrics: Iterable[Metric] = ()) -> Result:
        """The inverse of `as_json`. Values of these metrics are checked too. Raises ValueError with the path of a problem."""
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
    """Whether any whole number in the data is too large. This is fast: a report checks thousands of results."""
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
    """Problems in the fields of a cell, given as plain data. Some fields become names of folders."""
    needed = [field.name for field in fields(Cell) if field.default is MISSING]
    if problems := [*fields_of(data, dict.fromkeys(needed, Any), ""), *_mistyped_fields(data, Cell)]:
        yield from problems
        return
    for name in ("task", "mode", "device"):
        if not is_plain_name(data[name]):
            yield f"{name} {shown(data[name])} is not a name"
    for path, value in _parts(data["options"], "options"):
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{path} must be a finite number, not {value}"
    if not is_plain_name(Path(data["backend"]).stem):
        yield f"backend {shown(data['backend'])} is neither a name nor a file"


def cell_of(data: Any) -> Cell:
    """The cell that an object of plain data describes. Raises ValueError with the path of a problem."""
    _raise_if_any(cell_problems(data))
    return _as_cell(data)


def _as_cell(data: Mapping[str, Any]) -> Cell:
    return Cell(**{field.name: data[field.name] for field in fields(Cell) if field.name in data})


def _raise_if_any(problems: Problems) -> None:
    """Raise ValueError with the first problems, if there are any."""
    if named := list(islice(problems, NAMED)):
        raise ValueError("; ".join(named))


def _mistyped_fields(data: Any, kind: type) -> Problems:
    """Problems in fields of a cell or a result whose types differ from the dataclass."""
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
    """A value of plain data and all values in it, each with its path."""
    yield path, value
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _parts(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value):
            yield from _parts(part, f"{path}[{place}]")


def diverged(metrics: Mapping[str, Any]) -> str | None:
    """A message about the first metric that is not a finite number; None if all are finite."""
    for path, value in _parts(metrics):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{path} is {value}"
    return None
