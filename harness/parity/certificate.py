"""The certificate of a backend, and its verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.backend import Precision
from harness.parity.attack import AttackTrial
from harness.parity.deviations import Deviations
from harness.parity.probes import LIMITS
from harness.parity.standin import LARGE, learning_norms, smaller, without_dropout
from harness.parity.training import FIRST_LOSSES, TrainingTrial
from harness.parity.trial import EXACT_LIMIT, AnyBackend, Trial
from harness.spec import Model
from harness.task import Subject
from harness.verdict import DEVIATIONS, Verdict

Make = Callable[[Precision], AnyBackend]


@dataclass
class Certificate:
    """The verdict and the largest deviations: in float64, by their names in `DEVIATIONS`, and in the timed precision.

    The verdict is `not-checked` if too little could be compared.
    """

    verdict: Verdict
    deviations: dict[str, float | None]
    steps: int
    timed: dict[str, float | None]
    excludes: list[str]

    def as_json(self) -> dict[str, Any]:
        """The certificate as it is stored."""
        rest = {"steps": self.steps, "timed": self.timed, "excludes": self.excludes}
        return {"verdict": self.verdict.text, **self.deviations, **rest}


KINDS = (
    ("features", "logits"),
    ("gradients",),
    ("input gradients",),
    ("losses", "weights", "statistics"),
    ("attacked pictures",),
)
"""The kinds of values behind each number in `DEVIATIONS`."""


def certify(
    make: Make,
    subject: Subject,
    precision: Precision = "float32",
    steps: int | None = None,
    batch: int | None = None,
) -> Certificate:
    """Compare the backend that `make` makes with the reference.

    A recipe is compared over 20 steps of 16 pictures, and an attack over 10 steps on 8 pictures. A large network is
    compared over 5 steps of 4 pictures, or of 2 pictures if no batch norm learns.

    The timed precision comes first, because the float64 backend may change settings of the whole process.
    """
    model, masks = without_dropout(subject.model)
    model, size = smaller(model, subject.recipe)
    trial = trial_of(subject, model, steps, batch)
    timed, exact = Deviations(), Deviations()
    trial.compare_timed(make(precision), timed)
    trial.compare_exact(make("float64"), exact)
    limit = LIMITS[precision]
    if any(timed.complaints(limit)):  # the wider limit is expensive, so it is computed only if it matters
        limit = trial.timed_limit(precision)
    complaints = [*exact.complaints(EXACT_LIMIT), *timed.complaints(limit, f"in {precision}, ")]
    proven = Verdict.not_checked(trial.too_little) if trial.too_little else Verdict.equal()
    return Certificate(
        verdict=max(complaints, key=lambda found: (found[0], found[1].text))[1] if complaints else proven,
        deviations={name: exact.value(*kinds) for name, kinds in zip(DEVIATIONS, KINDS, strict=True)},
        steps=trial.steps,
        timed={"logits": timed.value("features", "logits"), "losses": timed.value("losses"), "limit": limit},
        excludes=(masks if subject.recipe else []) + size + trial.excludes,
    )


def trial_of(
    subject: Subject, model: Model, steps: int | None = None, batch: int | None = None, seed: int = 0
) -> Trial:
    """The trial of the subject's recipe or attacks, on `model`."""
    large = subject.model.flops > LARGE
    few = 4 if learning_norms(model, subject.recipe) else 2
    if subject.recipe:
        steps = steps or (FIRST_LOSSES if large else 20)
        return TrainingTrial(model, subject.recipe, steps, batch or (few if large else 16), seed)
    steps = steps or (FIRST_LOSSES if large else 10)
    return AttackTrial(model, subject.attacks, steps, batch or (few if large else 8), seed)
