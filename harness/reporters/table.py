"""The report for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from harness.agreement import Agreement
from harness.markers import hookimpl
from harness.report import Report
from harness.result import Result

WIDTH = 112
HEADERS = ("backend", "mode", "n", "test accuracy", "images/s", "first step", "parameters", "parity")


def as_table(report: Report) -> str:
    notes = ("\n".join(_wrapped(line) for line in note.splitlines()) for note in _notes(report))
    return "\n\n".join(part for part in (*_tables(report), *notes) if part)


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _tables(report: Report) -> Iterator[str]:
    """A table for each experiment, so that what stands together may be compared."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in report.summary:
        groups.setdefault(f"{row['task']}: {row['model']} on {row['dataset']}, {row['precision']}", []).append(row)
    for title, rows in groups.items():
        yield f"{title}\n{tabulate([_cells(row) for row in rows], HEADERS, disable_numparse=True, colalign=_ALIGN)}"


_ALIGN = ("left", "left", "right", "right", "right", "right", "right", "left")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    n = str(row["n"]) if row["n"] == row["cells"] else f"{row['n']} of {row['cells']}"
    share = speed = first = parameters = "-"
    if accuracy := row.get("test_accuracy"):
        share = f"{accuracy['mean']:.2%}"
        if accuracy["low"] is not None:
            share += f" ± {100 * (accuracy['high'] - accuracy['mean']):.2f}"
    if rate := row.get("images_per_s"):
        speed = f"{rate['median']:,.0f}"
        if rate["low"] is not None:
            speed += f" ({rate['low']:,.0f} to {rate['high']:,.0f})"
    if row["n"]:
        first, parameters = f"{row['first_step_s']['median']:.2f} s", f"{row['parameters']:,}"
    return row["backend"], row["mode"], n, share, speed, first, parameters, row["parity"].partition(":")[0]


def _notes(report: Report) -> Iterator[str]:
    yield "\n".join(dict.fromkeys(_agreement(agreement) for agreement in _widest(report.agreements)))
    yield "\n".join(_verdict(result) for result in _one_each(report.results))
    yield "\n".join(_failure(result) for result in report.results if result.status != "ok")
    host = report.run.get("host", {})
    versions = {name: version for result in report.results for name, version in result.versions.items()}
    devices = sorted(
        {result.cell.device if result.status != "ok" else result.evidence["device"] for result in report.results}
    )
    yield (
        f"On the {' and '.join(devices).upper() or '?'} of {host.get('processor')}, {host.get('cores')} cores, {host.get('system')}, "
        f"Python {host.get('python')}; " + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        + ".\n± and ( to ): 95 % intervals, over seeds and over timed segments; compilation is in the first step only."
    )  # fmt: skip


def _widest(found: Sequence[Agreement]) -> list[Agreement]:
    """For each experiment, the seed with outliers, or else with the widest spread."""
    widest: dict[tuple[str, str, str], Agreement] = {}
    for agreement in found:
        key = agreement.task, agreement.model, agreement.dataset
        if key not in widest or _apart(agreement) > _apart(widest[key]):
            widest[key] = agreement
    return list(widest.values())


def _apart(agreement: Agreement) -> tuple[int, float]:
    return len(agreement.outliers), agreement.first_loss_spread


def _agreement(agreement: Agreement) -> str:
    text = f"In this run ({agreement.task}): same batches and first weights; losses of the first batch within {_tiny(agreement.first_loss_spread)}"
    if agreement.first_segment_spread is not None:
        text += f", of the first segment within {_tiny(agreement.first_segment_spread)}"
    return text + f" over {len(agreement.backends)} backends." if not agreement.outliers else text + ", and see below."


def _one_each(results: Sequence[Result]) -> list[Result]:
    """One result for each backend, mode, task and verdict."""
    found = {
        (r.cell.task, r.cell.model, r.cell.backend, r.cell.mode, r.parity["verdict"]): r
        for r in results
        if r.status == "ok"
    }
    return list(found.values())


def _verdict(result: Result) -> str:
    parity, cell = result.parity, result.cell
    who = f"{cell.backend}/{cell.mode}, {cell.task}"
    if parity["verdict"] != "equal":
        return f"Parity of {who}: {parity['verdict']}"
    text = (
        f"Parity of {who}: float64 against the NumPy reference, {parity['steps']} steps: "
        f"logits {_tiny(parity['logits'])}, gradients {_tiny(parity['gradients'])}, "
        f"losses and weights {_tiny(parity['trajectory'])}; {cell.precision}: "
        f"logits {_tiny(parity['timed']['logits'])}, first losses {_tiny(parity['timed']['losses'])}"
    )
    return text + (f"; not proven: {', '.join(parity['excludes'])}" if parity["excludes"] else "")


def _tiny(deviation: float | None) -> str:
    return "not compared" if deviation is None else f"{deviation:.0e}" if deviation else "0"


def _failure(result: Result) -> str:
    cell = result.cell
    return f"{cell.task}, {cell.backend}/{cell.mode}, seed {cell.seed}: {result.status}: {result.reason}"


@hookimpl
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    return {"table": as_table}
