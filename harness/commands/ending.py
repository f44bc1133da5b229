"""Why a run ends with exit code 1: cells that are not ok, and verdicts that differ."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.report.summary import Report
from harness.result import Cell, Result
from harness.storage.sealed import PICTURES

SHOWN = 3
"""A line names this many cells at most; the report has all of them."""


@dataclass(frozen=True)
class Demands:
    """What a user requires of a run."""

    named: Collection[str] = field(default_factory=frozenset)
    """The backends that the user has named: they must support what is asked of them."""
    strict: bool = False
    """Whether every backend must support what is asked of it."""
    allow_differs: bool = False
    """Whether a verdict may be `differs`."""


OVERVIEW = "table"
"""The format that has an overview."""


def details(folder: Path, report: Report) -> str:
    """Where the reader of an overview finds the rest."""
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
        yield f"{_count(bad, 'is', 'are')} not ok: {_told(bad)}. {see}"
    if declined := [result for result in found if result.status == "unsupported" and _must_support(result, demands)]:
        asked = "and --strict asks for all" if demands.strict else "and the backend was named"
        yield f"{_count(declined, 'is', 'are')} unsupported, {asked}: {_told(declined)}. {see}"
    different = [result for result in found if result.verdict.is_different]
    if different and not demands.allow_differs:
        yield (
            f"{_count(different, 'differs', 'differ')} from the reference or from the other backends: "
            f"{_verdicts(different)}. {see}. If you expect this, add --allow-differs"
        )


def _must_support(result: Result, demands: Demands) -> bool:
    return demands.strict or result.cell.backend in demands.named


def _count(results: Sequence[Result], one: str, several: str) -> str:
    return f"1 cell {one}" if len(results) == 1 else f"{len(results)} cells {several}"


def _told(results: Sequence[Result]) -> str:
    return _first(f"{_who(result)}: {result.status}: {result.reason}" for result in results)


def _verdicts(results: Sequence[Result]) -> str:
    return _first(f"{_who(result)}: {result.verdict.details}" for result in results)


def _who(result: Result) -> str:
    return f"{result.cell.task} {result.who} seed {result.cell.seed}"


def _first(told: Iterator[str]) -> str:
    """The first of the texts, and how many more there are."""
    lines = list(told)
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "; ".join([*lines[:SHOWN], *more])
