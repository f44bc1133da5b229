"""The findings of a certificate: the largest deviation of each kind, and the frozen tensors that changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from harness.parity.probes import deviation
from harness.spec import Array
from harness.verdict import Verdict


@dataclass
class Deviations:
    """The largest deviation of each kind with its place, and the frozen tensors that changed."""

    worst: dict[str, tuple[float, str]] = field(default_factory=dict)
    thawed: dict[str, float] = field(default_factory=dict)

    def compare(self, kind: str, where: str, actual: Array, reference: Array, scale: float | None = None) -> None:
        found = deviation(actual, reference, scale)
        if kind not in self.worst or not found <= self.worst[kind][0]:
            self.worst[kind] = (found, where)

    def hold(self, name: str, after: Array, before: Array) -> None:
        """Check that a frozen tensor has not changed at all."""
        if not np.array_equal(after, before):
            moved = np.abs(after.astype(np.float64) - before).max() if after.shape == before.shape else float("inf")
            self.thawed[name] = max(float(moved), self.thawed.get(name, 0.0))

    def value(self, *kinds: str) -> float | None:
        """The largest deviation of several kinds; None if none of them was compared."""
        return max((self.worst[kind][0] for kind in kinds if kind in self.worst), default=None)

    def complaints(self, limit: float, label: str = "") -> Iterator[tuple[float, Verdict]]:
        """The kinds above the limit, and the frozen tensors that changed: the factor above the limit, and a verdict."""
        for kind, (found, where) in self.worst.items():
            if not found <= limit:
                yield found / limit, Verdict.differs(f"{label}{kind} of {where}", found, limit)
        for name, moved in self.thawed.items():
            yield float("inf"), Verdict.differs(f"{label}frozen {name} changed by {moved:.1e}")
