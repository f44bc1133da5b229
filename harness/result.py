"""Cells and their results, and how files store them."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from harness.backend import Precision
from harness.errors import OutOfRange
from harness.forms import (
    HASH,
    NAMED,
    AtLeast0,
    EvidenceForm,
    FinishedEvidenceForm,
    Problems,
    ProvenanceForm,
    certificate_problems,
    feature_problems,
    is_plain,
    is_plain_name,
    is_too_large,
    parts_of,
    problems,
    shown,
)
from harness.metric import Metric, metrics_problems
from harness.text import shown_names
from harness.verdict import Verdict, no_certificate, verdict_in

SCHEMA = 1
Semantics = Literal["aligned", "native-weights", "native"]
WATERFALL: tuple[Semantics, ...] = ("aligned", "native-weights", "native")
"""From aligned to native semantics, one default at a time: first the framework's own first weights, then its own optimiser too."""

OWN_WAYS: Mapping[str, str] = {
    "native-weights": "each framework's own first weights",
    "native": "each framework's own optimiser and first weights",
}
"""What differs from aligned semantics, in words."""
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
        if not is_plain(self.options):
            for path, value in parts_of(self.options, self.task):
                if problem := _unstorable(value):
                    raise OutOfRange("", path, f"{problem}: results cannot store it", code="not-finite")

    @property
    def own(self) -> str:
        """What is each framework's own way in this cell, so that there is no certificate; empty if all do the same."""
        pipeline = ["own pipeline"] if self.options.get("data.pipeline") == "own" else []
        semantics = [f"native semantics: {OWN_WAYS[self.semantics]}"] if self.semantics in OWN_WAYS else []
        return ", ".join([*pipeline, *semantics])

    @cached_property
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
        """A short hash of the fields, without some of them: the `digest` of an object of these fields."""
        lines = (line for name, line in self._fields_as_json.items() if name not in without)
        return hashlib.sha256(f"{{{', '.join(lines)}}}".encode()).hexdigest()[:10]

    @cached_property
    def _fields_as_json(self) -> dict[str, str]:
        """Each field as a part of a JSON object, in the order of the names. A cell has several hashes."""
        return {name: f'"{name}": {_sorted_json(getattr(self, name))}' for name in sorted(CELL_FIELDS)}


CELL_FIELDS = tuple(field.name for field in fields(Cell))


def digest(value: Any) -> str:
    """The hash of a value of plain data. Raises ValueError for NaN and infinity, because JSON cannot store them."""
    return hashlib.sha256(_sorted_json(value).encode()).hexdigest()


_sorted_json = json.JSONEncoder(sort_keys=True, allow_nan=False).encode


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
    def speed(self) -> float | None:
        """The median speed of its timed segments; None if it has none."""
        speeds = self.time.get("images_per_s")
        return statistics.median(speeds) if speeds else None

    @property
    def verdict(self) -> Verdict:
        """The verdict of its certificate. A report may have changed it."""
        return verdict_in(self.parity)

    def as_json(self) -> dict[str, Any]:
        """The fields of the cell, then those of the result. The values are those of the result, not copies."""
        cell = {name: getattr(self.cell, name) for name in CELL_FIELDS}
        return cell | {name: getattr(self, name) for name in RESULT_FIELDS}

    @classmethod
    def from_json(cls, data: Any, metrics: Iterable[Metric] = (), of: Cell | None = None) -> Result:
        """The inverse of `as_json`. Values of these metrics are checked too. `of` is the cell that the result should be of, if
        that is known. Raises ValueError with the path of a problem."""
        _raise_if_any(_problems(data, tuple(metrics)))
        same = of is not None and all(data[name] == getattr(of, name) for name in CELL_FIELDS)
        cell = of if of is not None and same else cell_of(data)
        return cls(cell, **{name: data[name] for name in RESULT_FIELDS if name in data})


RESULT_FIELDS = tuple(field.name for field in fields(Result) if field.name != "cell")


class CellForm(Struct, kw_only=True):
    """A cell in a file."""

    task: str
    backend: str
    mode: str
    precision: Precision
    device: str
    model: str
    dataset: str
    weights: str | None
    seed: int
    options: dict[str, Any]
    semantics: Semantics = "aligned"


class ResultForm(CellForm, kw_only=True, forbid_unknown_fields=True):
    """A result in a file: result.json."""

    semantics: Semantics
    status: Status
    reason: str | None
    metrics: dict[str, Any]
    time: dict[str, Any]
    parameters: dict[str, int]
    memory: dict[str, int | None]
    parity: dict[str, Any]
    evidence: EvidenceForm
    versions: dict[str, str]
    settings: dict[str, str]
    warnings: list[str]
    artifacts: dict[str, str] = {}
    provenance: ProvenanceForm | UnsetType = UNSET
    """Results of the first versions lack the last two."""


class TimeForm(Struct, kw_only=True):
    """The times of a finished cell."""

    total_s: AtLeast0
    first_step_s: AtLeast0
    images_per_s: list[AtLeast0]
    rate: str = "images"
    segment_seconds: list[AtLeast0] = []
    segment_own_s: list[AtLeast0] = []
    segment_others_s: list[AtLeast0] = []
    segment_waited_s: list[AtLeast0] = []
    segment_delayed_s: list[AtLeast0] = []
    """Older cells lack the rate and the use of the processor in each segment."""
    segment_rates: list[AtLeast0] = []
    probe_s: list[AtLeast0] = []
    turn: int = 0
    flops: AtLeast0 = 0.0
    peak_flops: AtLeast0 = 0.0
    read_per_s: list[AtLeast0] = []
    in_memory_per_s: list[AtLeast0] = []
    """Older cells lack the speeds of all segments, the probes of the machine, the turn, and the operations of an item. Only cells
    with `--pipeline own` have the last two."""


class PhasesForm(Struct):
    """All times of a finished cell but the unit of its rate."""

    time: dict[str, AtLeast0 | list[AtLeast0]]


class CountsForm(Struct):
    """The numbers of parameters of a finished cell."""

    total: int
    trainable: int
    frozen: int
    buffers: int


class FinishedForm(ResultForm, kw_only=True, forbid_unknown_fields=True):
    """The result of a finished cell, which has numbers."""

    time: TimeForm  # type: ignore[assignment]
    parameters: CountsForm  # type: ignore[assignment]
    evidence: FinishedEvidenceForm


def _problems(data: Any, metrics: tuple[Metric, ...]) -> Problems:
    """Problems in a stored result, each with its path."""
    is_finished = isinstance(data, dict) and data.get("status") == "ok"
    if found := list(problems(data, FinishedForm if is_finished else ResultForm)):
        yield from found
        return
    yield from _unlike_a_hash(data.get("artifacts", {}))
    yield from certificate_problems(data["parity"], "parity")
    if is_finished:
        yield from metrics_problems(metrics, data["metrics"])
        yield from _problems_of_times(data["time"])
        if features := data["evidence"].get("features"):
            yield from feature_problems(features, "evidence.features")


def _cell_problems(data: Any) -> Problems:
    """Problems in the fields of a cell, given as plain data. Some fields become names of folders."""
    if found := list(problems(data, CellForm)):
        yield from found
        return
    for name in ("task", "mode", "device"):
        if not is_plain_name(data[name]):
            yield f"{name} {shown(data[name])} is not a name"
    if not is_plain_name(Path(data["backend"]).stem):
        yield f"backend {shown(data['backend'])} is neither a name nor a file"
    if not is_plain(data["options"]):
        yield from (
            f"{path} {said}" for path, value in parts_of(data["options"], "options") if (said := _unstorable(value))
        )


def cell_of(data: Any) -> Cell:
    """The cell that an object of plain data describes. Raises ValueError with the path of a problem."""
    _raise_if_any(_cell_problems(data))
    return Cell(**{name: data[name] for name in CELL_FIELDS if name in data})


def _raise_if_any(problems: Problems) -> None:
    """Raise ValueError with the first problems, if there are any."""
    if named := list(islice(problems, NAMED)):
        raise ValueError("; ".join(named))


def _unstorable(value: Any) -> str | None:
    """What an option must be, if a file cannot store its value."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, not {value}"
    return "must be smaller than 2**63" if is_too_large(value) else None


def _unlike_a_hash(artifacts: Mapping[str, str]) -> Problems:
    for name, value in artifacts.items():
        if not (is_plain_name(name) and HASH.fullmatch(value)):
            yield f"artifacts holds files and their sha256:..., not {shown(name)}: {shown(value)}"


def _problems_of_times(times: Mapping[str, Any]) -> Problems:
    """Problems in all times of a finished cell, also in those of phases that only its task knows."""
    yield from problems({"time": {name: value for name, value in times.items() if name != "rate"}}, PhasesForm)
    if not times.get("rate", "images").strip():
        yield f"time.rate names what is counted, such as images, not {shown(times['rate'])}"


def diverged(metrics: Mapping[str, Any]) -> str | None:
    """A message about the first metric that is not a finite number; None if all are finite."""
    for path, value in parts_of(metrics):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{path} is {value}"
    return None
