"""A report as a value: the cells of a run, what they say together, and what can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.agreement import Agreement, agreements
from harness.result import SCHEMA, Result
from harness.stats import mean_interval, median_interval


@dataclass(frozen=True)
class Report:
    """What reporters turn into text. Reporters compute nothing themselves."""

    run: dict[str, Any]
    results: Sequence[Result]
    agreements: Sequence[Agreement]
    summary: Sequence[dict[str, Any]]

    @classmethod
    def of(cls, run: Mapping[str, Any], stored: Iterable[Result]) -> Report:
        """The report of a run as it stands, finished or not."""
        results = list(stored)
        found = list(agreements(results))
        outliers = {key: reason for agreement in found for key, reason in agreement.outliers.items()}
        results = [_with_outlier(result, outliers.get(result.cell.key)) for result in results]
        said = {name: value for name, value in run.items() if name not in ("schema", "plan")}
        return cls(said, results, found, _summary(results))

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "run": self.run,
            "cells": [result.as_json() for result in self.results],
            "summary": list(self.summary),
            "agreement": [asdict(agreement) for agreement in self.agreements],
        }


def _with_outlier(result: Result, reason: str | None) -> Result:
    return replace(result, parity=result.parity | {"verdict": f"differs: {reason}"}) if reason else result


def _summary(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One row for each experiment and backend, over its seeds; only finished cells count, each with equal options."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.cell.subject, []).append(result)
    return [_row(group) for group in groups.values()]


def _row(group: Sequence[Result]) -> dict[str, Any]:
    cell, good = group[0].cell, [result for result in group if result.status == "ok"]
    verdicts = [result.parity["verdict"] for result in good] or ["not-checked"]
    row: dict[str, Any] = {
        "task": cell.task, "backend": cell.backend, "mode": cell.mode, "model": cell.model, "dataset": cell.dataset,
        "precision": cell.precision, "semantics": cell.semantics, "options": dict(cell.options), "n": len(good), "cells": len(group),
        "parity": next((verdict for verdict in verdicts if verdict != "equal"), "equal"),
    }  # fmt: skip
    if accuracies := [result.metrics["test_accuracy"] for result in good if "test_accuracy" in result.metrics]:
        row["test_accuracy"] = mean_interval(accuracies)
    if rates := [rate for result in good for rate in result.time["images_per_s"]]:
        row["images_per_s"] = median_interval(rates)
    if good:
        row["first_step_s"] = median_interval([result.time["first_step_s"] for result in good])
        row["parameters"] = good[0].parameters["total"]
    return row
