"""What is run, and what came of it, as files keep it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
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

SHARES = ("test_accuracy", "train_accuracy")


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
    def subject(self) -> str:
        """A name for what its certificate is about: everything but the seed."""
        parts = {name: value for name, value in asdict(self).items() if name != "seed"}
        return f"{self.task}.{Path(self.backend).stem}.{self.mode}.{digest(parts)[:10]}"


def digest(value: Any) -> str:
    """Changes whenever anything in a value of plain data does."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


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
    for name in SHARES:
        value = data["metrics"].get(name, 0.0)
        if not (isinstance(value, int | float) and (math.isnan(value) or 0 <= value <= 1)):
            yield f"metrics.{name} is a share from 0 to 1, not {value!r}"
    for name, value in data["time"].items():
        values = value if isinstance(value, list) else [value]
        if name != "rate" and not all(isinstance(v, int | float) and v >= 0 for v in values):
            yield f"time.{name} is a duration or a rate of at least 0, not {value!r}"


def diverged(metrics: Mapping[str, Any]) -> str | None:
    """Which metric is not a finite number, if one is not."""
    for name, value in metrics.items():
        if isinstance(value, float) and not math.isfinite(value):
            return f"{name} is {value}"
    return None
