"""The comparison of two runs as a value: conditions, cells, speeds, accuracies, verdicts of parity, and gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

from harness.forms import is_number
from harness.metric import Metric
from harness.report.compare.changes import Change, Overall, change_of, judged, overall
from harness.report.compare.conditions import Conditions, conditions_of
from harness.report.compare.gates import Gate, Outcome, check_gates, outcomes
from harness.report.compare.matching import Pair, Row, match
from harness.report.compare.measures import FIRST_STEP, MEMORY, SPEED, WORK, names_of, shares_of
from harness.report.declared import Declared
from harness.report.summary import Report
from harness.result import Result
from harness.verdict import DEVIATIONS, Verdict, worst

SCHEMA = 1
"""The schema of the format json. Keys may be added; no key is renamed."""


class Side(NamedTuple):
    """A run as the comparison names it."""

    name: str
    started: str | None
    finished: str | None
    """None if the run is not finished."""

    cells: int
    ok: int


@dataclass(frozen=True)
class Parity:
    """The verdicts of a row in both runs, and the largest deviation from the reference in float64."""

    row: Row
    first: Verdict
    second: Verdict
    largest: tuple[float | None, float | None]

    def as_json(self) -> dict[str, Any]:
        first, second = self.largest
        return {
            "row": self.row.name, "first": self.first.text, "second": self.second.text, "largest_first": first,
            "largest_second": second,
        }  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Two runs, compared. It computes everything; the formats only show it."""

    first: Side
    second: Side
    force: bool
    rows: Sequence[Row]
    conditions: Conditions
    speeds: Sequence[Change]
    """A change for each matched row with a speed, in the order of `rows`."""

    overall: Overall
    accuracies: Sequence[Change]
    others: Sequence[tuple[Change, ...]]
    """For each matched row the changes of its time, its first step and its memory. They have no verdicts."""

    parity: Sequence[Parity]
    gates: Sequence[Outcome]

    @classmethod
    def of(
        cls, first: Report, second: Report, names: tuple[str, str], gates: Sequence[Gate] = (), force: bool = False
    ) -> Comparison:
        """Compare two runs. Raises UsageError if a gate names an unknown metric."""
        declared = _both(first.metrics, second.metrics)
        rows = match(first.results, second.results)
        check_gates(gates, names_of((row.name["task"] for row in rows), declared))
        found = conditions_of(rows, (first.run.get("host"), second.run.get("host")), declared)
        matched = [row for row in rows if row.pairs]
        speeds = judged([change_of(row, SPEED, True, found, force) for row in matched if _has_speed(row)])
        shares = [(row, measure) for row in matched for measure in shares_of(row.name["task"], declared)]
        accuracies = [change_of(row, measure, False, found, force) for row, measure in shares]
        return cls(
            _side(first, names[0]), _side(second, names[1]), force, rows, found, speeds, overall(speeds),
            judged([change for change in accuracies if change.n]),
            [tuple(change_of(row, one, True, found, force) for one in (WORK, FIRST_STEP, MEMORY)) for row in matched],
            list(map(_parity, matched)),
            [
                outcome
                for gate in gates
                for outcome in outcomes(
                    gate, rows, declared, lambda row, measure, relative: change_of(row, measure, relative, found, force)
                )
            ],
        )  # fmt: skip

    @property
    def matched(self) -> list[Row]:
        """The rows with at least one pair of cells."""
        return [row for row in self.rows if row.pairs]

    @cached_property
    def unpaired(self) -> tuple[list[Result], list[Result]]:
        """The cells that only the first run has, and those that only the second run has."""
        sides = [row.unpaired for row in self.rows]
        return [one for first, _ in sides for one in first], [one for _, second in sides for one in second]

    @property
    def changed_status(self) -> list[Pair]:
        return [pair for row in self.rows for pair in row.pairs if pair.first.status != pair.second.status]

    @property
    def is_one_run(self) -> bool:
        """Whether both runs are the same: all pairs are copies of one measurement."""
        finished = [pair for row in self.rows for pair in row.finished]
        return bool(finished) and all(pair.is_one_measurement for pair in finished)

    @property
    def ignored(self) -> list[str]:
        """The conditions that differ, and that `--force` ignores."""
        return self.conditions.obstacles if self.force else []

    @property
    def has_regressed(self) -> bool:
        """Whether a gate fails."""
        return any(outcome.fails for outcome in self.gates)

    def as_json(self) -> dict[str, Any]:
        removed, added = self.unpaired
        drift = self.conditions.drift
        limits = drift.limits if drift else None
        return {
            "schema": SCHEMA,
            "first": self.first._asdict(),
            "second": self.second._asdict(),
            "forced": self.force,
            "obstacles": self.conditions.obstacles,
            "same_run": self.is_one_run,
            "conditions": [asdict(condition) for condition in self.conditions.all],
            "drift": drift and {"first_s": drift.first, "second_s": drift.second, "interval": limits and [*limits]},
            "cells": {
                "paired": sum(len(row.pairs) for row in self.rows),
                "removed": [_cell(result) for result in removed],
                "added": [_cell(result) for result in added],
                "status": [{"first": _cell(pair.first), "second": _cell(pair.second)} for pair in self.changed_status],
            },
            "rows": [_with_row(change) for change in self.speeds],
            "overall": self.overall.as_json(),
            "accuracies": [_with_row(change) for change in self.accuracies],
            "others": [_with_row(change) for changes in self.others for change in changes],
            "parity": [one.as_json() for one in self.parity],
            "gates": [outcome.as_json() for outcome in self.gates],
            "regressed": self.has_regressed,
        }


def _both(first: Declared, second: Declared) -> dict[str, Sequence[Metric]]:
    """The metrics of both runs; if both declare one, that of the second."""
    return {
        task: list(
            ({one.name: one for one in first.get(task, ())} | {one.name: one for one in second.get(task, ())}).values()
        )
        for task in (*first, *second)
    }


def _side(report: Report, name: str) -> Side:
    results = report.results
    return Side(
        name, report.run.get("started"), report.run.get("finished"), len(results), sum(r.status == "ok" for r in results)
    )  # fmt: skip


def _has_speed(row: Row) -> bool:
    """Whether any cell of the row has a speed, or no cell is finished."""
    finished = [result for result in (*row.first, *row.second) if result.status == "ok"]
    return not finished or any(SPEED.value(result) is not None for result in finished)


def _parity(row: Row) -> Parity:
    first, second = (_worst(results) for results in (row.first, row.second))
    return Parity(row, first, second, (_largest(row.first), _largest(row.second)))


def _worst(results: Iterable[Result]) -> Verdict:
    return worst(result.verdict for result in results if result.status == "ok" or result.verdict.is_different)


def _largest(results: Iterable[Result]) -> float | None:
    """The largest deviation in the certificates of these cells."""
    found = [result.parity.get(name) for result in results for name in DEVIATIONS]
    return max((float(value) for value in found if value is not None and is_number(value)), default=None)


def _with_row(change: Change) -> Mapping[str, Any]:
    return {"row": change.row.name} | change.as_json()


def _cell(result: Result) -> dict[str, Any]:
    cell = result.cell
    return {
        "key": cell.key, "task": cell.task, "backend": result.shown, "mode": cell.mode, "seed": cell.seed,
        "status": result.status, "reason": result.reason,
    }  # fmt: skip
