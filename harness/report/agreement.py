"""Evidence from the reported run itself: did all backends see the same, and lose the same?

The certificate proves the code; this looks at the cells. Cells that differ in their backend or mode only must have
started from the same weights, as read back from each framework, and been given the same batches; and their losses
must lie together, which they would not if one had seen other batches or moved otherwise.
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
    "dataset": "data set",
    "model": "network",
    "batches": "batch order",
    "pictures": "pictures",
    "augmented": "augmented pictures",
    "weights": "first weights",
    "tuning_batches": "batch order of the second training",
    "tuning_augmented": "augmented pictures of the second training",
}
"""What must be the same to the bit, by its name in the evidence."""

ROUNDING_GROWS = {"first loss": 1, "first losses": 10, "first segment": 50}
"""By how much more than one step's rounding the losses of several steps may lie apart; or as far as the certificate has
found that float32 moves the reference itself. The first segment is a short one: after hundreds of steps, rounding alone
leads two trainings to different networks."""


@dataclass(frozen=True)
class Agreement:
    """What several backends' cells say of one experiment: spreads relative to the median, and who stands out.

    The first losses are those of the first five steps. The spread over the first segment is None where drop-out masks decide the losses of training.
    """

    task: str
    model: str
    dataset: str
    precision: str
    seed: int
    backends: tuple[str, ...]
    shared: str
    """What all of them were given: batches, or pictures."""

    first_loss_spread: float | None
    first_losses_spread: float | None
    first_segment_spread: float | None
    outliers: dict[str, str]
    features_spread: float | None = None
    """The spread of the features of a few pictures, if the task has kept some."""

    accuracy_spread: float | None = None
    """The spread of the metrics that all backends must find alike, such as accuracies on changed pictures."""


def agreements(results: Iterable[Result], declared: Declared) -> Iterator[Agreement]:
    """One for each experiment that two or more backends have finished."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.status == "ok" and "weights" in result.evidence and result.cell.semantics == "aligned":
            groups.setdefault(result.cell.comparison_key, []).append(result)
    for group in groups.values():
        if len(group) > 1:
            yield _agree(group, declared.get(group[0].cell.task, ()))


def _agree(group: Sequence[Result], metrics: Sequence[Metric]) -> Agreement:
    cell = group[0].cell
    outliers: dict[str, str] = {}
    for what, said in SAME.items():
        known = {result.cell.key: result.evidence[what] for result in group if result.evidence.get(what) is not None}
        (usual, count), *others = Counter(known.values()).most_common() or [(None, 0)]
        if others and 2 * count <= len(known):
            usual = None  # no majority, and nobody knows who is right
        outliers |= {key: f"its {said} was another one" for key, value in known.items() if value != usual}
    base = LIMITS[cell.precision]
    moved = max(base, *(result.parity["timed"].get("limit", base) for result in group))  # by rounding, as certified
    limits = {said: base * factor for said, factor in ROUNDING_GROWS.items()}
    limits |= {said: max(limits[said], moved) for said in ("first losses", "first segment")}
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
    for said, values in (
        ("first loss", {key: series[:1] for key, series in losses.items()}),
        ("first losses", losses),
        ("first segment", segments),
    ):
        spreads[said], far = _spread(values, said, limits[said])
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
    """A sample of the features, in shares of the largest."""
    kept = result.evidence.get("features")
    return np.ravel(kept["sample"]) / (kept["scale"] or 1.0) if kept else None


def _values(metric: Metric, result: Result) -> Array:
    """The number, or all values of the curve; nothing if the result does not have it."""
    found = metric.value_in(result.metrics)
    if metric.form == "curve":
        return np.array([point[key] for point in found or () for key, _ in metric.parts])
    return np.array([] if found is None else [found])


def _spread(
    series: Mapping[str, Array], said: str, limit: float, relative: bool = True
) -> tuple[float | None, dict[str, str]]:
    """How far the losses lie apart, relative to their median; and if that is too far, the cells that are to blame."""
    if len(series) < 2 or len({len(losses) for losses in series.values()}) > 1:
        return None, {}
    middle = np.median(list(series.values()), axis=0)
    scale = np.where(middle == 0, 1.0, np.abs(middle)) if relative else 1.0
    away = {key: float((np.abs(losses - middle) / scale).max()) for key, losses in series.items()}
    spread = float((np.ptp(list(series.values()), axis=0) / scale).max())
    if spread <= limit:
        return spread, {}
    others = "the other's, and nobody knows who is right" if len(series) == 2 else "the median of all"
    return spread, {
        key: f"its {said} is {spread if len(series) == 2 else off:.1e} from {others} (limit {limit:.0e})"
        for key, off in away.items()
        if not off <= limit / 2
    }
