"""A report as a value: the cells of a run, what they say together, and what can be trusted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from harness.naming import shown_names
from harness.report.agreement import Agreement, agreements
from harness.report.basis import EXPERIMENT, Basis, apart, rows_of
from harness.report.crosscheck import Case, claim, doubted, matrices
from harness.report.stats import mean_interval, median_interval, rate_interval, share_interval
from harness.result import SCHEMA, SHOWN, Result
from harness.spec import Array
from harness.timing.load import disturbance
from harness.verdict import Verdict, no_certificate, worst

SHARE, SIZE = (0.0, 1.0), (0.0, math.inf)
CHANGES = {
    "success_rate": SHARE, "mean_perturbation": SIZE, "largest_perturbation": SIZE, "vanished_gradients": SHARE,
    "target_probability": SHARE, "total_variation": SIZE, "plain_total_variation": SIZE,
}  # fmt: skip
"""Metrics of changed pictures, each with its range."""

LEARNT = {"macro_f1": SHARE, "overfitting_gap": (-1.0, 1.0)}
"""Metrics of trained networks, each with its range."""


class StoredRun(Protocol):
    """A run as it is kept."""

    @property
    def run(self) -> Mapping[str, Any]: ...
    def results(self) -> Iterable[Result]: ...
    def judged(self) -> Mapping[str, Case]: ...
    def pictures(self, result: Result) -> Mapping[str, Array]: ...
    def feature_maps(self, result: Result) -> Mapping[str, Array]: ...


@dataclass(frozen=True)
class Report:
    """What reporters turn into text. Reporters compute nothing themselves."""

    run: dict[str, Any]
    results: Sequence[Result]
    agreements: Sequence[Agreement]
    summary: Sequence[dict[str, Any]]
    judgements: Sequence[dict[str, Any]]
    """What every backend sees in the pictures that each has made; see `harness.report.crosscheck`."""

    pictures: Callable[[Result], Mapping[str, Array]]
    """The pictures that a cell has kept, and what belongs to them; raises LookupError where there are none."""

    feature_maps: Callable[[Result], Mapping[str, Array]]
    """What the network sees in one of them, layer by layer; as above."""

    @classmethod
    def of(cls, run: StoredRun) -> Report:
        """The report of a run as it stands, finished or not."""
        results = _with_names(list(map(_as_certified, run.results())), run.run.get("names"))
        judged = run.judged()
        found = list(agreements(results))
        verdicts = {result.cell.key: result.verdict for result in results}
        outliers = {key: why for agreement in found for key, why in _blamed(agreement, verdicts).items()}
        outliers |= doubted(results, judged)
        results = [_with_outlier(result, outliers.get(result.cell.key)) for result in results]
        said = {name: value for name, value in run.run.items() if name not in ("schema", "plan")}
        judgements = list(matrices(results, judged))
        return cls(said, results, found, _summary(results), judgements, run.pictures, run.feature_maps)

    @staticmethod
    def row_of(result: Result) -> dict[str, Any]:
        """What the summary would say of this cell alone."""
        return _row([result], {})

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "run": self.run,
            "cells": [result.as_json() for result in self.results],
            "summary": [row | {"parity": row["parity"].text} for row in self.summary],
            "agreement": [asdict(agreement) for agreement in self.agreements],
            "judgements": list(self.judgements),
        }


def _with_names(results: Sequence[Result], own: Any) -> list[Result]:
    """Each result with the name of its backend in this report; `own` are the names that the run has kept."""
    shown = shown_names([result.cell.backend for result in results], own if isinstance(own, dict) else {})
    return [replace(result, evidence=result.evidence | {SHOWN: shown[result.cell.backend]}) for result in results]


def _blamed(agreement: Agreement, verdicts: Mapping[str, Verdict]) -> dict[str, str]:
    """The outliers. If the certificates of some of them already say that they differ, only those are blamed."""
    guilty = {key: why for key, why in agreement.outliers.items() if verdicts[key].is_different}
    return guilty or agreement.outliers


def _with_outlier(result: Result, reason: str | None) -> Result:
    """An outlier loses its verdict; one that has lost it by its certificate keeps that reason, which says more."""
    if reason is None or result.verdict.is_different:
        return result
    return replace(result, parity=result.parity | {"verdict": Verdict.differs(reason).text})


def _as_certified(result: Result) -> Result:
    """The result, without its certificate if that is of another code, network or version: one certificate serves the cells
    of all seeds, and proves nothing about a cell that ran something else."""
    about, evidence = result.parity.get("about", {}), result.evidence
    certified = {"code of the backend": about.get("backend_code"), "network or recipe": about.get("subjects")}
    ran = {"code of the backend": evidence.get("backend_code"), "network or recipe": evidence.get("subjects")}
    other = [name for name in certified if None not in (certified[name], ran[name]) and certified[name] != ran[name]]
    other += sorted(
        f"{name} {version}" for name, version in apart(about.get("versions", {}), [result.versions]).items()
    )
    if not other:
        return result
    return replace(result, parity=result.parity | no_certificate(f"its certificate is of another {', '.join(other)}"))


def _summary(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One row for each experiment and backend, over its seeds; only finished cells count, each with equal options. Cells
    that rest on something else are rows of their own."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.cell.configuration, []).append(result)
    rows = [_row(cells, known) for group in groups.values() for known, cells in rows_of(group)]
    for row in rows:
        alike = [other for other in rows if _same_but_for_options(row, other)]
        row["varied"] = {
            name: value
            for name, value in row["options"].items()
            if any(other["options"].get(name, value) != value for other in alike)
        }
        row["apart"] = _apart(row, [other for other in alike if other["options"] == row["options"]])
    return rows


def _apart(row: Mapping[str, Any], alike: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What the row rests on and what differs in other rows of its experiment. What belongs to the backend is compared with
    rows of the same backend only."""
    others = [other["rests_on"] for other in alike]
    own = [other["rests_on"] for other in alike if _who(other) == _who(row)]
    found = {name: value for name, value in apart(row["rests_on"], others).items() if name in EXPERIMENT}
    return found | apart(row["rests_on"], own)


def _who(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["backend"], row["mode"]


def _same_but_for_options(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    names = ("task", "model", "dataset", "weights", "precision", "semantics")
    return all(row[name] == other[name] for name in names)


def _row(group: Sequence[Result], known: Basis) -> dict[str, Any]:
    cell, good = group[0].cell, [result for result in group if result.status == "ok"]
    row: dict[str, Any] = {
        "subject": cell.configuration,
        "task": cell.task, "backend": group[0].shown, "mode": cell.mode, "model": cell.model, "dataset": cell.dataset,
        "weights": cell.weights, "precision": cell.precision, "semantics": cell.semantics, "options": dict(cell.options), "n": len(good), "cells": len(group),
        "seeds": [result.cell.seed for result in group], "rests_on": dict(known),
        "parity": _parity(group),
    }  # fmt: skip
    if accuracies := [result.metrics["test_accuracy"] for result in good if "test_accuracy" in result.metrics]:
        row["test_accuracy"] = share_interval(accuracies)
    row |= _attacked(good)
    if rates := [segments for result in good if (segments := result.time["images_per_s"])]:
        row["images_per_s"] = rate_interval(rates)
    if doubts := {result.cell.seed: why for result in good if (why := disturbed(result))}:
        row["disturbed"] = [{"seed": seed, "reason": why} for seed, why in doubts.items()]
        row["images_per_s"] |= {"low": None, "high": None}
    if good:
        row["rate"] = good[0].time.get("rate", "images")
        row["first_step_s"] = median_interval([result.time["first_step_s"] for result in good])
        row["parameters"] = good[0].parameters["total"]
        row["parameter_counts"] = good[0].parameters
    return row | _evaluated(good)


def disturbed(result: Result) -> str | None:
    """Why the speed of this cell cannot be trusted; None if nothing speaks against it."""
    found: str | None = result.evidence.get("disturbed") or disturbance(result.time)
    return found if result.time["images_per_s"] else None


def _parity(group: Sequence[Result]) -> Verdict:
    """The worst verdict of the finished cells. A failed cell counts only if it differs."""
    return worst(result.verdict for result in group if result.status == "ok" or result.verdict.is_different)


def _means(good: Sequence[Result], numbers: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """The mean of each metric, over the cells that have it."""
    return {
        name: mean_interval(values, *ends)
        for name, ends in numbers.items()
        if (values := [result.metrics[name] for result in good if name in result.metrics])
    }


def _attacked(good: Sequence[Result]) -> dict[str, Any]:
    """What is known of pictures that were changed: means over seeds, at each size of the change."""
    found = _means(good, CHANGES)
    if curves := [result.metrics["robust_accuracy"] for result in good if "robust_accuracy" in result.metrics]:
        found["robust_accuracy"] = [
            {"epsilon": points[0]["epsilon"], "accuracy": share_interval([point["accuracy"] for point in points])}
            for points in zip(*curves)
        ]
        found |= {name: good[0].metrics[name] for name in ("epsilon", "pictures")}
        if claims := [own for result in good if (own := claim(result)[0]) is not None]:
            found["accuracy_at_epsilon"] = share_interval(claims)
    return found


def _evaluated(good: Sequence[Result]) -> dict[str, Any]:
    """What is known beyond accuracy: means over seeds, one curve, and all confusions in one; what no seed knows is left
    out."""
    found = _means(good, LEARNT)
    if told := [result.metrics for result in good if result.metrics.get("per_class")]:
        alike = [metrics for metrics in told if _classes(metrics) == _classes(told[0])]
        found["per_class_n"] = len(alike)
        found["per_class"] = [_mean_class(rows) for rows in zip(*(metrics["per_class"] for metrics in alike))]
        if all(metrics.get("confusion") for metrics in alike):
            found["confusion"] = np.sum([metrics["confusion"] for metrics in alike], axis=0).tolist()
    if curves := [result for result in good if result.metrics.get("curve")]:
        found["curve"] = {"seed": curves[0].cell.seed, "points": curves[0].metrics["curve"]}
    return found


def _classes(metrics: Mapping[str, Any]) -> list[tuple[str, int]]:
    """A folder of pictures may have changed while a run was stopped: only the same pictures are taken together."""
    return [(row["class"], row["count"]) for row in metrics["per_class"]]


def _mean_class(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One class over several seeds. `count` is that of one seed, and None stays None: the pictures are the same."""
    shares = {name: [row[name] for row in rows] for name in ("precision", "recall", "f1")}
    means = {name: None if None in values else statistics.fmean(values) for name, values in shares.items()}
    return {"class": rows[0]["class"], **means, "count": rows[0]["count"]}
