"""Compare the cells of a run: did all backends start from the same, and compute the same losses?

A certificate is about the code of a backend; this module compares its cells. Cells that differ only in backend or mode must
have the same first weights, as read back from each framework, and the same batches. Their losses must agree: a backend with
other batches or another update would have other losses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.metric import Metric
from harness.parity.probes import LIMITS
from harness.report.crosscheck import tolerance
from harness.report.declared import Declared
from harness.result import Result
from harness.spec import Array

SAME = {
    "dataset": "dataset",
    "model": "network",
    "batches": "batch order",
    "pictures": "pictures",
    "augmented": "augmented pictures",
    "weights": "first weights",
    "tuning_batches": "batch order of the second training",
    "tuning_augmented": "augmented pictures of the second training",
}
"""The values that must be the same to the bit, by their names in the evidence."""

ROUNDING_GROWS = {"first loss": 1, "first losses": 10, "first segment": 50}
"""The limits for differences of losses, as multiples of the limit for one step. A larger limit holds if the certificate has
found that rounding in float32 changes the reference itself by more. Only a short first segment is compared: after hundreds of
steps, rounding alone leads to different networks."""


@dataclass(frozen=True)
class Agreement:
    """The agreement of the cells of an experiment: the spreads of their values relative to the median, and the outliers.

    The first losses are those of the first five steps. The spread of the first segment is None if the losses of training
    depend on masks of dropout.
    """

    task: str
    model: str
    dataset: str
    precision: str
    seed: int
    backends: tuple[str, ...]
    shared: str
    """The input of all cells: batches, or pictures."""

    first_loss_spread: float | None
    first_losses_spread: float | None
    first_segment_spread: float | None
    outliers: dict[str, str]
    features_spread: float | None = None
    """The spread of the features of a few pictures, if the task has kept some."""

    accuracy_spread: float | None = None
    """The spread of the metrics that are compared, such as accuracies on changed pictures."""


def agreements(results: Iterable[Result], declared: Declared) -> Iterator[Agreement]:
    """The agreement of each experiment and seed that two or more cells have finished."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.status == "ok" and "weights" in result.evidence and not result.cell.own:
            groups.setdefault(result.cell.comparison_key, []).append(result)
    for group in groups.values():
        if len(group) > 1:
            yield _agree(group, declared.get(group[0].cell.task, ()))


def _agree(group: Sequence[Result], metrics: Sequence[Metric]) -> Agreement:
    cell = group[0].cell
    outliers: dict[str, str] = {}
    for name, label in SAME.items():
        known = {result.cell.key: result.evidence[name] for result in group if result.evidence.get(name) is not None}
        (usual, count), *others = Counter(known.values()).most_common() or [(None, 0)]
        if others and 2 * count <= len(known):
            usual = None  # there is no majority, so it is unknown which value is right
        outliers |= {
            key: f"its {label} did not match the other backends" for key, value in known.items() if value != usual
        }
    base = LIMITS[cell.precision]
    moved = max(base, *(result.parity["timed"].get("limit", base) for result in group))  # by rounding, as certified
    limits = {label: base * factor for label, factor in ROUNDING_GROWS.items()}
    limits |= {label: max(limits[label], moved) for label in ("first losses", "first segment")}
    losses = {
        result.cell.key: np.array(result.evidence["first_losses"])
        for result in group
        if "first_losses" in result.evidence
    }
    segments = {
        result.cell.key: np.array([loss])
        for result in group
        if (loss := result.evidence.get("first_segment_loss")) is not None
    }
    spreads = {}
    for label, values in (
        ("first loss", {key: series[:1] for key, series in losses.items()}),
        ("first losses", losses),
        ("first segment", segments),
    ):
        spreads[label], far = _spread(values, label, limits[label])
        outliers = far | outliers
    features = {result.cell.key: sample for result in group if (sample := _features(result)) is not None}
    features_spread, far = _spread(features, "features", base * ROUNDING_GROWS["first losses"], relative=False)
    outliers = far | outliers
    compared: list[float] = []
    for metric in metrics:
        if metric.compared:
            numbers = {result.cell.key: own for result in group if len(own := _values(metric, result))}
            limit = max(tolerance(metric, result) for result in group)
            spread, far = _spread(numbers, metric.header, limit, relative=False)
            compared += [] if spread is None else [spread]
            outliers = far | outliers
    return Agreement(
        cell.task, cell.model, cell.dataset, cell.precision, cell.seed,
        backends=tuple(result.who for result in group),
        shared="batches" if losses else "pictures",
        first_loss_spread=spreads["first loss"],
        first_losses_spread=spreads["first losses"],
        first_segment_spread=spreads["first segment"],
        outliers=outliers,
        features_spread=features_spread,
        accuracy_spread=max(compared, default=None),
    )  # fmt: skip


def _features(result: Result) -> Array | None:
    """A sample of the features, divided by the largest feature."""
    kept = result.evidence.get("features")
    return np.ravel(kept["sample"]) / (kept["scale"] or 1.0) if kept else None


def _values(metric: Metric, result: Result) -> Array:
    """The number, or all values of the curve; empty if the result does not have the metric."""
    found = metric.value_in(result.metrics)
    if metric.form == "curve":
        return np.array([point[key] for point in found or () for key, _ in metric.parts])
    return np.array([] if found is None else [found])


def _spread(
    series: Mapping[str, Array], label: str, limit: float, relative: bool = True
) -> tuple[float | None, dict[str, str]]:
    """The spread of the values, relative to their median; and the outliers, if the spread is above the limit."""
    if len(series) < 2 or len({len(losses) for losses in series.values()}) > 1:
        return None, {}
    values = np.array(list(series.values()))
    ordered, count = np.sort(values, axis=0), len(values)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2  # np.median, which takes five times as long
    scale = np.where(middle == 0, 1.0, np.abs(middle)) if relative else 1.0
    spread = float(((ordered[-1] - ordered[0]) / scale).max())
    if spread <= limit:
        return spread, {}
    away = dict(zip(series, (np.abs(values - middle) / scale).max(axis=1).tolist(), strict=True))
    others = "the other, and it is unknown which is right" if len(series) == 2 else "the median of all"
    return spread, {
        key: f"its {label} differs by {spread if len(series) == 2 else off:.1e} from {others} (limit {limit:.0e})"
        for key, off in away.items()
        if not off <= limit / 2
    }
