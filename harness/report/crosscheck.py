"""What the judges of a run have said of the pictures in it, put together: a matrix for each experiment, over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.metric import Metric
from harness.report.basis import conditions_of, experiment_of, grouped
from harness.report.declared import Declared
from harness.result import Cell, Result
from harness.storage.sealed import PICTURES
from harness.text import REFERENCE as REFERENCE

ALIKE = 0.005
"""How far the share that a backend has found may be from what the reference finds in the same pictures; or one picture."""

ONE_PICTURE = 1.5
"""So many pictures more or less count as one: of an exact one, rounding would decide."""

Case = Mapping[str, Any]
"""What is kept of one experiment and seed: the files, what each judge says, and how far the pictures lie apart."""

Made = tuple[Case, list[Result]]
"""A case, and the cells that have made its pictures."""


def matrices(results: Sequence[Result], kept: Mapping[str, Case], declared: Declared) -> Iterator[dict[str, Any]]:
    """For each experiment: `scores[maker][judge]`, means over seeds, and how far pictures lie apart at most."""
    cases = _of_these_pictures(results, kept)
    made: dict[str, list[Result]] = {}
    for result in results:
        if result.cell.key in cases.get(result.cell.comparison_key, {}).get("files", ()):
            made.setdefault(result.cell.comparison_key, []).append(result)
    experiments: dict[str, list[Made]] = {}
    for name, makers in made.items():
        parts = experiments.setdefault(replace(makers[0].cell, seed=0).comparison_key, [])
        metrics = declared.get(makers[0].cell.task, ())
        for _, alike in grouped(makers, lambda maker, metrics=metrics: experiment_of(maker, metrics)):  # type: ignore[misc]
            parts.append((_only(cases[name], [maker.cell.key for maker in alike]), alike))
    called = {name_of(result.cell): result.who for result in results}
    for parts in experiments.values():
        metrics = declared.get(parts[0][1][0].cell.task, ())
        for _, group in grouped(parts, lambda made, metrics=metrics: _basis(made, metrics)):  # type: ignore[misc]
            yield _matrix(group, called)


def _basis(made: Made, metrics: Sequence[Metric]) -> dict[str, str]:
    """What the scores of one seed rest on. Only scores with the same basis are averaged."""
    found: dict[str, str] = {}
    for maker in made[1]:
        found |= {f"{name_of(maker.cell)}: {name}": value for name, value in conditions_of(maker).items()}
        found |= experiment_of(maker, metrics)
    return found


def _matrix(group: Sequence[Made], called: Mapping[str, str]) -> dict[str, Any]:
    """`called` has the shown name of each maker and each judge."""
    cells = [maker.cell for _, makers in group for maker in makers]
    judges = list(dict.fromkeys(name for case, _ in group for name in case["judges"]))
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for maker in dict.fromkeys(map(name_of, cells)):
        told = scores[called[maker]] = {}
        for judge in judges:
            said = [
                case["judges"][judge]["scores"][one.cell.key]
                for case, makers in group
                for one in makers
                if name_of(one.cell) == maker and "scores" in case["judges"].get(judge, {})
            ]
            if said:
                told[called.get(judge, judge)] = {what: statistics.fmean(one[what] for one in said) for what in said[0]}
    several = [case["apart"] for case, makers in group if "apart" in case and len(makers) > 1]
    return {
        "subject": cells[0].configuration,
        "subjects": sorted({cell.configuration for cell in cells}),
        "seeds": sorted({cell.seed for cell in cells}),
        "task": cells[0].task,
        "n": len(group),
        "judges": [called.get(judge, judge) for judge in judges],
        "scores": scores,
        "spread": _spread(scores),
        "apart": {what: max(one[what] for one in several) for what in several[0]} if several else None,
        "problems": sorted(
            f"{called.get(judge, judge)} could not judge: {said['problem']}"
            for case, _ in group
            for judge, said in case["judges"].items()
            if "problem" in said
        ),
    }


def _spread(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    """The largest difference between the scores that one judge gives to several makers, by the kind of score."""
    seen: dict[tuple[str, str], list[float]] = {}
    for judges in scores.values():
        for judge, said in judges.items():
            for what, value in said.items():
                seen.setdefault((what, judge), []).append(value)
    spreads: dict[str, float] = {}
    for (what, _), values in seen.items():
        spreads[what] = max(spreads.get(what, 0.0), max(values) - min(values))
    return spreads


def doubted(results: Sequence[Result], kept: Mapping[str, Case], declared: Declared) -> dict[str, str]:
    """The cells whose own number is not what the reference finds in their pictures, and why."""
    cases, found = _of_these_pictures(results, kept), {}
    for result in results:
        score = cases.get(result.cell.comparison_key, {}).get("judges", {}).get(REFERENCE, {}).get("scores", {})
        metric = judged_metric(declared.get(result.cell.task, ()))
        own = metric and metric.value_in(result.metrics)
        if metric is None or own is None or result.cell.key not in score:
            continue
        judged, limit = score[result.cell.key][metric.judged], tolerance(metric, result)
        if abs(own - judged) > limit:
            found[result.cell.key] = (
                f"it says {metric.judged} {own:.2%} of its pictures, in which the reference finds {judged:.2%} "
                f"(limit {limit:.2%})"
            )
    return found


def _of_these_pictures(results: Sequence[Result], kept: Mapping[str, Case]) -> dict[str, Case]:
    """What was said of the pictures that cells have now. A cell may have been done anew since it was judged, and have made
    others, or have failed: what was said of the old ones says nothing of it."""
    made = {result.cell.key: result.artifacts.get(PICTURES) for result in results if result.status == "ok"}
    return {
        name: _only(case, [key for key, file in case["files"].items() if made.get(key) == file])
        for name, case in kept.items()
    }


def _only(case: Case, keys: Sequence[str]) -> Case:
    """What was said of these cells alone. How far all lie apart is unknown where some are left out."""
    judges = {
        judge: said | {"scores": {key: said["scores"][key] for key in keys}} if "scores" in said else said
        for judge, said in case["judges"].items()
    }
    left = {name: said for name, said in case.items() if name != "apart" or len(keys) == len(case["files"])}
    return left | {"files": {key: case["files"][key] for key in keys}, "judges": judges}


def judged_metric(metrics: Sequence[Metric]) -> Metric | None:
    """What a cell says of its own pictures, and the reference must find in them again."""
    return next((metric for metric in metrics if metric.judged), None)


def tolerance(metric: Metric, result: Result) -> float:
    """By how much a share may differ that two programs find in the same pictures: half a percent, or one picture."""
    count = result.metrics.get(metric.sample)
    return max(ALIKE, ONE_PICTURE / count) if count else ALIKE


def name_of(cell: Cell) -> str:
    """The name of a maker or a judge in stored judgements. No two backends of a run share it."""
    return f"{cell.backend}/{cell.mode}"
