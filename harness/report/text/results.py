"""The results of each experiment, and the deviations of each backend from the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.metric import Metric
from harness.report.summary import Report
from harness.report.text.curves import curves, judgements
from harness.report.text.headlines import columns
from harness.report.text.inputs import pipelines
from harness.report.text.tables import (
    Table,
    experiment_title,
    metric_text,
    number_of,
    rate,
    row_names,
    seed_count,
    tiny,
)
from harness.report.text.waterfall import waterfalls
from harness.result import Result

Row = dict[str, Any]
EXACT = {"logits": "logits", "gradients": "gradients", "trajectory": "losses, weights", "attack": "attack"}
TIMED = {"logits": "timed logits", "losses": "timed losses", "limit": "limit"}
"""Numbers of a certificate in the table of proofs, with their headers."""

OF_PEAK = "of peak"
"""The column of the arithmetic per second, as a share of what matrix products and convolutions reach in the same process."""

PROOF = ("backend", "mode", "steps", *EXACT.values(), *TIMED.values())


def report_tables(report: Report) -> Iterator[Table]:
    """For each experiment its results, curves and judgements; then the steps from aligned to native semantics, and the deviations
    from the reference."""
    for title, rows in report_experiments(report).items():
        (headers, names), metrics = row_names(rows), report.metrics[rows[0]["task"]]
        shown = columns(metrics)
        heads = headers_of(rows, shown)
        cells = [(*name, *cells_of(row, shown, OF_PEAK in heads)) for name, row in zip(names, rows, strict=True)]
        yield Table(title, (*headers, *heads), cells)
        yield from pipelines(title, rows)
        yield from curves(title, rows, metrics)
        yield from judgements(report, title, rows, metrics)
    yield from waterfalls(report)
    yield from proofs(report.results)


def proofs(results: Sequence[Result]) -> list[Table]:
    """The largest deviations of each backend from the reference, over all certificates with the verdict `equal`."""
    found: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for result in one_each(results):
        cell = result.cell
        if result.verdict.is_equal:
            title = (
                f"{cell.task}, {cell.model}: largest deviation from the NumPy reference, in float64 "
                f"(limit 1e-9) and in the timed {cell.precision}"
            )
            found.setdefault(title, {}).setdefault((result.shown, cell.mode), []).append(result.parity)
    return [
        _without_empty_columns(Table(title, PROOF, [(*name, *_proof(seen)) for name, seen in rows.items()]))
        for title, rows in found.items()
    ]


def report_experiments(report: Report) -> dict[str, list[Row]]:
    """The rows of the summary by the title of their experiment. Rows of an experiment may be compared."""
    groups: dict[str, list[Row]] = {}
    for row in report.summary:
        groups.setdefault(experiment_title(row), []).append(row)
    return groups


def one_each(results: Sequence[Result]) -> list[Result]:
    """A result for each backend, mode, experiment and verdict. Cells that failed are left out unless they differ."""
    found = {(r.cell.configuration, r.verdict): r for r in results if r.status == "ok" or r.verdict.is_different}
    return list(found.values())


def headers_of(rows: Sequence[Row], metrics: Sequence[Metric]) -> tuple[str, ...]:
    """The headers of the columns of numbers. The rate has the unit that it counts: images, features."""
    counted = next((row["rate"].split()[-1] for row in rows if "rate" in row), "images")
    share = [OF_PEAK] if any("peak_share" in row for row in rows) else []
    return "n", *(metric.header for metric in metrics), f"{counted}/s", *share, "first step", "parameters", "parity"


def cells_of(row: Row, metrics: Sequence[Metric], with_share: bool) -> tuple[str, ...]:
    """The texts of a row under these headers."""
    first = parameters = "-"
    if row["n"]:
        first, counts = f"{row['first_step_s']['median']:.2f} s", row["parameter_counts"]
        parameters = f"{counts['total']:,}" + (f", {counts['trainable']:,} learn" if counts["frozen"] else "")
    speed, numbers = _speed(row), (metric_text(metric, row) for metric in metrics)
    share = [f"{row['peak_share']:.0%}" if "peak_share" in row else "-"] if with_share else []
    return seed_count(row), *numbers, speed, *share, first, parameters, row["parity"].kind


def _speed(row: Row) -> str:
    """The rate with its interval. If it was disturbed, it has a mark instead; a note gives the reason."""
    return f"{number_of(row['images_per_s'])} (disturbed)" if "disturbed" in row else rate(row.get("images_per_s"))


def _proof(certificates: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The most steps and the largest number of each kind, over certificates of several experiments."""
    timed = [certificate["timed"] for certificate in certificates]
    exact = (_largest(certificates, name) for name in EXACT)
    in_time = (_largest(timed, name) for name in TIMED)
    return str(max(certificate["steps"] for certificate in certificates)), *map(tiny, (*exact, *in_time))


def _largest(found: Sequence[dict[str, Any]], name: str) -> float | None:
    return max((value for numbers in found if (value := numbers[name]) is not None), default=None)


def _without_empty_columns(table: Table) -> Table:
    """The table without columns that have no value in any row."""
    kept = [place for place in range(len(table.headers)) if any(row[place] != "-" for row in table.rows)]
    headers, *rows = (tuple(row[place] for place in kept) for row in (table.headers, *table.rows))
    return Table(table.title, headers, rows)
