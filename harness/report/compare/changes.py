"""The change of a number of a row from the first run to the second, with its interval and its verdict.

A change of a speed, a time or a memory is a ratio second / first. A change of an accuracy is a difference. Verdicts:

better, worse    the second run is higher or lower (of speeds: faster or slower)
equivalent       the change is within the margin, by two one-sided tests
undecided        there are too few pairs, or more pairs would decide

Verdicts are corrected for the number of rows (Holm). Equivalence comes first: a change within the margin does not matter, even
if it is certain.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from harness.report.compare.conditions import SPEED_MARGIN, Conditions
from harness.report.compare.matching import Pair, Row
from harness.report.compare.measures import Measure
from harness.report.stats import (
    ALPHA,
    FEWEST_RATES,
    Pairs,
    holm,
    interval,
    p_different,
    p_equivalent,
    paired_differences,
    paired_ratios,
    pairs_needed,
    pairs_of,
    ratio_margin,
    smallest_effect,
)
from harness.report.summary import disturbed
from harness.text import listed

ACCURACY_MARGIN = 0.01
"""Accuracies within one percentage point are equivalent."""

SAME = 1e-9
"""Ratios of times that differ by less than this were not measured: somebody has computed or copied them."""

Verdict = Literal["higher", "lower", "equivalent", "undecided"]


@dataclass(frozen=True)
class Change:
    """The change of one measure of a row. It has a verdict, or a reason why it is not judged."""

    row: Row
    measure: Measure
    relative: bool
    """Whether the change is a ratio, and not a difference."""

    places: Sequence[tuple[int, int]] = ()
    """The seed and the repeat of each pair with a value in both runs."""

    differences: Sequence[float] = ()
    """The differences of the pairs, or the logarithms of their ratios."""

    first: float | None = None
    second: float | None = None
    """The geometric mean of the values of these pairs in each run if the change is a ratio, otherwise their mean."""

    not_judged: str = ""
    """The reason why there is no verdict and no interval; empty if there is none."""

    ignored: Sequence[str] = ()
    """The conditions that differ and that `--force` ignores."""

    verdict: Verdict | None = None
    p_different: float | None = None
    p_equivalent: float | None = None
    """p values, corrected for the number of rows."""

    smallest_effect: float | None = None
    """The smallest change that is found in 8 of 10 comparisons like this one, as a share or a difference."""

    would_decide: int | None = None
    """The number of pairs that would decide an undecided change."""

    @property
    def n(self) -> int:
        return len(self.differences)

    @cached_property
    def pairs(self) -> Pairs:
        return pairs_of(self.differences)

    @property
    def value(self) -> float | None:
        """The ratio, or the difference; None if no pair has it."""
        return self._shown(self.pairs.mean) if self.n else None

    @property
    def limits(self) -> tuple[float, float] | None:
        """The 95 % interval of the value; None if the change is not judged or has too few pairs."""
        found = interval(self.pairs, self.measure.fewest) if self.n and not self.not_judged else None
        return found and (self._shown(found[0]), self._shown(found[1]))

    @property
    def is_forced(self) -> bool:
        return bool(self.ignored)

    @property
    def too_few(self) -> str:
        """A message if there are too few pairs for an interval; otherwise empty."""
        if self.n >= self.measure.fewest:
            return ""
        return f"{self.n} pair{'' if self.n == 1 else 's'}, and at least {self.measure.fewest} are needed"

    def _shown(self, difference: float) -> float:
        return math.exp(difference) if self.relative else difference

    def as_json(self) -> dict[str, Any]:
        low, high = self.limits or (None, None)
        return {
            "metric": self.measure.name, "first": self.first, "second": self.second,
            "ratio" if self.relative else "difference": self.value, "low": low, "high": high, "n": self.n,
            "verdict": self.verdict, "not_judged": self.not_judged or None, "ignored": list(self.ignored),
            "p_different": self.p_different, "p_equivalent": self.p_equivalent,
            "smallest_effect": self.smallest_effect, "would_decide": self.would_decide,
        }  # fmt: skip


def change_of(row: Row, measure: Measure, relative: bool, conditions: Conditions, force: bool) -> Change:
    """The change of a measure in a row, without a verdict."""
    pairs, values = _measured(row, measure)
    change = Change(row, measure, relative, [pair.place for pair in pairs])
    if not pairs:
        return replace(change, not_judged=_nothing(row, measure))
    first, second = ([value[side] for value in values] for side in (0, 1))
    if relative and min(*first, *second) <= 0:
        return replace(change, not_judged=f"a ratio of {measure.header} needs values above 0")
    found = paired_ratios if relative else paired_differences
    change = replace(
        change,
        differences=[found([before], [after]).mean for before, after in values],
        first=statistics.geometric_mean(first) if relative else statistics.fmean(first),
        second=statistics.geometric_mean(second) if relative else statistics.fmean(second),
    )
    obstacles = conditions.obstacles_of(pairs, measure.is_timed)
    if any(pair.is_one_measurement for pair in pairs):
        return replace(change, not_judged="both runs have the same measurement")
    if obstacles and not force:
        return replace(change, not_judged=f"{listed(obstacles)} {'differs' if len(obstacles) == 1 else 'differ'}")
    if measure.is_timed and any(disturbed(result) for pair in pairs for result in (pair.first, pair.second)):
        return replace(change, not_judged="disturbed", ignored=obstacles)
    if measure.is_timed and change.n > 1 and change.pairs.deviation <= SAME:
        return replace(
            change, not_judged="all pairs have exactly the same ratio, which no measurement has", ignored=obstacles
        )
    return replace(change, ignored=obstacles)


def _measured(row: Row, measure: Measure) -> tuple[list[Pair], list[tuple[float, float]]]:
    """The pairs that have the value in both runs, and the values."""
    pairs, values = [], []
    for pair in row.finished:
        first, second = measure.value(pair.first), measure.value(pair.second)
        if first is not None and second is not None:
            pairs.append(pair)
            values.append((first, second))
    return pairs, values


def _nothing(row: Row, measure: Measure) -> str:
    """The reason why no pair has a value."""
    for which, results in (("first", row.first), ("second", row.second)):
        if not results:
            return f"it is not in the {which} run"
        failed = next((result for result in results if result.status != "ok"), None)
        if failed and not any(result.status == "ok" for result in results):
            return f"no cell of the {which} run is ok: {failed.status}: {failed.reason}"
        if not any(measure.value(result) is not None for result in results if result.status == "ok"):
            return f"no cell of the {which} run has {measure.header}"
    return "no seed has it in both runs"


def judged(changes: Sequence[Change]) -> list[Change]:
    """The changes with their verdicts, corrected for the number of those that are judged."""
    tested = [change for change in changes if not change.not_judged and not change.too_few]
    different = holm([p_different(change.pairs) for change in tested])
    equivalent = holm([p_equivalent(change.pairs, margin_of(change)) for change in tested])
    verdicts = {id(one): (p, q) for one, p, q in zip(tested, different, equivalent, strict=True)}
    alpha = ALPHA / max(len(tested), 1)
    return [
        _with_verdict(change, *verdicts[id(change)], alpha)
        if id(change) in verdicts
        else change
        if change.not_judged
        else replace(change, verdict="undecided")
        for change in changes
    ]


def margin_of(change: Change) -> float:
    """The margin of equivalence, on the scale of the differences."""
    return ratio_margin(SPEED_MARGIN) if change.relative else ACCURACY_MARGIN


def _with_verdict(change: Change, different: float, equivalent: float, alpha: float) -> Change:
    pairs, verdict = change.pairs, _verdict(change, different, equivalent)
    effect = smallest_effect(pairs, alpha)
    needed = None
    if verdict == "undecided":
        needed = pairs_needed(pairs, margin_of(change), change.n + 1, alpha)
    return replace(
        change, verdict=verdict, p_different=different, p_equivalent=equivalent,
        smallest_effect=-math.expm1(-effect) if change.relative else effect, would_decide=needed,
    )  # fmt: skip


def _verdict(change: Change, different: float, equivalent: float) -> Verdict:
    if equivalent <= ALPHA:
        return "equivalent"
    if different > ALPHA:
        return "undecided"
    return "higher" if change.pairs.mean > 0 else "lower"


@dataclass(frozen=True)
class Overall:
    """The geometric mean of the ratios of several rows, over the seeds that all of them have."""

    rows: int
    of: int
    """The number of rows that are judged, and of all matched rows."""

    pairs: Pairs | None
    """The means over the rows, one for each seed: the rows of a seed share the state of the machine. None if no seed is common."""

    is_forced: bool

    @property
    def value(self) -> float | None:
        return math.exp(self.pairs.mean) if self.pairs else None

    @property
    def limits(self) -> tuple[float, float] | None:
        found = interval(self.pairs, FEWEST_RATES) if self.pairs else None
        return found and (math.exp(found[0]), math.exp(found[1]))

    def as_json(self) -> dict[str, Any]:
        low, high = self.limits or (None, None)
        n = self.pairs.n if self.pairs else 0
        return {
            "ratio": self.value, "low": low, "high": high, "n": n, "rows": self.rows, "of_rows": self.of,
            "forced": self.is_forced,
        }  # fmt: skip


def overall(changes: Sequence[Change]) -> Overall:
    """The geometric mean of the ratios of the rows that are judged. Every row has the same weight."""
    used = [change for change in changes if change.verdict]
    by_place = [dict(zip(change.places, change.differences, strict=True)) for change in used]
    common = [place for place in (by_place[0] if by_place else ()) if all(place in row for row in by_place)]
    means = [statistics.fmean(row[place] for row in by_place) for place in common]
    matched = sum(bool(change.n) for change in changes)
    return Overall(len(used), matched, pairs_of(means) if means else None, any(one.is_forced for one in used))
