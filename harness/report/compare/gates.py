"""Limits that a continuous integration sets: `--fail-if images_per_s:-10%`.

A gate fails on evidence only: the whole 95 % interval of the change lies beyond the limit. A row of the first run on which the
gate could measure nothing fails too, because such a gate could never fail for a good reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.errors import UsageError
from harness.options import nearest
from harness.report.compare.changes import Change
from harness.report.compare.matching import Row
from harness.report.compare.measures import Measure, measures_of
from harness.report.declared import Declared

FORM = re.compile(r"(?P<metric>[A-Za-z_]\w*):(?P<limit>[+-](\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?)(?P<percent>%?)", re.ASCII)
EXAMPLES = "images_per_s:-10% (the speed falls by more than a tenth) or test_accuracy:-0.01 (by more than a point)"

Status = Literal["passed", "regressed", "not measured"]


@dataclass(frozen=True)
class Gate:
    """A metric and the change that it must not exceed: below 0 if the metric must not fall, above 0 if it must not rise."""

    metric: str
    limit: float
    relative: bool
    """Whether the limit is a share of the value, and not an absolute difference."""

    text: str
    """The gate as the user has written it."""

    @classmethod
    def from_text(cls, text: str) -> Gate:
        """The gate of an option. Raises UsageError."""
        found = FORM.fullmatch(text.strip())
        if not found:
            raise UsageError(
                f"--fail-if takes METRIC:LIMIT with a sign, such as {EXAMPLES}; not {text!r}", code="wrong-form"
            )
        relative = bool(found["percent"])
        limit = float(found["limit"]) / (100 if relative else 1)
        if limit == 0 or abs(limit) == float("inf"):
            raise UsageError(
                f"--fail-if {text}: the limit must be a finite number above or below 0",
                code="out-of-range",
            )
        if relative and limit <= -1:
            raise UsageError(
                f"--fail-if {text}: nothing falls by 100 % or more; choose a limit above -100%", code="out-of-range"
            )
        return cls(found["metric"], limit, relative, text.strip())

    @property
    def bound(self) -> float:
        """The limit of the ratio or of the difference."""
        return 1 + self.limit if self.relative else self.limit

    def is_exceeded(self, low: float, high: float) -> bool:
        """Whether the whole interval lies beyond the limit."""
        return high < self.bound if self.limit < 0 else low > self.bound

    def is_kept(self, low: float, high: float) -> bool:
        """Whether the whole interval lies on the allowed side of the limit."""
        return low >= self.bound if self.limit < 0 else high <= self.bound


@dataclass(frozen=True)
class Outcome:
    """The outcome of a gate for one row; or for no row, if the gate applies to none."""

    gate: Gate
    row: Row | None
    status: Status
    message: str
    change: Change | None = None

    @property
    def fails(self) -> bool:
        return self.status != "passed"

    def as_json(self) -> dict[str, Any]:
        return {
            "gate": self.gate.text, "row": self.row and self.row.name, "status": self.status, "message": self.message,
            "change": self.change and self.change.as_json(),
        }  # fmt: skip


def check_gates(gates: Iterable[Gate], known: Sequence[str]) -> None:
    """Raise UsageError if a gate names an unknown metric."""
    for gate in gates:
        if gate.metric not in known:
            raise UsageError(
                f"--fail-if {gate.text}: no metric {gate.metric!r} in these runs; {nearest(gate.metric, known)}",
                code="unknown-name",
            )


def outcomes(
    gate: Gate, rows: Sequence[Row], declared: Declared, changed: Callable[[Row, Measure, bool], Change]
) -> list[Outcome]:
    """The outcome of a gate for every row of the first run that has its metric. `changed` computes the change of a row."""
    found = []
    for row in rows:
        measure = measures_of(row.name["task"], declared).get(gate.metric)
        if measure and any(measure.value(result) is not None for result in row.first if result.status == "ok"):
            found.append(_outcome(gate, changed(row, measure, gate.relative)))
    nothing = Outcome(gate, None, "not measured", f"no cell of the first run has measured {gate.metric}")
    return found or [nothing]


def _outcome(gate: Gate, change: Change) -> Outcome:
    if reason := change.not_judged or change.too_few:
        return Outcome(gate, change.row, "not measured", f"nothing was measured: {reason}", change)
    low, high = change.limits or (0.0, 0.0)
    found = f"{'ratio' if gate.relative else 'difference'} {change.value:.4g} ({low:.4g} to {high:.4g})"
    side = "below" if gate.limit < 0 else "above"
    forced = f", forced: {', '.join(change.ignored)}" if change.is_forced else ""
    if gate.is_exceeded(low, high):
        return Outcome(gate, change.row, "regressed", f"{found} lies {side} {gate.bound:.4g}{forced}", change)
    if gate.is_kept(low, high):
        return Outcome(gate, change.row, "passed", f"{found} does not lie {side} {gate.bound:.4g}{forced}", change)
    message = (
        f"{found} contains the limit {gate.bound:.4g}: no evidence of a regression, and more pairs would tell{forced}"
    )
    return Outcome(gate, change.row, "passed", message, change)
