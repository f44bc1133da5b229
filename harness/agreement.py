"""Evidence from the reported run itself: did all backends see the same, and lose the same?

The certificate proves the code; this looks at the cells. Cells that differ in their backend or mode only must have
started from the same weights, as read back from each framework, and been given the same batches; and their losses
must lie together, which they would not if one had seen other batches or moved otherwise.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.probes import LIMITS
from harness.result import Result

SAME = {"dataset": "data set", "model": "network", "batches": "batch order", "weights": "first weights"}
"""What must be the same to the bit, by its name in the evidence."""

FIRST_SEGMENT_FACTOR = 50
"""Rounding grows as training goes on: over a first segment, losses may drift this many times further apart."""


@dataclass(frozen=True)
class Agreement:
    """What several backends' cells say of one experiment: spreads relative to the median, and who stands out.

    The spread over the first segment is None where drop-out masks decide the losses of training.
    """

    task: str
    model: str
    dataset: str
    precision: str
    seed: int
    backends: tuple[str, ...]
    first_loss_spread: float
    first_segment_spread: float | None
    outliers: dict[str, str]


def agreements(results: Iterable[Result]) -> Iterator[Agreement]:
    """One for each experiment that two or more backends have finished."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        if result.status == "ok" and "first_loss" in result.evidence:
            cell = result.cell
            key = (
                cell.task,
                cell.model,
                cell.dataset,
                cell.precision,
                str(cell.weights),
                str(cell.seed),
                repr(cell.options),
            )
            groups.setdefault(key, []).append(result)
    for group in groups.values():
        if len(group) > 1:
            yield _agree(group)


def _agree(group: Sequence[Result]) -> Agreement:
    cell = group[0].cell
    outliers: dict[str, str] = {}
    for what, said in SAME.items():
        usual, count = Counter(result.evidence.get(what) for result in group).most_common(1)[0]
        if 2 * count <= len(group):
            usual = None  # no majority, and nobody knows who is right
        outliers |= {
            result.cell.key: f"its {said} was another one" for result in group if result.evidence.get(what) != usual
        }
    limit = LIMITS[cell.precision]
    first, far = _spread(group, "first_loss", "loss of the first step", limit)
    segment, further = _spread(group, "first_segment_loss", "loss of the first segment", limit * FIRST_SEGMENT_FACTOR)
    return Agreement(
        cell.task, cell.model, cell.dataset, cell.precision, cell.seed,
        backends=tuple(f"{result.cell.backend}/{result.cell.mode}" for result in group),
        first_loss_spread=first or 0.0,
        first_segment_spread=segment,
        outliers=further | far | outliers,
    )  # fmt: skip


def _spread(group: Sequence[Result], name: str, said: str, limit: float) -> tuple[float | None, dict[str, str]]:
    """How far the losses lie apart, relative to their median; and if that is too far, the cells that are to blame."""
    losses = {result.cell.key: result.evidence[name] for result in group if result.evidence.get(name) is not None}
    if len(losses) < 2:
        return None, {}
    middle = statistics.median(losses.values())
    away = {key: abs(loss - middle) / (abs(middle) or 1.0) for key, loss in losses.items()}
    spread = (max(losses.values()) - min(losses.values())) / (abs(middle) or 1.0)
    if spread <= limit:
        return spread, {}
    others = "the other's, and nobody knows who is right" if len(losses) == 2 else "the median of all"
    return spread, {
        key: f"its {said} is {spread if len(losses) == 2 else off:.1e} from {others} (limit {limit:.0e})"
        for key, off in away.items()
        if not off <= limit / 2
    }
