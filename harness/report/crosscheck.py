"""The judgements of the pictures of a run: for each experiment a matrix of makers and judges, over its seeds."""

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
"""The largest difference between the share of a backend and that of the reference on the same pictures; or one picture."""

ONE_PICTURE = 1.5
"""The tolerance of one picture, increased so that rounding errors do not decide."""

Case = Mapping[str, Any]
"""The stored judgement of an experiment with a seed: the files, the answer of each judge, and the differences between the
pictures."""

Made = tuple[Case, list[Result]]
"""A case, and the cells that have made its pictures."""


def matrices(results: Sequence[Result], kept: Mapping[str, Case], declared: Declared) -> Iterator[dict[str, Any]]:
    """For each experiment: `scores[maker][judge]`, means over seeds, and the largest differences between pictures."""
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
    """The basis of the scores of one seed. Only scores with the same basis are averaged."""
    basis: dict[str, str] = {}
    for maker in made[1]:
        basis |= {f"{name_of(maker.cell)}: {name}": value for name, value in conditions_of(maker).items()}
        basis |= experiment_of(maker, metrics)
    return basis


def _matrix(group: Sequence[Made], called: Mapping[str, str]) -> dict[str, Any]:
    """`called` has the shown name of each maker and each judge."""
    cells = [maker.cell for _, makers in group for maker in makers]
    judges = list(dict.fromkeys(name for case, _ in group for name in case["judges"]))
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for maker in dict.fromkeys(map(name_of, cells)):
        means = scores[called[maker]] = {}
        for judge in judges:
            seeds = [
                case["judges"][judge]["scores"][result.cell.key]
                for case, makers in group
                for result in makers
                if name_of(result.cell) == maker and "scores" in case["judges"].get(judge, {})
            ]
            if seeds:
                means[called.get(judge, judge)] = {
                    kind: statistics.fmean(score[kind] for score in seeds) for kind in seeds[0]
                }
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
        "apart": {kind: max(apart[kind] for apart in several) for kind in several[0]} if several else None,
        "problems": sorted(
            f"{called.get(judge, judge)} could not judge: {answer['problem']}"
            for case, _ in group
            for judge, answer in case["judges"].items()
            if "problem" in answer
        ),
    }


def _spread(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    """The largest difference between the scores that one judge gives to several makers, by the kind of score."""
    seen: dict[tuple[str, str], list[float]] = {}
    for judges in scores.values():
        for judge, score in judges.items():
            for kind, value in score.items():
                seen.setdefault((kind, judge), []).append(value)
    spreads: dict[str, float] = {}
    for (kind, _), values in seen.items():
        spreads[kind] = max(spreads.get(kind, 0.0), max(values) - min(values))
    return spreads


def doubted(results: Sequence[Result], kept: Mapping[str, Case], declared: Declared) -> dict[str, str]:
    """The cells whose metric differs from the reference's score of their pictures, each with the reason."""
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
                f"its {metric.judged} on its pictures is {own:.2%}, but the reference finds {judged:.2%} "
                f"(limit of the difference {limit:.2%})"
            )
    return found


def _of_these_pictures(results: Sequence[Result], kept: Mapping[str, Case]) -> dict[str, Case]:
    """The judgements of the present pictures. A cell may have run again since it was judged, so judgements of its old pictures
    are left out."""
    made = {result.cell.key: result.artifacts.get(PICTURES) for result in results if result.status == "ok"}
    return {
        name: _only(case, [key for key, file in case["files"].items() if made.get(key) == file])
        for name, case in kept.items()
    }


def _only(case: Case, keys: Sequence[str]) -> Case:
    """The part of a case about these cells. If it is not the whole case, the differences between pictures are left out."""
    judges = {
        judge: answer | {"scores": {key: answer["scores"][key] for key in keys}} if "scores" in answer else answer
        for judge, answer in case["judges"].items()
    }
    rest = {name: value for name, value in case.items() if name != "apart" or len(keys) == len(case["files"])}
    return rest | {"files": {key: case["files"][key] for key in keys}, "judges": judges}


def judged_metric(metrics: Sequence[Metric]) -> Metric | None:
    """The metric that must agree with the reference's score of the task's pictures; None if there is none."""
    return next((metric for metric in metrics if metric.judged), None)


def tolerance(metric: Metric, result: Result) -> float:
    """The largest difference between two backends' shares of the same pictures: half a percent, or one picture."""
    count = result.metrics.get(metric.sample)
    return max(ALIKE, ONE_PICTURE / count) if count else ALIKE


def name_of(cell: Cell) -> str:
    """The name of a maker or a judge in stored judgements. No two backends of a run share it."""
    return f"{cell.backend}/{cell.mode}"
