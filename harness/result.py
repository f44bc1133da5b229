"""What is run, and what came of it, as files keep it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from harness.backend import Precision

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

LATER = {"artifacts"}
"""Fields that results of the first versions do not have."""

SHARES = (
    "test_accuracy",
    "train_accuracy",
    "validation_accuracy",
    "head_test_accuracy",
    "macro_f1",
    "precision",
    "recall",
    "f1",
)
"""Names of what lies from 0 to 1, wherever in the metrics it stands."""

MAY_BE_NONE = ("recall", "f1")
"""Those of a class without pictures."""

OF_A_CLASS = {"class", "precision", "recall", "f1", "count"}
"""What each object of `per_class` says."""


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

    @property
    def key(self) -> str:
        """A name for its folder: readable, and another one whenever anything about the cell changes."""
        return f"{self.task}.{Path(self.backend).stem}.{self.mode}.seed{self.seed}.{digest(asdict(self))[:10]}"

    @property
    def experiment(self) -> str:
        """A name for what it is about, whoever runs it: everything but the backend, its mode and its device."""
        parts = {name: value for name, value in asdict(self).items() if name not in ("backend", "mode", "device")}
        return f"{self.task}.seed{self.seed}.{digest(parts)[:10]}"

    @property
    def subject(self) -> str:
        """A name for what its certificate is about: everything but the seed."""
        parts = {name: value for name, value in asdict(self).items() if name != "seed"}
        return f"{self.task}.{Path(self.backend).stem}.{self.mode}.{digest(parts)[:10]}"


def digest(value: Any) -> str:
    """Changes whenever anything in a value of plain data does."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


VERDICTS = ("differs", "not-checked", "equal")
"""The verdicts of a certificate, the worst first. A reason may follow: "differs: …"."""


def verdict_of(text: str) -> str:
    """The verdict without its reason."""
    return text.partition(":")[0]


def worst(verdicts: Iterable[str]) -> str:
    """The worst of the verdicts, with its reason. A text that is no known verdict is worse than all others."""
    known = {verdict: rank for rank, verdict in enumerate(VERDICTS)}
    return min(verdicts, key=lambda text: known.get(verdict_of(text), -1))


def not_checked(reason: str = "") -> dict[str, Any]:
    """What stands in the place of a certificate where there is none."""
    nothing = dict.fromkeys(("logits", "gradients", "input_gradients", "trajectory", "attack"))
    verdict = f"not-checked: {reason}" if reason else "not-checked"
    return {"verdict": verdict, **nothing, "steps": 0, "timed": {}, "excludes": []}


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
    parity: dict[str, Any] = field(default_factory=not_checked)
    evidence: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    artifacts: dict[str, str] = field(default_factory=dict)
    """The hash of each file that the cell has made, by its name."""

    def as_json(self) -> dict[str, Any]:
        """The cell's own fields first, then what came of it."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "cell"}
        return asdict(self.cell) | values

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """The inverse of `as_json`; raises ValueError with the path of what is wrong."""
        if problems := list(_problems(data)):
            raise ValueError("; ".join(problems))
        own = {field.name: data[field.name] for field in fields(Cell)}
        return cls(Cell(**own), **{field.name: data[field.name] for field in fields(cls) if field.name in data})


def differs(result: Result) -> bool:
    """Whether the certificate, or the report, has found that this cell computes something else."""
    return verdict_of(result.parity["verdict"]) == "differs"


def _problems(data: Any) -> Iterator[str]:
    if not isinstance(data, dict):
        yield f"a result is an object, not {type(data).__name__}"
        return
    known = {field.name for field in (*fields(Cell), *fields(Result))} - {"cell"}
    missing, unknown = sorted(known - data.keys() - LATER), sorted(data.keys() - known)
    yield from (f"{name} is missing" for name in missing)
    yield from (f"{name} is unknown" for name in unknown)
    if missing or unknown:
        return
    if data["status"] not in STATUSES:
        yield f"status {data['status']!r} is none of {', '.join(STATUSES)}"
    if data["status"] != "ok":
        return
    for path, value in _parts(data["metrics"], "metrics"):
        name = path.rpartition(".")[2]
        share = isinstance(value, int | float) and (math.isnan(value) or 0 <= value <= 1)
        if name in SHARES and not share and not (value is None and name in MAY_BE_NONE):
            yield f"{path} is a share from 0 to 1, not {value!r}"
    yield from _misshapen(data["metrics"])
    for name, value in data["time"].items():
        values = value if isinstance(value, list) else [value]
        if name != "rate" and not all(isinstance(v, int | float) and v >= 0 for v in values):
            yield f"time.{name} is a duration or a rate of at least 0, not {value!r}"


def _misshapen(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What a report could not make a table of."""
    classes, confusion = metrics.get("per_class", []), metrics.get("confusion")
    if not (isinstance(classes, list) and all(map(_is_class, classes))):
        yield f"metrics.per_class is a list of objects with {', '.join(sorted(OF_A_CLASS))}"
    elif confusion is not None and not _is_square(confusion, len(classes)):
        yield f"metrics.confusion is {len(classes)} lists of {len(classes)} counts, as many as metrics.per_class"
    curve = metrics.get("curve", [])
    if not (isinstance(curve, list) and all(map(_is_point, curve))):
        yield "metrics.curve is a list of objects of numbers, each with its epoch"
    gap = metrics.get("overfitting_gap", 0.0)
    if not (isinstance(gap, int | float) and abs(gap) <= 1):
        yield f"metrics.overfitting_gap is a difference of two shares, not {gap!r}"


def _is_class(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and row.keys() >= OF_A_CLASS
        and isinstance(row["class"], str)
        and isinstance(row["count"], int)
    )


def _is_square(rows: Any, side: int) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) == side
        and all(isinstance(row, list) and len(row) == side and all(isinstance(n, int) for n in row) for row in rows)
    )


def _is_point(point: Any) -> bool:
    return isinstance(point, dict) and "epoch" in point and all(isinstance(v, int | float) for v in point.values())


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
