"""From aligned to native semantics, one default at a time: the accuracy and the speed at each step of a backend."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.forms import is_number
from harness.metric import Metric, headline_of
from harness.report.stats import FEWEST_MEANS, FEWEST_RATES, interval, paired_differences, paired_ratios
from harness.report.summary import Report, disturbed
from harness.report.text.tables import Table, metric_text, rate, seed_count
from harness.result import WATERFALL, Result

Row = dict[str, Any]

STEPS: Mapping[str, str] = {
    "aligned": "the same for all", "native-weights": "own first weights", "native": "and own optimiser",
}  # fmt: skip
"""The name of each step."""


def waterfalls(report: Report) -> Iterator[Table]:
    """A table for each experiment that ran with several semantics. Each step is compared with the one above it, by pairs of
    seeds."""
    groups: dict[tuple[Any, ...], dict[tuple[str, str], dict[str, Row]]] = {}
    for row in report.summary:
        about = row["task"], row["model"], row["dataset"], row["weights"], row["precision"], str(row["options"])
        groups.setdefault(about, {}).setdefault((row["backend"], row["mode"]), {})[row["semantics"]] = row
    for (task, model, dataset, *_), backends in groups.items():
        if any(len(steps) > 1 for steps in backends.values()):
            yield _table(
                f"{task}: {model} on {dataset}, from aligned to native, one default at a time", report, backends
            )


def _table(title: str, report: Report, backends: Mapping[tuple[str, str], Mapping[str, Row]]) -> Table:
    first = next(iter(next(iter(backends.values())).values()))
    main = headline_of(report.metrics[first["task"]])
    rows: list[tuple[str, ...]] = []
    for name, steps in backends.items():
        before: list[Result] = []
        for semantics in WATERFALL:
            if (row := steps.get(semantics)) is None:
                continue
            results = [result for result in report.results_of(row) if result.status == "ok"]
            cells = (
                seed_count(row), metric_text(main, row) if main else "-", _difference(main, before, results),
                rate(row.get("images_per_s")), _ratio(before, results),
            )  # fmt: skip
            rows.append((*name, STEPS[semantics], *cells))
            before = results or before
    headers = ("backend", "mode", "step", "n", main.header if main else "result", "change", "images/s", "ratio")
    return Table(title, headers, rows)


def _pairs(before: Sequence[Result], after: Sequence[Result]) -> list[tuple[Result, Result]]:
    """The results of the same seed."""
    by_seed = {result.cell.seed: result for result in before}
    return [(by_seed[result.cell.seed], result) for result in after if result.cell.seed in by_seed]


def _difference(main: Metric | None, before: Sequence[Result], after: Sequence[Result]) -> str:
    """The mean change of the headline in points, with its interval."""
    if main is None or main.format != "share":
        return "-"
    values = [
        (100.0 * first, 100.0 * second)
        for one, other in _pairs(before, after)
        if is_number(first := main.value_in(one.metrics)) and is_number(second := main.value_in(other.metrics))
    ]
    if not values:
        return "-"
    found = paired_differences([first for first, _ in values], [second for _, second in values])
    limits = interval(found, FEWEST_MEANS)
    return f"{found.mean:+.2f}" + (f" ({limits[0]:+.2f} to {limits[1]:+.2f})" if limits else "")


def _ratio(before: Sequence[Result], after: Sequence[Result]) -> str:
    """The geometric mean of the ratios of speeds, with its interval."""
    pairs = [
        (first.speed, second.speed)
        for first, second in _pairs(before, after)
        if first.speed and second.speed and not (disturbed(first) or disturbed(second))
    ]
    if not pairs:
        return "-"
    found = paired_ratios([first for first, _ in pairs], [second for _, second in pairs])
    limits = interval(found, FEWEST_RATES)
    text = f"{math.exp(found.mean):.2f}"
    return text + (f" ({math.exp(limits[0]):.2f} to {math.exp(limits[1]):.2f})" if limits else "")
