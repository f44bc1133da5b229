"""Which cells of two runs belong together.

A row is an experiment on a backend. Two rows match if all values of `NAME` are equal. The cells of matched rows are paired by
their seed. If a seed was run several times, its cells are paired in the order in which they ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.forms import is_number
from harness.report.basis import frozen
from harness.result import Result

NAME = ("task", "backend", "mode", "model", "dataset", "weights", "precision", "semantics", "options")
"""The values that name a row."""

RowName = dict[str, Any]


class Pair(NamedTuple):
    """A cell of the first run and the cell of the second run with the same seed."""

    first: Result
    second: Result
    repeat: int
    """0 for the first pair of a seed, 1 for the second, and so on."""

    @property
    def place(self) -> tuple[int, int]:
        """The seed and the repeat. The pairs of several rows with the same place ran close to each other."""
        return self.first.cell.seed, self.repeat

    @property
    def is_finished(self) -> bool:
        return self.first.status == self.second.status == "ok"

    @property
    def is_one_measurement(self) -> bool:
        """Whether both cells are copies of one cell. Two measurements never take the same time to the last digit."""
        return self.is_finished and self.first.time == self.second.time


@dataclass(frozen=True)
class Row:
    """The cells of an experiment on a backend in both runs."""

    name: RowName
    first: Sequence[Result]
    second: Sequence[Result]
    pairs: Sequence[Pair]

    @property
    def finished(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair.is_finished]

    @property
    def unpaired(self) -> tuple[list[Result], list[Result]]:
        """The cells of each run that have no partner."""
        paired = {id(result) for pair in self.pairs for result in (pair.first, pair.second)}
        first, second = ([r for r in results if id(r) not in paired] for results in (self.first, self.second))
        return first, second


def name_of(result: Result) -> RowName:
    cell = result.cell
    return {name: result.shown if name == "backend" else getattr(cell, name) for name in NAME}


def match(first: Iterable[Result], second: Iterable[Result]) -> list[Row]:
    """The rows of both runs, in the order of the first run; a row of one run only has no pairs. Rows that differ in nothing but
    their precision match too, if there is one such row in each run."""
    before, after = _by_name(first, name_of), _by_name(second, name_of)
    rows = [row_of(before[key], after.pop(key, [])) for key in before]
    rows += [row_of([], results) for results in after.values()]
    return _across_precisions(rows)


def row_of(first: Sequence[Result], second: Sequence[Result]) -> Row:
    """The row of these cells. They may be of two backends, which are then compared within one run."""
    return Row(name_of((*first, *second)[0]), first, second, list(_pairs(first, second)))


def _across_precisions(rows: Sequence[Row]) -> list[Row]:
    """The rows, with rows of one run joined to those of the other that differ in nothing but their precision."""
    alone: dict[Any, list[Row]] = {}
    for row in rows:
        if not (row.first and row.second):
            alone.setdefault(frozen(row.name | {"precision": None}), []).append(row)
    joined: dict[int, Row | None] = {}
    for group in alone.values():
        first, second = ([row for row in group if getattr(row, side)] for side in ("first", "second"))
        if len(first) == len(second) == 1:
            both = row_of(first[0].first, second[0].second)
            precisions = f"{first[0].name['precision']}, then {second[0].name['precision']}"
            joined |= {id(first[0]): Row(both.name | {"precision": precisions}, both.first, both.second, both.pairs)}
            joined |= {id(second[0]): None}
    return [found for row in rows if (found := joined.get(id(row), row))]


def _by_name(results: Iterable[Result], name: Callable[[Result], Any]) -> dict[Any, list[Result]]:
    groups: dict[Any, list[Result]] = {}
    for result in results:
        groups.setdefault(frozen(name(result)), []).append(result)
    return groups


def _pairs(first: Sequence[Result], second: Sequence[Result]) -> Iterable[Pair]:
    after = _by_name(sorted(second, key=_order), lambda result: result.cell.seed)
    for seed, results in _by_name(sorted(first, key=_order), lambda result: result.cell.seed).items():
        for repeat, (one, other) in enumerate(zip(results, after.get(seed, ()))):
            yield Pair(one, other, repeat)


def _order(result: Result) -> float:
    """The place of the cell in the order in which the cells of its run were run; 0 if the cell does not say it."""
    turn = result.time.get("turn")
    return float(turn) if turn is not None and is_number(turn) else 0.0
