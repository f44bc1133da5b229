"""Tables of pictures that were changed: how often a network is still right, and who else is fooled by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.report.summary import Report
from harness.report.text.tables import Table, percent, plain, row_names, seeds_text

Row = dict[str, Any]
CHANGE = {
    "success_rate": ("success", percent),
    "mean_perturbation": ("mean change", plain),
    "largest_perturbation": ("largest", plain),
    "vanished_gradients": ("no gradient", percent),
}


def attacks(title: str, rows: Sequence[Row]) -> Iterator[Table]:
    """Accuracy by the size of the change, and what else there is to know of the attack of the size that was asked for."""
    known = [row for row in rows if "robust_accuracy" in row]
    if not known:
        return
    sizes = [point["epsilon"] for point in known[0]["robust_accuracy"]]
    first, names = row_names(known)
    headers = (*first, *(f"{size:.3g}" for size in sizes), *(header for header, _ in CHANGE.values()))
    yield Table(
        f"{title}: accuracy by epsilon, of {known[0]['pictures']} pictures a seed; success and changes at "
        f"{known[0]['epsilon']:.3g}",
        headers,
        [(*name, *_attack(row)) for name, row in zip(names, known, strict=True)],
    )


def _attack(row: Row) -> tuple[str, ...]:
    shares = (f"{point['accuracy']['mean']:.1%}" for point in row["robust_accuracy"])
    return *shares, *(told(row.get(name)) for name, (_, told) in CHANGE.items())


def judgements(report: Report, title: str, rows: Sequence[Row]) -> Iterator[Table]:
    """What every judge sees in the pictures of every maker."""
    tables = [found for found in report.judgements if any(found["scores"].values()) and _is_of(found, rows)]
    what = "accuracy" if any("robust_accuracy" in row for row in rows) else "probability"
    told = "accuracy on the pictures" if what == "accuracy" else "probability of the class in the pictures"
    for found in tables:
        which = f", {seeds_text(found['seeds'])}" if len(tables) > 1 else ""
        yield Table(
            f"{title}{which}: {told} that a row has made, as a column judges them",
            ("made on", *found["judges"]),
            [
                (maker, *(f"{said[judge][what]:.2%}" if judge in said else "-" for judge in found["judges"]))
                for maker, said in found["scores"].items()
            ],
        )


def _is_of(found: dict[str, Any], rows: Sequence[Row]) -> bool:
    """Whether the pictures were made by cells of these rows."""
    return any(row["subject"] in found["subjects"] and {*row["seeds"]} & {*found["seeds"]} for row in rows)
