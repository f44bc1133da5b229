"""What a certificate asks of a backend, and its verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.backend import Precision
from harness.parity.attack import AttackTrial
from harness.parity.deviations import Deviations
from harness.parity.probes import LIMITS
from harness.parity.standin import LARGE, learning_norms, smaller, without_dropout
from harness.parity.training import FIRST_LOSSES, TrainingTrial
from harness.parity.trial import EXACT_LIMIT, AnyBackend, Trial
from harness.spec import Model
from harness.task import Subject

Make = Callable[[Precision], AnyBackend]


@dataclass
class Certificate:
    """What was found. `verdict` is "equal", or "differs: " and where, by how much, and the limit; or "not-checked: " and why
    what was found equal proves too little."""

    verdict: str
    logits: float | None
    gradients: float | None
    input_gradients: float | None
    trajectory: float | None
    steps: int
    timed: dict[str, float | None]
    excludes: list[str]
    attack: float | None


def certify(
    make: Make,
    subject: Subject,
    precision: Precision = "float32",
    steps: int | None = None,
    batch: int | None = None,
) -> Certificate:
    """Hold the backend that `make` makes against the reference: over 20 steps of 16 pictures, or an attack of 10 steps on 8; a
    large network over 5 steps of 4, or of 2 where pictures do not meet in a batch norm.

    The timed precision comes first: making the float64 backend may switch the whole process over.
    """
    quiet, masks = without_dropout(subject.model)
    model, size = smaller(quiet, subject.recipe)
    trial = trial_of(subject, model, steps, batch)
    timed, exact = Deviations(), Deviations()
    trial.compare_timed(make(precision), timed)
    trial.compare_exact(make("float64"), exact)
    limit = LIMITS[precision]
    if any(timed.complaints(limit)):  # only then is it worth asking how far rounding goes
        limit = trial.timed_limit(precision)
    complaints = sorted([*exact.complaints(EXACT_LIMIT), *timed.complaints(limit, f"in {precision}, ")])
    proven = f"not-checked: {trial.too_little}" if trial.too_little else "equal"
    return Certificate(
        verdict=f"differs: {complaints[-1][1]}" if complaints else proven,
        logits=exact.value("features", "logits"),
        gradients=exact.value("gradients"),
        input_gradients=exact.value("input gradients"),
        trajectory=exact.value("losses", "weights", "statistics"),
        attack=exact.value("attacked pictures"),
        steps=trial.steps,
        timed={"logits": timed.value("features", "logits"), "losses": timed.value("losses"), "limit": limit},
        excludes=(masks if subject.recipe else []) + size + trial.excludes,
    )


def trial_of(
    subject: Subject, model: Model, steps: int | None = None, batch: int | None = None, seed: int = 0
) -> Trial:
    """Of the subject's recipe or attacks, on the model that stands for its own."""
    large = subject.model.flops > LARGE
    few = 4 if learning_norms(model, subject.recipe) else 2
    if subject.recipe:
        steps = steps or (FIRST_LOSSES if large else 20)
        return TrainingTrial(model, subject.recipe, steps, batch or (few if large else 16), seed)
    steps = steps or (FIRST_LOSSES if large else 10)
    return AttackTrial(model, subject.attacks, steps, batch or (few if large else 8), seed)
