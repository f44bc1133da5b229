"""What the judges of a run have said of the pictures in it, put together: a matrix for each experiment, over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.naming import REFERENCE as REFERENCE
from harness.result import Cell, Result

ALIKE = 0.005
"""How far the share that a backend has found may be from what the reference finds in the same pictures; or one picture."""

PICTURES = "pictures.npz"
"""What a cell has made and others judge, by its name among the artifacts of the cell."""

Case = Mapping[str, Any]
"""What is kept of one experiment and seed: the files, what each judge says, and how far the pictures lie apart."""


def matrices(results: Sequence[Result], kept: Mapping[str, Case]) -> Iterator[dict[str, Any]]:
    """For each experiment: `scores[maker][judge]`, means over seeds, and how far pictures lie apart at most."""
    cases = _of_these_pictures(results, kept)
    called = {name_of(result.cell): result.who for result in results}
    groups: dict[str, list[tuple[Case, dict[str, Cell]]]] = {}
    for result in results:
        case = cases.get(result.cell.experiment)
        if case and result.cell.key in case["files"]:
            group = groups.setdefault(replace(result.cell, seed=0).experiment, [])
            if not any(known is case for known, _ in group):
                group.append((case, {}))
            next(cells for known, cells in group if known is case)[result.cell.key] = result.cell
    yield from (_matrix(group, called) for group in groups.values())


def _matrix(group: Sequence[tuple[Case, Mapping[str, Cell]]], called: Mapping[str, str]) -> dict[str, Any]:
    """`called` says what each maker, and each judge, is called."""
    cells = [cell for _, makers in group for cell in makers.values()]
    judges = list(dict.fromkeys(name for case, _ in group for name in case["judges"]))
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for maker in dict.fromkeys(map(name_of, cells)):
        told = scores[called[maker]] = {}
        for judge in judges:
            said = [
                case["judges"][judge]["scores"][key]
                for case, makers in group
                for key, cell in makers.items()
                if name_of(cell) == maker and "scores" in case["judges"].get(judge, {})
            ]
            if said:
                told[called.get(judge, judge)] = {what: statistics.fmean(one[what] for one in said) for what in said[0]}
    several = [case["apart"] for case, makers in group if "apart" in case and len(makers) > 1]
    return {
        "subject": cells[0].subject,
        "task": cells[0].task,
        "n": len(group),
        "judges": [called.get(judge, judge) for judge in judges],
        "scores": scores,
        "apart": {what: max(one[what] for one in several) for what in several[0]} if several else None,
        "problems": sorted(
            f"{called.get(judge, judge)} could not judge: {said['problem']}"
            for case, _ in group
            for judge, said in case["judges"].items()
            if "problem" in said
        ),
    }


def doubted(results: Sequence[Result], kept: Mapping[str, Case]) -> dict[str, str]:
    """The cells whose own number is not what the reference finds in their pictures, and why."""
    cases, found = _of_these_pictures(results, kept), {}
    for result in results:
        score = cases.get(result.cell.experiment, {}).get("judges", {}).get(REFERENCE, {}).get("scores", {})
        own, what = claim(result)
        if own is None or result.cell.key not in score:
            continue
        judged, limit = score[result.cell.key][what], max(ALIKE, 1.5 / result.metrics.get("pictures", 1000))
        if abs(own - judged) > limit:
            found[result.cell.key] = (
                f"it says {what} {own:.2%} of its pictures, in which the reference finds {judged:.2%} (limit {limit:.2%})"
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


def claim(result: Result) -> tuple[float | None, str]:
    """What a cell says of its own pictures, and which score of a judge that is."""
    metrics = result.metrics
    if "robust_accuracy" in metrics:
        at = {point["epsilon"]: point["accuracy"] for point in metrics["robust_accuracy"]}
        return at.get(metrics.get("epsilon")), "accuracy"
    return metrics.get("target_probability"), "probability"


def name_of(cell: Cell) -> str:
    """What a maker, or a judge, is known by where judgements are kept: no two backends of a run share it."""
    return f"{cell.backend}/{cell.mode}"
