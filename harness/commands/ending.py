"""The reasons for exit code 1 of a run: cells that are not ok, and verdicts that differ."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.report.summary import Report
from harness.result import Cell, Result
from harness.storage.sealed import PICTURES

SHOWN = 3
"""The largest number of cells in a line. The report has all of them."""


@dataclass(frozen=True)
class Demands:
    """The requirements of a user for a run."""

    named: Collection[str] = field(default_factory=frozenset)
    """The backends that the user has named. They must support all their cells."""
    strict: bool = False
    """Whether every backend must support all its cells, and no cell may have a warning."""
    allow_differs: bool = False
    """Whether a verdict may be `differs`."""


OVERVIEW = "table"
"""The format that has an overview."""


def details(folder: Path, report: Report) -> str:
    """The line below an overview that says where the details are."""
    run = shlex.join(["samebench", "report", str(folder)])
    pictures = any(PICTURES in result.artifacts for result in report.results)
    gallery = " Its pictures: --format gallery -o gallery.html." if pictures else ""
    return f"Details: {run} --full. For programs: --format json.{gallery}"


def shortfalls(folder: Path, cells: Sequence[Cell], results: Sequence[Result], demands: Demands) -> Iterator[str]:
    """One line for each reason to end the run with exit code 1."""
    known = {result.cell.key: result for result in results}
    found = [known.get(cell.key) or Result(cell, "interrupted", "it has no result") for cell in cells]
    see = f"See: samebench report {folder}"
    if bad := [result for result in found if result.status not in ("ok", "unsupported")]:
        yield f"{_count(bad, 'is', 'are')} not ok: {_reasons(bad)}. {see}"
    if declined := [result for result in found if result.status == "unsupported" and _must_support(result, demands)]:
        why = "and --strict requires all" if demands.strict else "and the backend was named"
        yield f"{_count(declined, 'is', 'are')} unsupported, {why}: {_reasons(declined)}. {see}"
    if demands.strict and (warned := [result for result in found if result.warnings]):
        yield f"{_count(warned, 'has', 'have')} a warning, and --strict allows none: {_warnings(warned)}. {see}"
    different = [result for result in found if result.verdict.is_different]
    if different and not demands.allow_differs:
        yield (
            f"{_count(different, 'differs', 'differ')} from the reference or from the other backends: "
            f"{_verdicts(different)}. {see}. If you expect this, add --allow-differs"
        )


def _must_support(result: Result, demands: Demands) -> bool:
    return demands.strict or result.cell.backend in demands.named


def _count(results: Sequence[Result], singular: str, plural: str) -> str:
    return f"1 cell {singular}" if len(results) == 1 else f"{len(results)} cells {plural}"


def _reasons(results: Sequence[Result]) -> str:
    return _first(f"{_who(result)}: {result.status}: {result.reason}" for result in results)


def _warnings(results: Sequence[Result]) -> str:
    return _first(f"{_who(result)}: {warning}" for result in results for warning in result.warnings)


def _verdicts(results: Sequence[Result]) -> str:
    return _first(f"{_who(result)}: {result.verdict.details}" for result in results)


def _who(result: Result) -> str:
    return f"{result.cell.task} {result.who} seed {result.cell.seed}"


def _first(texts: Iterator[str]) -> str:
    """The first texts, and the number of the others."""
    lines = list(texts)
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "; ".join([*lines[:SHOWN], *more])
