"""The main numbers of a row: the columns of its table, and the one in the line of a finished cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.report.text.tables import percent, plain


class Headline(NamedTuple):
    """A number of a row of the summary."""

    name: str
    """Its key in the row."""

    header: str
    told: Callable[[Any], str] = percent
    main: bool = False
    """Whether a line about one cell shows it."""


ROBUST = Headline("accuracy_at_epsilon", "robust accuracy", main=True)
ATTACKED = Headline("test_accuracy", "clean accuracy"), ROBUST
IDEAL = (
    Headline("target_probability", "probability", main=True),
    Headline("total_variation", "variation", plain),
    Headline("plain_total_variation", "without its loss", plain),
)
LEARNT = (Headline("test_accuracy", "test accuracy", main=True),)


def headlines(rows: Sequence[Mapping[str, Any]]) -> tuple[Headline, ...]:
    """The columns of main numbers for these rows."""
    if any("robust_accuracy" in row for row in rows):
        return ATTACKED
    return IDEAL if any("target_probability" in row for row in rows) else LEARNT


def headline(row: Mapping[str, Any]) -> str | None:
    """The main number of a row in words: robust accuracy 61.33% at epsilon 0.1. None if the row does not have it."""
    main = next(one for one in headlines([row]) if one.main)
    if main.name not in row:
        return None
    size = f" at epsilon {row['epsilon']:.3g}" if main is ROBUST else ""
    return f"{main.header} {main.told(row[main.name])}{size}"
