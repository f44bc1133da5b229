"""Every number of an experiment as a ratio, or a difference, to a backend that the reader chooses.

The same pairs, intervals and verdicts as in `samebench compare`: the cells of both backends with the same seed are a pair. All of it
is computed here; the page only shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.charts.of_report import labels
from harness.report.compare.changes import Change, change_of, judged
from harness.report.compare.conditions import conditions_of
from harness.report.compare.matching import row_of
from harness.report.compare.measures import FIRST_STEP, SPEED, Measure, shares_of
from harness.report.compare.text import verdict_text
from harness.report.summary import Report

MOST_BACKENDS = 12
"""An experiment with more backends has no ratios: their number grows with the square."""

Said = tuple[str, str, str]
"""A ratio as text, its verdict in a word (faster, slower, shorter, longer, higher, lower, equivalent, undecided, or none), and the whole reason."""

LONGER = {"faster": "longer", "slower": "shorter"}
"""The words for a time instead of those for a speed."""

Ratios = dict[str, dict[str, dict[str, Said]]]
"""By the label of the baseline, the label of the row, and the measure."""


def ratios_of(report: Report, experiments: Mapping[str, Sequence[dict[str, Any]]]) -> list[Ratios]:
    """The ratios of each experiment. For each baseline, verdicts are corrected for the number of its comparisons."""
    return [_ratios(report, rows) for rows in experiments.values()]


def _ratios(report: Report, rows: Sequence[dict[str, Any]]) -> Ratios:
    names = labels(rows)
    if not 1 < len(rows) <= MOST_BACKENDS or len({*names}) < len(names):
        return {}
    results = {name: report.results_of(row) for name, row in zip(names, rows, strict=True)}
    host = report.run.get("host")
    found: Ratios = {}
    for baseline in names:
        pairs = {name: row_of(results[baseline], results[name]) for name in names if name != baseline}
        conditions = conditions_of([*pairs.values()], (host, host), report.metrics)
        measures = [(measure, True) for measure in (SPEED, FIRST_STEP)]
        measures += [(measure, False) for measure in shares_of(rows[0]["task"], report.metrics)]
        found[baseline] = {name: {} for name in names}
        for measure, relative in measures:
            changes = {name: change_of(row, measure, relative, conditions, False) for name, row in pairs.items()}
            for name, change in zip(changes, judged([*changes.values()]), strict=True):
                found[baseline][name][measure.name] = _said(change, measure)
    return found


def _said(change: Change, measure: Measure) -> Said:
    whole = verdict_text(change)
    word = whole.partition(":")[0]
    word = LONGER.get(word, word) if measure is FIRST_STEP else word
    return _text(change, measure), word if not word.startswith("not judged") else "none", whole


def _text(change: Change, measure: Measure) -> str:
    if change.value is None:
        return "-"
    low, high = change.limits or (None, None)
    if change.relative:
        return f"{change.value:.3g}×" + (f" ({low:.3g} to {high:.3g})" if low is not None else "")
    points = f"{100 * change.value:+.2f}"
    return points + (f" ({100 * low:+.2f} to {100 * high:+.2f})" if low is not None and high is not None else "")
