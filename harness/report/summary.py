"""A report as a value: the cells of a run, their summary, and their verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from harness.forms import is_number
from harness.metric import Metric, ends_of
from harness.report.agreement import Agreement, agreements
from harness.report.basis import Basis, apart, differing, experiment_of, frozen, rows_of
from harness.report.crosscheck import Case, doubted, matrices
from harness.report.declared import Declared, declared_metrics, with_plain_metrics
from harness.report.stats import geometric_interval, mean_interval, rate_interval
from harness.result import SCHEMA, SHOWN, Result
from harness.spec import Array
from harness.text import shown_names
from harness.timing.record import disturbance
from harness.verdict import Verdict, no_certificate, worst

AROUND = (
    "start",
    "probe",
    "data",
    "import",
    "build",
    "curve",
    "eval",
    "weights",
    "repeat",
    "save",
    "other",
    "total",
    "process",
    "beside",
)
"""Phases of a cell without training or attacks, and sums of several phases."""


class StoredRun(Protocol):
    """A run in its stored form."""

    @property
    def run(self) -> Mapping[str, Any]: ...
    def results(self) -> Iterable[Result]: ...
    def judged(self) -> Mapping[str, Case]: ...
    def pictures(self, result: Result) -> Mapping[str, Array]: ...
    def feature_maps(self, result: Result) -> Mapping[str, Array]: ...
    def log(self, result: Result) -> str: ...


@dataclass(frozen=True)
class Report:
    """The value that reporters turn into text. Reporters compute nothing themselves."""

    run: dict[str, Any]
    results: Sequence[Result]
    agreements: Sequence[Agreement]
    summary: Sequence[dict[str, Any]]
    judgements: Sequence[dict[str, Any]]
    """The scores that every backend gives to the pictures of each backend; see `harness.report.crosscheck`."""

    pictures: Callable[[Result], Mapping[str, Array]]
    """The pictures of a cell, with their labels and scores; raises LookupError if there are none."""

    feature_maps: Callable[[Result], Mapping[str, Array]]
    """The feature maps of one of these pictures, by layer; raises LookupError if there are none."""

    log: Callable[[Result], str]
    """The end of the log of a cell; empty if there is none."""

    metrics: Declared
    """The metrics of each task, by its name. Their names are keys of the rows of the summary."""

    full: bool = True
    """Whether the reader wants all tables. If not, the format "table" is an overview."""

    @cached_property
    def judgements_by_subject(self) -> dict[str, list[tuple[int, dict[str, Any]]]]:
        """The judgements, each with its number, by the configuration of the cells that have made the pictures."""
        found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for number, judgement in enumerate(self.judgements):
            for subject in judgement["subjects"]:
                found.setdefault(subject, []).append((number, judgement))
        return found

    @cached_property
    def results_by_subject(self) -> dict[str, list[Result]]:
        """The results by the configuration of their cells."""
        found: dict[str, list[Result]] = {}
        for result in self.results:
            found.setdefault(result.cell.configuration, []).append(result)
        return found

    def results_of(self, row: Mapping[str, Any]) -> list[Result]:
        """The results in a row of the summary."""
        seeds = {*row["seeds"]}
        return [result for result in self.results_by_subject[row["subject"]] if result.cell.seed in seeds]

    @classmethod
    def of(cls, run: StoredRun, full: bool = True) -> Report:
        """The report of a run, finished or not."""
        record = run.run
        results = _with_names(list(map(_as_certified, run.results())), record.get("names"))
        judged, tasks = run.judged(), [result.cell.task for result in results]
        declared = with_plain_metrics(declared_metrics(record, tasks), results)
        found = list(agreements(results, declared))
        verdicts = {result.cell.key: result.verdict for result in results}
        outliers = {key: why for agreement in found for key, why in _blamed(agreement, verdicts).items()}
        outliers |= doubted(results, judged, declared)
        results = [_with_outlier(result, outliers.get(result.cell.key)) for result in results]
        about = {name: value for name, value in record.items() if name not in ("schema", "plan", "metrics")}
        judgements = list(matrices(results, judged, declared))
        return cls(
            about, results, found, _summary(results, declared), judgements, run.pictures, run.feature_maps, run.log, declared, full
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "run": self.run,
            "metrics": {task: [metric.as_json() for metric in metrics] for task, metrics in self.metrics.items()},
            "cells": [result.as_json() for result in self.results],
            "summary": [row | {"parity": row["parity"].text} for row in self.summary],
            "agreement": [asdict(agreement) for agreement in self.agreements],
            "judgements": list(self.judgements),
        }


def _with_names(results: Sequence[Result], own: Any) -> list[Result]:
    """Each result with the name of its backend in this report. `own` are the names in the record of the run."""
    shown = shown_names([result.cell.backend for result in results], own if isinstance(own, dict) else {})
    return [replace(result, evidence=result.evidence | {SHOWN: shown[result.cell.backend]}) for result in results]


def _blamed(agreement: Agreement, verdicts: Mapping[str, Verdict]) -> dict[str, str]:
    """The outliers; only those whose certificates already differ, if there are any."""
    different = {key: why for key, why in agreement.outliers.items() if verdicts[key].is_different}
    return different or agreement.outliers


def _with_outlier(result: Result, reason: str | None) -> Result:
    """The result with the verdict `differs` if it is an outlier. If its certificate differs, that reason is kept: it says
    more."""
    if reason is None or result.verdict.is_different:
        return result
    return replace(result, parity=result.parity | {"verdict": Verdict.differs(reason).text})


def _as_certified(result: Result) -> Result:
    """The result, without its certificate if that is of other code, another network or another version. A certificate is for
    the cells of all seeds, but proves nothing about a cell that ran other code."""
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


def _summary(results: Sequence[Result], declared: Declared) -> list[dict[str, Any]]:
    """A row for each experiment and backend, over its seeds. Its numbers are those of finished cells. Cells with another basis
    have rows of their own."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.cell.configuration, []).append(result)
    rows = []
    for group in groups.values():
        metrics = declared.get(group[0].cell.task, ())
        rows += [_row(cells, known, metrics) for known, cells in rows_of(group, metrics)]
    for alike in _grouped(rows, _about).values():
        varied = differing(row["options"] for row in alike)
        for row in alike:
            row["varied"] = {name: value for name, value in row["options"].items() if name in varied}
        for same in _grouped(alike, lambda row: frozen(row["options"])).values():
            _tell_apart(same)
    return rows


def _tell_apart(rows: Sequence[dict[str, Any]]) -> None:
    """Store in each row of an experiment the values of its basis that differ from other rows. Values that depend on the backend
    are compared only with rows of the same backend."""
    others = differing(row["rests_on"] for row in rows)
    for own_rows in _grouped(rows, lambda row: (row["backend"], row["mode"])).values():
        own = differing(row["rests_on"] for row in own_rows)
        for row in own_rows:
            shared = {name: value for name, value in row["rests_on"].items() if name in row["of_experiment"]}
            found = {name: value for name, value in shared.items() if name in others}
            row["apart"] = found | {name: value for name, value in row["rests_on"].items() if name in own}


def _about(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values that rows share if they differ only in backend and options."""
    return tuple(row[name] for name in ("task", "model", "dataset", "weights", "precision", "semantics"))


def _grouped(rows: Iterable[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> dict[Any, list[dict[str, Any]]]:
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _row(group: Sequence[Result], known: Basis, metrics: Sequence[Metric]) -> dict[str, Any]:
    shared = {name for result in group for name in experiment_of(result, metrics)}
    cell, good = group[0].cell, [result for result in group if result.status == "ok"]
    row: dict[str, Any] = {
        "subject": cell.configuration,
        "task": cell.task, "backend": group[0].shown, "mode": cell.mode, "model": cell.model, "dataset": cell.dataset,
        "weights": cell.weights, "precision": cell.precision, "semantics": cell.semantics, "options": dict(cell.options), "n": len(good), "cells": len(group),
        "seeds": [result.cell.seed for result in group], "rests_on": dict(known),
        "of_experiment": [name for name in known if name in shared],
        "parity": _parity(group),
    }  # fmt: skip
    if rates := [segments for result in good if (segments := result.time["images_per_s"])]:
        row["images_per_s"] = rate_interval(rates)
    if doubts := {result.cell.seed: why for result in good if (why := disturbed(result))}:
        row["disturbed"] = [{"seed": seed, "reason": why} for seed, why in doubts.items()]
        row["images_per_s"] |= {"low": None, "high": None}
    if good:
        row["rate"] = good[0].time.get("rate", "images")
        row["work_s"] = geometric_interval([work_seconds(result.time) for result in good])
        if peaks := [peak for result in good if (peak := peak_bytes(result.memory))]:
            row["peak_bytes"] = max(peaks)
        if shares := [share for result in good if (share := _peak_share(result))]:
            row["peak_share"] = geometric_interval(shares)["median"]
        if inputs := [found for result in good if (found := _input(result))]:
            row["input"] = {
                name: geometric_interval([one[name] for one in inputs]) for name in ("read_per_s", "in_memory_per_s")
            }
            row["input"]["waiting"] = statistics.fmean(one["waiting"] for one in inputs)
        row["first_step_s"] = geometric_interval([result.time["first_step_s"] for result in good])
        row["parameters"] = good[0].parameters["total"]
        row["parameter_counts"] = good[0].parameters
    for metric in metrics:
        row |= IN_ROWS[metric.form](metric, good)
    return row


def work_seconds(time: Mapping[str, Any]) -> float:
    """The seconds of training or attack, first steps included: all phases of the cell but those of `AROUND`."""
    phases = {name.removesuffix("_s"): seconds for name, seconds in time.items() if name.endswith("_s")}
    return sum(s for name, s in phases.items() if isinstance(s, int | float) and name.split("_")[-1] not in AROUND)


def _input(result: Result) -> dict[str, float]:
    """The speeds of a cell with `--pipeline own`: of reading alone, and of training on pictures in memory; and the share of its time
    that it loses to its input. Empty for other cells."""
    time, speed = result.time, result.speed
    if not (speed and time.get("read_per_s") and time.get("in_memory_per_s")):
        return {}
    read, in_memory = (statistics.median(time[name]) for name in ("read_per_s", "in_memory_per_s"))
    waiting = max(0.0, 1 - speed / in_memory)
    return {"read_per_s": read, "in_memory_per_s": in_memory, "waiting": waiting}


def _peak_share(result: Result) -> float | None:
    """The arithmetic of the cell per second, as a share of the peak that was measured in its process; None if it is not known."""
    time = result.time
    if not (result.speed and time.get("flops") and time.get("peak_flops")):
        return None
    return float(result.speed * time["flops"] / time["peak_flops"])


def peak_bytes(memory: Mapping[str, int | None]) -> int | None:
    """The peak memory of the device, or of the process if the device has no memory of its own."""
    return memory.get("peak_device_bytes") or memory.get("peak_rss_bytes")


def disturbed(result: Result) -> str | None:
    """The reason why the speed of this cell cannot be trusted; None if it can."""
    found: str | None = result.evidence.get("disturbed") or disturbance(result.time)
    return found if result.time["images_per_s"] else None


def _parity(group: Sequence[Result]) -> Verdict:
    """The worst verdict of the finished cells. A failed cell counts only if it differs."""
    return worst(result.verdict for result in group if result.status == "ok" or result.verdict.is_different)


def _number(metric: Metric, good: Sequence[Result]) -> dict[str, Any]:
    """The mean over seeds with its interval; or a condition, which is the same for all seeds."""
    values = [value for result in good if is_number(value := metric.value_in(result.metrics))]
    if not values:
        return {}
    return {metric.name: mean_interval(values, *metric.ends) if metric.is_mean else values[0]}


def _curve(metric: Metric, good: Sequence[Result]) -> dict[str, Any]:
    """The mean over seeds at each place; or the curve of one seed."""
    known = [result for result in good if result.metrics.get(metric.name)]
    if not known:
        return {}
    if not metric.is_mean:
        return {metric.name: {"seed": known[0].cell.seed, "points": known[0].metrics[metric.name]}}
    return {
        metric.name: [
            {metric.over: points[0][metric.over]}
            | {key: mean_interval([point[key] for point in points], *ends_of(form)) for key, form in metric.parts}
            for points in zip(*(result.metrics[metric.name] for result in known))
        ]
    }


def _per_class(metric: Metric, good: Sequence[Result]) -> dict[str, Any]:
    """The means of each class over the seeds with the same classes, and the number of these seeds."""
    if not (alike := _alike(metric.name, good)):
        return {}
    rows = zip(*(result.metrics[metric.name] for result in alike))
    return {f"{metric.name}_n": len(alike), metric.name: list(map(_mean_class, rows))}


def _confusion(metric: Metric, good: Sequence[Result]) -> dict[str, Any]:
    """The sum of the confusions over the seeds with the same classes, if all of them have stored confusions."""
    alike = _alike(metric.of, good)
    if not alike or not all(result.metrics.get(metric.name) for result in alike):
        return {}
    return {metric.name: np.sum([result.metrics[metric.name] for result in alike], axis=0).tolist()}


IN_ROWS = {"value": _number, "curve": _curve, "classes": _per_class, "confusion": _confusion}
"""The functions that make the entry of a row from its finished cells, by the form of the metric. The entry is empty if no cell
has the metric."""


def _alike(name: str, results: Sequence[Result]) -> list[Result]:
    """The results with the same classes as the first result that has classes."""
    known = [result for result in results if result.metrics.get(name)]
    return [result for result in known if _classes(result, name) == _classes(known[0], name)]


def _classes(result: Result, name: str) -> list[tuple[str, int]]:
    """The classes with their counts. They may differ within a run: a folder of pictures can change before the run is resumed."""
    return [(row["class"], row["count"]) for row in result.metrics[name]]


def _mean_class(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The means of a class over several seeds. All seeds have the same pictures, so `count` is that of one seed, and a share
    that is None in one seed is None in all."""
    shares = {name: [row[name] for row in rows] for name in ("precision", "recall", "f1")}
    means = {name: None if None in values else statistics.fmean(values) for name, values in shares.items()}
    return {"class": rows[0]["class"], **means, "count": rows[0]["count"]}
