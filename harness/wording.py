"""A report in words: the rows of its tables, and the notes that must be read with them. Formats that people read
differ in how they set them, and not in what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from harness.agreement import Agreement
from harness.probes import LIMITS
from harness.report import Report
from harness.result import Result
from harness.stats import Mean

TEXTS = ("task", "network", "backend", "mode", "parity", "class", "truth")
"""The columns that are set to the left; numbers are set to the right."""

PROOF = ("backend", "mode", "steps", "logits", "gradients", "losses, weights", "timed logits", "timed losses", "limit")


class Table(NamedTuple):
    """Rows that may be compared."""

    title: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(report: Report) -> Iterator[Table]:
    """For each experiment its results, and then how far each backend is from the reference."""
    results: dict[str, list[dict[str, Any]]] = {}
    for row in report.summary:
        results.setdefault(experiment(row), []).append(row)
    yield from (Table(title, _headers(rows), list(map(_cells, rows))) for title, rows in results.items())
    proofs: dict[str, list[tuple[str, ...]]] = {}
    for result in _one_each(report.results):
        if result.parity["verdict"] == "equal":
            cell = result.cell
            title = (
                f"{cell.task}, {cell.model}: largest deviation from the NumPy reference, in float64 (limit 1e-9) and "
            )
            title += f"in the timed {cell.precision}"
            proofs.setdefault(title, []).append(_proof(result))
    yield from (Table(title, PROOF, rows) for title, rows in proofs.items())


def network(row: Mapping[str, Any]) -> str:
    """The network of a row of the summary, and what it started from."""
    start = f" from {PurePath(row['weights']).name}" if row["weights"] else ""
    return f"{row['model']}{start}"


def experiment(row: Mapping[str, Any]) -> str:
    """What a row of the summary is about, backends aside: with its options where they are what differs."""
    title = f"{row['task']}: {network(row)} on {row['dataset']}, {row['precision']}"
    title += "".join(f", {name}={value}" for name, value in row["varied"].items())
    return title + ("" if row["semantics"] == "aligned" else ", each framework's own optimiser and first weights")


def _headers(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The rate is called by what it counts: images, features."""
    rate = next((row["rate"].split()[-1] for row in rows if "rate" in row), "images")
    return "backend", "mode", "n", "test accuracy", f"{rate}/s", "first step", "parameters", "parity"


def finished(row: Mapping[str, Any]) -> str:
    """How many seeds a row of the summary rests on."""
    return str(row["n"]) if row["n"] == row["cells"] else f"{row['n']} of {row['cells']}"


def percent(share: Mean | None) -> str:
    """A mean share with its interval, if there is one."""
    if share is None:
        return "-"
    return f"{share['mean']:.2%}" + ("" if share["high"] is None else f" ± {100 * (share['high'] - share['mean']):.2f}")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    speed = first = parameters = "-"
    if rate := row.get("images_per_s"):
        speed = f"{rate['median']:,.0f}"
        if rate["low"] is not None:
            speed += f" ({rate['low']:,.0f} to {rate['high']:,.0f})"
    if row["n"]:
        first, counts = f"{row['first_step_s']['median']:.2f} s", row["parameter_counts"]
        parameters = f"{counts['total']:,}" + (f", {counts['trainable']:,} learn" if counts["frozen"] else "")
    share, verdict = percent(row.get("test_accuracy")), row["parity"].partition(":")[0]
    return row["backend"], row["mode"], finished(row), share, speed, first, parameters, verdict


def notes(report: Report) -> Iterator[list[str]]:
    """Paragraphs of lines, the most important first."""
    yield list(dict.fromkeys(map(_agreement, _widest(report.agreements))))
    yield list(dict.fromkeys(line for result in _one_each(report.results) for line in _verdict(result)))
    yield list(map(_failure, _not_ok(report.results)))
    yield list(_starts(report.results))
    yield list(_own_ways(report.results))
    yield [*_warnings(report.results), *_mixed_versions(report.results)]
    yield list(dict.fromkeys(note for result in report.results for note in result.evidence.get("data_notes", [])))
    host = report.run.get("host", {})
    versions = {name: version for result in report.results for name, version in result.versions.items()}
    devices = sorted({result.evidence.get("device", result.cell.device) for result in report.results})
    yield [
        f"On the {' and '.join(devices).upper() or '?'} of {host.get('processor')}, {host.get('cores')} cores, {host.get('system')}, "
        f"Python {host.get('python')}" + "".join(f", {name} {version}" for name, version in sorted(versions.items())) + ".",
        "± and ( to ): 95 % intervals, over seeds and over timed segments; compilation is in the first step only.",
    ]  # fmt: skip


def _widest(found: Sequence[Agreement]) -> list[Agreement]:
    """For each experiment, the seed with outliers, or else with the widest spread."""
    widest: dict[tuple[str, str, str], Agreement] = {}
    for agreement in found:
        key = agreement.task, agreement.model, agreement.dataset
        if key not in widest or _apart(agreement) > _apart(widest[key]):
            widest[key] = agreement
    return list(widest.values())


def _apart(agreement: Agreement) -> tuple[int, float]:
    return len(agreement.outliers), agreement.first_losses_spread


def _agreement(agreement: Agreement) -> str:
    text = (
        f"In this run ({agreement.task}): same batches and first weights; losses of the first step within "
        f"{_tiny(agreement.first_loss_spread)}, of the first five within {_tiny(agreement.first_losses_spread)}"
    )
    if agreement.first_segment_spread is not None:
        text += f", of the first segment within {_tiny(agreement.first_segment_spread)}"
    if agreement.features_spread is not None:
        text += f"; features within {_tiny(agreement.features_spread)}"
    return text + f" over {len(agreement.backends)} backends." if not agreement.outliers else text + ", and see below."


def _one_each(results: Sequence[Result]) -> list[Result]:
    """One result for each backend, mode, task and verdict."""
    found = {
        (r.cell.task, r.cell.model, r.cell.backend, r.cell.mode, r.parity["verdict"]): r
        for r in results
        if r.status == "ok"
    }
    return list(found.values())


def _proof(result: Result) -> tuple[str, ...]:
    cell, parity = result.cell, result.parity
    timed = parity["timed"]
    exact = (parity["logits"], parity["gradients"], parity["trajectory"])
    deviations = map(_tiny, (*exact, timed["logits"], timed["losses"], timed["limit"]))
    return cell.backend, cell.mode, str(parity["steps"]), *deviations


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


def _tiny(deviation: float | None) -> str:
    return "-" if deviation is None else f"{deviation:.0e}" if deviation else "0"


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
