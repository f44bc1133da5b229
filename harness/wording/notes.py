"""What must be read with the tables of a report, in lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.agreement import Agreement
from harness.probes import LIMITS
from harness.report import Report
from harness.result import Result
from harness.stats import FEWEST_MEANS, FEWEST_MEDIANS
from harness.wording.results import one_each
from harness.wording.tables import tiny

INTERVALS = (
    f"( to ): 95 % confidence intervals. Accuracies and the like: of the mean over seeds, from {FEWEST_MEANS} seeds on. "
    f"Rates: of the median over cells, from {FEWEST_MEDIANS} cells on; a cell counts as the median of its timed segments.",
    "The first step and the warm-up steps are timed apart and are in no rate. Compilation that comes later is in the rate.",
)
"""What the numbers of every table are."""


def notes(report: Report) -> Iterator[list[str]]:
    """Paragraphs of lines, the most important first."""
    yield [
        *dict.fromkeys(map(_agreement, _widest(report.agreements))),
        *(_apart(found) for found in report.judgements if found["apart"]),
    ]
    yield list(dict.fromkeys(line for result in one_each(report.results) for line in _verdict(result)))
    yield list(map(_failure, _not_ok(report.results)))
    yield list(_starts(report.results))
    yield list(_own_ways(report.results))
    yield [problem for found in report.judgements for problem in found["problems"]]
    yield [*_warnings(report.results), *_mixed_versions(report.results)]
    yield list(dict.fromkeys(note for result in report.results for note in _told(result)))
    host = report.run.get("host", {})
    versions = {name: version for result in report.results for name, version in result.versions.items()}
    devices = sorted({result.evidence.get("device", result.cell.device) for result in report.results})
    yield [
        f"On the {' and '.join(devices).upper() or '?'} of {host.get('processor')}, {host.get('cores')} cores, {host.get('system')}, "
        f"Python {host.get('python')}" + "".join(f", {name} {version}" for name, version in sorted(versions.items())) + ".",
        *INTERVALS,
    ]  # fmt: skip


def _widest(found: Sequence[Agreement]) -> list[Agreement]:
    """For each experiment, the seed with outliers, or else with the widest spread."""
    widest: dict[tuple[str, str, str], Agreement] = {}
    for agreement in found:
        key = agreement.task, agreement.model, agreement.dataset
        if key not in widest or _width(agreement) > _width(widest[key]):
            widest[key] = agreement
    return list(widest.values())


def _width(agreement: Agreement) -> tuple[int, float]:
    return len(agreement.outliers), agreement.first_losses_spread or agreement.accuracy_spread or 0.0


def _agreement(agreement: Agreement) -> str:
    """How far backends were apart in what the run itself has kept."""
    within = {
        "losses of the first step": agreement.first_loss_spread,
        "of the first five": agreement.first_losses_spread,
        "of the first segment": agreement.first_segment_spread,
        "features": agreement.features_spread,
        "clean and robust accuracy": agreement.accuracy_spread,
    }
    told = ", ".join(f"{what} within {tiny(spread)}" for what, spread in within.items() if spread is not None)
    text = f"In this run ({agreement.task}): same {agreement.shared} and first weights; {told}".rstrip("; ")
    return text + (", and see below." if agreement.outliers else f" over {len(agreement.backends)} backends.")


def _apart(found: dict[str, Any]) -> str:
    """How far the pictures of several backends lie apart."""
    largest, visible = found["apart"]["largest"], found["apart"]["visible"]
    return (
        f"Pictures of {found['task']}: those of {len(found['scores'])} backends differ by {tiny(largest)} at most, and "
        f"visibly (by more than 1/255) in {visible:.2g} of their values."
    )


def _verdict(result: Result) -> Iterator[str]:
    """What a reader must know beyond the numbers: why there is no proof, or what it leaves out."""
    parity, cell = result.parity, result.cell
    who = f"{cell.backend}/{cell.mode}, {cell.task}"
    if parity["verdict"] != "equal":
        yield f"Parity of {who}: {parity['verdict']}"
        return
    if parity["timed"]["limit"] > LIMITS[cell.precision]:
        yield "A limit above that of its precision is as far as rounding in float32 moves the reference itself."
    if parity["excludes"]:
        yield f"Not proven for {who}: {', '.join(parity['excludes'])}"


def _not_ok(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.status != "ok"]


def _failure(result: Result) -> str:
    cell = result.cell
    return f"{cell.task}, {cell.backend}/{cell.mode}, seed {cell.seed}: {result.status}: {result.reason}"


def _starts(results: Sequence[Result]) -> Iterator[str]:
    """What is known of the weights that tasks started from, one line for each."""
    tasks: dict[str, list[str]] = {}
    for result in results:
        if start := result.evidence.get("start"):
            known = f"{start['name']} ({start['variant']}; {start['preprocessing']}), trained on {start['trained_on']}"
            tasks.setdefault(f"{known}; {start['licence']}; {start['source']}", []).append(result.cell.task)
    yield from (f"Weights of {', '.join(dict.fromkeys(names))}: {known}." for known, names in tasks.items())


def _own_ways(results: Sequence[Result]) -> Iterator[str]:
    """What native semantics have changed, one line a backend."""
    changes = {
        r.cell.backend: "; ".join(f"{name}: {how}" for name, how in r.evidence.get("own_ways", {}).items())
        for r in results
        if r.cell.semantics == "native" and r.status == "ok"
    }
    yield from (f"{backend} went its own way: {how}" for backend, how in changes.items())


def _warnings(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        cell = result.cell
        yield from (
            f"Warning: {cell.task}, {cell.backend}/{cell.mode}, seed {cell.seed}: {warning}"
            for warning in result.warnings
        )


def _mixed_versions(results: Sequence[Result]) -> Iterator[str]:
    """A backend whose cells ran on different versions: a run that was resumed after an upgrade."""
    versions: dict[str, set[str]] = {}
    for result in results:
        if result.status == "ok":
            told = ", ".join(f"{name} {version}" for name, version in sorted(result.versions.items()))
            versions.setdefault(result.cell.backend, set()).add(told)
    for backend, several in versions.items():
        if len(several) > 1:
            yield f"Warning: cells of {backend} ran on different versions: {'; '.join(sorted(several))}"


def _told(result: Result) -> Iterator[str]:
    """What the data set and the task have to say."""
    yield from result.evidence.get("data_notes", [])
    yield from (f"{result.cell.task}: {note}" for note in result.evidence.get("notes", []))
