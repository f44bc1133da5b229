"""What tables of a report are, and what all of them say alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from harness.stats import Mean, Median

TEXTS = ("task", "network", "backend", "mode", "parity", "class", "truth", "made on")
"""The columns that are set to the left; numbers are set to the right."""


class Table(NamedTuple):
    """Rows that may be compared."""

    title: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]]


def network(row: Mapping[str, Any]) -> str:
    """The network of a row of the summary, and what it started from."""
    start = f" from {PurePath(row['weights']).name}" if row["weights"] else ""
    return f"{row['model']}{start}"


def experiment(row: Mapping[str, Any]) -> str:
    """What a row of the summary is about, backends aside: with its options where they are what differs."""
    title = f"{row['task']}: {network(row)} on {row['dataset']}, {row['precision']}"
    title += "".join(f", {name}={value}" for name, value in row["varied"].items())
    return title + ("" if row["semantics"] == "aligned" else ", each framework's own optimiser and first weights")


def finished(row: Mapping[str, Any]) -> str:
    """How many seeds a row of the summary rests on."""
    return str(row["n"]) if row["n"] == row["cells"] else f"{row['n']} of {row['cells']}"


def percent(share: Mean | None) -> str:
    """A mean share with its interval, if there is one: 98.24% (97.73 to 98.75)."""
    return "-" if share is None else _with_interval(f"{share['mean']:.2%}", share, lambda end: f"{100 * end:.2f}")


def plain(value: Mean | None) -> str:
    """The mean of a number that is no share, with its interval."""
    return "-" if value is None else _with_interval(f"{value['mean']:.3g}", value, lambda end: f"{end:.3g}")


def rate(value: Median | None) -> str:
    """A median rate with its interval."""
    if value is None:
        return "-"
    digits = ",.0f" if value["median"] >= 10 else ".2g"
    return _with_interval(f"{value['median']:{digits}}", value, lambda end: f"{end:{digits}}")


def _with_interval(text: str, value: Mean | Median, told: Callable[[float], str]) -> str:
    """Every interval has this form."""
    low, high = value["low"], value["high"]
    return text if low is None or high is None else f"{text} ({told(low)} to {told(high)})"


def tiny(deviation: float | None) -> str:
    return "-" if deviation is None else f"{deviation:.0e}" if deviation else "0"
